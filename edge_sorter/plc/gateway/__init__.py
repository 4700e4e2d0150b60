"""Gateways between the MQTT messages and a PLC: the rules every gateway must keep, and a reference that speaks Modbus.

`judge` holds the rules and no transport; `registers` the picture in the PLC's memory; `modbus` moves between the two;
`conformance` tells the author of another gateway whether it keeps the same rules.
"""
