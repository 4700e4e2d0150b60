"""What is wrong right now, in words an operator can act on.

Contract: `conditions` is a pure function of a snapshot. It explains what the line already told the PLC; it raises
nothing and clears nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sorter.plc.messages import AppState
from edge_sorter.service.status import LineSnapshot

HANGS_MS = 1_500
LATE_WINDOW_S = 300.0

ADVICE = {
    "CAM_LOST": ("No picture from the camera", "Check its power, cable and network; it reconnects by itself."),
    "CAM_FROZEN": ("The camera repeats one picture", "Switch the camera off and on."),
    "CAM_DARK": ("The picture is black", "Check the lamps and whether something covers the lens."),
    "CAM_STALE": ("Pictures arrive too old", "The network to the camera is overloaded; check switch and bit rate."),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong.

    Attributes:
        level: "alarm" (parcels are not sorted as they should) or "warning".
        code: Short and stable, for searching the manual.
        text: What is wrong.
        todo: What to do about it.
    """

    level: str
    code: str
    text: str
    todo: str


def conditions(seen: LineSnapshot) -> list[Condition]:
    """Return everything that is wrong, the worst first."""
    found: list[Condition] = []
    starting = seen.state in (AppState.STARTING, AppState.OFFLINE)
    if not starting and seen.stalled_ms > HANGS_MS:
        text = f"The decision loop has not come round for {seen.stalled_ms / 1000:.1f} s"
        found.append(Condition("alarm", "LOOP_HANGS", text, "The watchdog restarts it; if not, restart the service."))
    if seen.blind_for is not None:
        text, todo = ADVICE.get(seen.blind_for, ("No usable picture", "Look at the camera."))
        found.append(Condition("alarm", seen.blind_for, text, todo))
    if seen.state is AppState.HOLD:
        found.append(Condition("alarm", "HOLD", f"The line holds: {seen.cause}", "See the log for the whole message."))
    if seen.state is AppState.DEGRADED and seen.blind_for is None:
        found.append(Condition("warning", "DEGRADED", f"Degraded: {seen.cause}", "Parcels go on being decided."))
    if not starting and not seen.peers.broker_connected:
        todo = "Check broker and network; decisions made now are dropped, never sent late."
        found.append(Condition("alarm", "BROKER_LOST", "The MQTT broker is not connected", todo))
    late = [
        decided
        for decided in seen.recent
        if decided.result.value != "SENT" and (seen.now - decided.published_at).total_seconds() < LATE_WINDOW_S
    ]
    if late:
        text = f"{len(late)} decision{'s' if len(late) > 1 else ''} not sent in the last five minutes"
        why = ", ".join(sorted({decided.result.value for decided in late}))
        found.append(Condition("warning", "NOT_SENT", f"{text} ({why})", "Those parcels took the PLC's default lane."))
    return found
