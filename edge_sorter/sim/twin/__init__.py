"""The PLC twin: a simulated line behind the broker, with photo-eyes, diverters and lanes, for closing the loop.

`world` is what is physically there and knows no message; `program` is the PLC's program, which knows only counts and
edges; `server` runs both in real time over MQTT; `report` says which parcel really landed in which lane. World and
program get their time from outside, so the same twin runs as fast as a test wants.
"""
