"""How long a decision stays useful: the time between the decision line and a lane's point of no return.

Contract: pure functions of distance, speed and fixed times; the deadline is on the axis of `captured_ns`.

    budget = distance / speed - (actuator + PLC scan + bridge + margin)

By an encoder the deadline is a place: the point of no return, less what the belt travels at its set speed in those
fixed times. A belt that stands does not come nearer to it, so no decision is late while it stands.

A budget may be negative: then the line is too close to the diverter for this belt speed, and every decision is late.
"""

from __future__ import annotations

from typing import NamedTuple

from edge_sorter.belt.motion import STANDSTILL_MM_S
from edge_sorter.config import TimingSection

FASTEST_BELT_MM_S = 3000.0
"""Assumed when nothing at all is known of the motion: no parcel belt is faster, so no divert comes too late."""


class Deadline(NamedTuple):
    """The last moment to send a divert.

    Attributes:
        at_ns: As a time; by an encoder, the earliest at which the belt can be there.
        travel_mm: As belt travel, which then decides; None without an encoder.
    """

    at_ns: int
    travel_mm: float | None = None

    def passed(self, at_ns: int, travel_mm: float | None) -> bool:
        """Tell whether it is too late at this time, when the belt has travelled so far."""
        if self.travel_mm is None or travel_mm is None:
            return at_ns > self.at_ns
        return travel_mm > self.travel_mm


def earlier(one: Deadline, other: Deadline) -> Deadline:
    """Return the deadline that passes first; by travel where both know theirs."""
    if one.travel_mm is not None and other.travel_mm is not None:
        return one if one.travel_mm <= other.travel_mm else other
    return one if one.at_ns <= other.at_ns else other


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


def deadline_by_travel(
    crossed_mm: float,
    timing: TimingSection,
    *,
    now_ns: int,
    now_mm: float,
    speeds_mm_s: tuple[float | None, ...],
    divert_mm: float | None = None,
) -> Deadline:
    """Return the deadline of a parcel on a belt with an encoder.

    Args:
        crossed_mm: Belt travel at which the parcel crossed the decision line.
        timing: Times and the default distance.
        now_ns, now_mm: A present moment and the belt travel then.
        speeds_mm_s: Speeds that count, such as the present and the set one: the fastest of them is what the belt may
            run at from now on. A standing belt of which no speed is known may start as fast as any.
        divert_mm: Distance of this lane; None takes the default.
    """
    fastest_mm_s = _fastest_mm_s(speeds_mm_s)
    distance_mm = timing.divert_mm if divert_mm is None else divert_mm
    until_mm = crossed_mm + distance_mm - fastest_mm_s * overhead_ms(timing) / 1e3
    return Deadline(now_ns + round((until_mm - now_mm) / fastest_mm_s * 1e9), round(until_mm, 1))


def renewed(until: Deadline, *, now_ns: int, now_mm: float | None, speeds_mm_s: tuple[float | None, ...]) -> Deadline:
    """Return the same place with the time as it looks from another present: the belt may have stood since."""
    if until.travel_mm is None or now_mm is None:
        return until
    away_ns = round((until.travel_mm - now_mm) / _fastest_mm_s(speeds_mm_s) * 1e9)
    return until._replace(at_ns=now_ns + away_ns)


def _fastest_mm_s(speeds_mm_s: tuple[float | None, ...]) -> float:
    fastest_mm_s = max((speed for speed in speeds_mm_s if speed is not None), default=0.0)
    return fastest_mm_s if fastest_mm_s >= STANDSTILL_MM_S else FASTEST_BELT_MM_S
