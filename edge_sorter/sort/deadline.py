"""How long a decision stays useful: the time between the decision line and a lane's point of no return.

Contract: pure functions of distance, speed and fixed times; the deadline is on the axis of `captured_ns`.

    budget = distance / speed - (actuator + PLC scan + bridge + margin)

A budget may be negative: then the line is too close to the diverter for this belt speed, and every decision is late.
"""

from __future__ import annotations

from edge_sorter.config import TimingSection

FASTEST_BELT_MM_S = 3000.0
"""Assumed when nothing at all is known of the motion: no parcel belt is faster, so no divert comes too late."""
STANDSTILL_MM_S = 1.0
"""A slower belt is standing; no travel time follows from its speed."""


def overhead_ms(timing: TimingSection) -> float:
    """Return the time between a decision being sent and the diverter having moved, with margin."""
    return timing.actuator_ms + timing.plc_scan_ms + timing.bridge_ms + timing.margin_ms


def travel_ms(timing: TimingSection, *, distance_mm: float, speed_mm_s: float | None) -> float:
    """Return how long a parcel takes from the decision line to the point of no return.

    Without a usable speed `timing.travel_s` stands in, and without that the fastest belt there is.
    """
    if speed_mm_s is not None and speed_mm_s >= STANDSTILL_MM_S:
        return distance_mm / speed_mm_s * 1e3
    if timing.travel_s is not None:
        return timing.travel_s * 1e3
    return distance_mm / FASTEST_BELT_MM_S * 1e3


def budget_ms(timing: TimingSection, *, distance_mm: float, speed_mm_s: float | None) -> float:
    """Return the time from the crossing until a divert can no longer be sent."""
    return travel_ms(timing, distance_mm=distance_mm, speed_mm_s=speed_mm_s) - overhead_ms(timing)


def deadline_ns(
    crossed_ns: int, timing: TimingSection, *, divert_mm: float | None = None, speed_mm_s: float | None = None
) -> int:
    """Return the latest time at which a divert may be sent.

    Args:
        crossed_ns: When the parcel crossed the decision line.
        timing: Times and the default distance.
        divert_mm: Distance of this lane; None takes the default.
        speed_mm_s: Belt speed at the crossing, or None when unknown.
    """
    distance_mm = timing.divert_mm if divert_mm is None else divert_mm
    return crossed_ns + round(budget_ms(timing, distance_mm=distance_mm, speed_mm_s=speed_mm_s) * 1e6)
