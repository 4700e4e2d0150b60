"""A belt and its encoder with what may befall them: emergency stops, a wheel that slips, a counter that stands.

Contract: where the belt is and what was counted of it are functions of world time (s), for one moment or for many;
without faults both are exactly the ride. The measured line and the PLC's line share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sorter.sim.line import Ride
from edge_sorter.sim.twin.faults import FaultSection, active

Floats = NDArray[np.float64]

AT_ONCE_S = 1e-6
"""An emergency stop takes so long: next to nothing."""


@dataclass(frozen=True, slots=True)
class CountedBelt:
    """A ride with faults.

    Attributes:
        ride: How the belt moves, emergency stops included.
        faults: As they were given.
        at_s, travelled_mm, counted_mm: (k,) moments at which the encoder begins to count differently.
        shares: (k,) share of the travel that it counts from there on.
    """

    ride: Ride
    faults: tuple[FaultSection, ...]
    at_s: Floats
    travelled_mm: Floats
    counted_mm: Floats
    shares: Floats

    @classmethod
    def of(cls, ride: Ride, faults: Sequence[FaultSection] = ()) -> CountedBelt:
        """Put faults of any kind on a ride; those that are not the belt's change nothing."""
        stops = [(fault.at_s, fault.for_s or 0.0) for fault in faults if fault.kind == "e_stop"]
        ride = with_stops(ride, stops)
        wrong = [fault for fault in faults if fault.kind in ("encoder_slip", "encoder_lost")]
        edges = {0.0, *(fault.at_s for fault in wrong), *(fault.until_s for fault in wrong)}
        at_s = np.array(sorted(edge for edge in edges if np.isfinite(edge)))
        shares = np.array([_share(wrong, moment) for moment in at_s.tolist()])
        travelled = ride.travel_mm(at_s)
        counted = np.concatenate(([0.0], np.cumsum(np.diff(travelled) * shares[:-1])))
        return cls(ride, tuple(faults), at_s, travelled, counted, shares)

    def travel_mm(self, at_s: Floats) -> Floats:
        """Return how far the belt has really gone at times (n,)."""
        return self.ride.travel_mm(at_s)

    def counted_of(self, travelled_mm: Floats) -> Floats:
        """Return how much was counted (mm) when the belt had gone so far (n,)."""
        if len(self.at_s) == 1 and self.shares[0] == 1.0:
            return travelled_mm
        span = np.clip(np.searchsorted(self.travelled_mm, travelled_mm, side="right") - 1, 0, None)
        counted: Floats = self.counted_mm[span] + (travelled_mm - self.travelled_mm[span]) * self.shares[span]
        return counted

    @property
    def stops_s(self) -> tuple[tuple[float, float], ...]:
        """Beginning and end of every emergency stop."""
        stops = sorted((fault.at_s, fault.for_s or 0.0) for fault in self.faults if fault.kind == "e_stop")
        return tuple((at_s, at_s + for_s) for at_s, for_s in stops)


def with_stops(ride: Ride, stops: Sequence[tuple[float, float]]) -> Ride:
    """Return a ride that is held at moments of world time for so long (s), and goes on as it was."""
    at, speed = ride.at_s, ride.speed_mm_s
    for begin_s, for_s in sorted(stops):
        knot = int(np.searchsorted(at, begin_s, side="right"))
        now = float(np.interp(begin_s, at, speed))
        held = begin_s + np.array([0.0, AT_ONCE_S, for_s, for_s + AT_ONCE_S])
        before = knot - 1 if knot and at[knot - 1] == begin_s else knot
        at = np.concatenate((at[:before], held, at[knot:] + for_s + AT_ONCE_S))
        speed = np.concatenate((speed[:before], [now, 0.0, 0.0, now], speed[knot:]))
    if not stops:
        return ride
    at, speed = np.append(at, at[-1] + 2.0), np.append(speed, speed[-1])  # whatever comes last, it goes on evenly
    gone = np.concatenate(([0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(at))))
    return Ride(at, speed, gone)


def _share(faults: Sequence[FaultSection], at_s: float) -> float:
    if active(faults, "encoder_lost", at_s):
        return 0.0
    slip = active(faults, "encoder_slip", at_s)
    return 1.0 if slip is None else 1.0 - slip.share
