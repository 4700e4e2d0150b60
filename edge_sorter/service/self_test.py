"""The command `selftest`: is everything there that a decision needs, in one sentence for whoever asks over MQTT.

Contract: `self_test` looks at what is known and starts nothing; what it says is true at that moment. It raises where a
parcel would not be sorted now, so that the answer reads `ok: false`.
"""

from __future__ import annotations

from edge_sorter.errors import EdgeSorterError
from edge_sorter.plc.messages import AppState
from edge_sorter.service.status import LineSnapshot

STALE_FRAME_MS = 500.0


def self_test(line: LineSnapshot) -> str:
    """Return what is there.

    Raises:
        EdgeSorterError: Something a decision needs is missing; names all of it.
    """
    faults = [] if line.state in (AppState.RUNNING, AppState.DEGRADED) else [f"state {line.state.value}: {line.cause}"]
    if line.blind_for is not None:
        faults.append(f"no usable picture: {line.blind_for}")
    elif line.frame_age_ms is None or line.frame_age_ms > STALE_FRAME_MS:
        faults.append("no new picture")
    if faults:
        raise EdgeSorterError("; ".join(faults))
    age_ms = 0.0 if line.frame_age_ms is None else line.frame_age_ms
    running = "" if line.info is None else f", {line.info.engine}, plan {line.info.plan}"
    alarms = () if line.peers is None else line.peers.alarms
    active = f", alarms: {', '.join(alarm.code for alarm in alarms)}" if alarms else ""
    return f"{line.state.value}, {line.fps or 0.0:.1f} frames/s, newest {age_ms:.0f} ms old{running}{active}"
