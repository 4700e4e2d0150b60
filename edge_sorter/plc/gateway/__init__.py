"""Gateways between the MQTT messages and a PLC: the rules every gateway must keep, and a reference that speaks Modbus.

`judge` holds the rules and no transport; `registers` the picture in the PLC's memory; `modbus` moves between the two;
`conformance` tells the author of another gateway whether it keeps the same rules. Mirrors are no gateways: `observer`
looks on, `tags` is what it sees, `sparkplug` shows it to SCADA systems.
"""
