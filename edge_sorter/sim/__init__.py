"""A simulated line: parcels on a belt with exact truth, and a photorealistic renderer for them.

Contract: a scenario file and its seed fix every parcel, its path and its truth; pixels are made from that, never the
other way round. Only ``stage`` (and what renders with it) needs Blender's ``bpy``; everything else runs without it.
"""
