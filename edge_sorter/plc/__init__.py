"""Decisions to the PLC over MQTT: messages and topics, the link to the broker, a broker for demos, and a listener.

Import what you need from the module that has it: `topics`, `messages`, `encode`, `decode`, `publisher`, `link`,
`listen`, `broker`, `boot`.
"""
