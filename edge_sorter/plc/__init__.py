"""Decisions to the PLC over MQTT, and what comes back: the link and its parts, messages and topics, the gateway.

Where to start: `link` is the publisher a line runs with; `wire` moves its bytes, `voice` tells how we are, `ears` hears
the line, `delivery` follows every decision to its end (`book`, `outbox`). `messages` and `inbound` are the payloads,
`contract` the table of all topics. Import what you need from the module that has it.
"""
