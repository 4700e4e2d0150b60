"""How the decisions of a simulated line compare with its truth: counts first, rates and intervals from them last.

Contract: `judge` matches decisions to parcels by their place on the belt alone, as a diverter does, and counts; counts
of several stretches of belt are added up, never averaged. Intervals are exact for any count (`interval`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.table import Table

from edge_sorter.sim.interval import clopper_pearson
from edge_sorter.sim.kinds import ALL
from edge_sorter.sim.landing import landed_report, show_landed
from edge_sorter.sim.line import SINGLE, Floats, Ints, Parcels
from edge_sorter.sim.looks import Bools
from edge_sorter.sim.measure import CAUSES
from edge_sorter.types import Reason, SortDecision

NEAR_MM = 120.0
"""A decision further than this outside a parcel's true footprint is not about that parcel."""
COVER_MM = 20.0
"""A decision covers so much belt beyond its ends."""
FAILURES = ("none", "two", "wrong_silently", "late", "id_switch")
OUTCOMES = (*FAILURES, "right", "to_exception", "off_by_20_mm")


@dataclass
class Tally:
    """Counts of one stretch of belt, or of several."""

    parcels: int = 0
    decisions: int = 0
    frames: int = 0
    ghosts: int = 0
    id_switches: int = 0
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))
    by_cause: dict[str, dict[str, int]] = field(default_factory=dict)
    by_kind: dict[str, dict[str, int]] = field(default_factory=dict)
    """Only of lines with kinds that the model has no class for; `as carton` counts what was decided as a carton."""
    exception_reasons: dict[str, int] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    """Sum, sum of squares, greatest magnitude and count of position errors in mm."""
    examples: list[dict[str, Any]] = field(default_factory=list)
    landed: dict[str, dict[str, int]] = field(default_factory=dict)
    """What `landing.count_landed` counted, where decisions were carried out."""

    def add(self, other: Tally) -> None:
        """Add the counts of another stretch."""
        for name in ("parcels", "decisions", "frames", "ghosts", "id_switches"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        _add_counts(self.outcomes, other.outcomes)
        _add_counts(self.exception_reasons, other.exception_reasons)
        for cause, counts in other.by_cause.items():
            _add_counts(self.by_cause.setdefault(cause, {}), counts)
        for counted, theirs in ((self.by_kind, other.by_kind), (self.landed, other.landed)):
            for name, counts in theirs.items():
                _add_counts(counted.setdefault(name, {}), counts)
        for name, (total, squares, most, count) in other.errors.items():
            mine = self.errors.setdefault(name, [0.0, 0.0, 0.0, 0])
            self.errors[name] = [mine[0] + total, mine[1] + squares, max(mine[2], most), mine[3] + count]
        self.examples += other.examples


@dataclass(frozen=True, slots=True)
class Truth:
    """What should have happened to each of n parcels.

    Attributes:
        lead_mm, trail_mm: (n,) belt travel at which the edges are at the decision line.
        lateral_mm: (n,) centre from the middle of the calibrated area.
        half_width_mm: (n,) half the extent across the belt.
        lane: Lane of each parcel.
        causes: (n, len(CAUSES)) what befell it.
    """

    lead_mm: Floats
    trail_mm: Floats
    lateral_mm: Floats
    half_width_mm: Floats
    lane: list[str]
    causes: Bools


def judge(
    parcels: Parcels,
    truth: Truth,
    decisions: list[SortDecision],
    delivered_ns: list[int],
    switches: Ints,
    *,
    exception_lane: str,
    shard: int,
    per_kind: bool = False,
) -> Tally:
    """Count what became of every parcel.

    Args:
        parcels: The parcels.
        truth: What should have become of them.
        decisions: All decisions.
        delivered_ns: When each was ready to be sent.
        switches: (n,) how often each parcel changed its track.
        exception_lane: Where doubtful parcels belong.
        shard: Number of the stretch, for the examples.
        per_kind: Whether to count every kind by itself, too.
    """
    decisions, delivered_ns = _standing(decisions, delivered_ns)
    tally = Tally(parcels=len(parcels), decisions=len(decisions), id_switches=int(switches.sum()))
    of_parcel, tally.ghosts = _matched(truth, decisions)
    _share_groups(truth, decisions, of_parcel)
    for i, mine in enumerate(of_parcel):
        found = _outcomes(truth, i, [decisions[k] for k in mine], exception_lane)
        if mine and delivered_ns[mine[0]] > decisions[mine[0]].deadline_ns and "late" not in found:
            found.append("late")
        if switches[i]:
            found.append("id_switch")
        if mine and parcels.group[i] == SINGLE:
            _note_position(tally, truth, i, decisions[mine[0]], found)
        if "to_exception" in found:
            reason = decisions[mine[0]].reason.value
            tally.exception_reasons[reason] = tally.exception_reasons.get(reason, 0) + 1
        _note(tally, truth.causes[i], found)
        if per_kind:
            called = {f"as {decisions[k].class_name}": 1 for k in mine[:1]}
            counts = {"parcels": 1, **dict.fromkeys(found, 1), **called}
            _add_counts(tally.by_kind.setdefault(ALL[parcels.kind[i]].class_name, {}), counts)
        if {"none", "two", "wrong_silently", "late"} & set(found):
            tally.examples.append(_example(parcels, truth, i, [decisions[k] for k in mine], found, shard))
    return tally


def _standing(decisions: list[SortDecision], delivered_ns: list[int]) -> tuple[list[SortDecision], list[int]]:
    """Return what holds in the end: the last of a parcel's revisions that came before its deadline, or the first."""
    standing: dict[str, tuple[SortDecision, int]] = {}
    for decision, at_ns in zip(decisions, delivered_ns, strict=True):
        if decision.rev == 0 or at_ns <= decision.deadline_ns:
            standing[decision.parcel_uid] = decision, at_ns
    return [decision for decision, _ in standing.values()], [at_ns for _, at_ns in standing.values()]


def _matched(truth: Truth, decisions: list[SortDecision]) -> tuple[list[list[int]], int]:
    """Return the decisions about each parcel, and how many were about none."""
    centre = (truth.lead_mm + truth.trail_mm) / 2.0
    order = np.argsort(centre, kind="stable").tolist()
    places = centre[order].tolist()
    of_parcel: list[list[int]] = [[] for _ in order]
    ghosts = 0
    for k, decision in enumerate(decisions):
        lead, trail, lateral = decision.position.lead_mm, decision.position.trail_mm, decision.position.lateral_mm
        best, best_off = -1, math.inf
        if lead is not None and trail is not None and lateral is not None:
            at = (lead + trail) / 2.0
            for j in range(bisect_left(places, at - 800.0), bisect_left(places, at + 800.0)):
                i = order[j]
                along, across = abs(at - centre[i]), abs(lateral - truth.lateral_mm[i])
                outside = (
                    along - (truth.trail_mm[i] - truth.lead_mm[i]) / 2.0,
                    across - truth.half_width_mm[i],
                )
                if max(outside) < NEAR_MM and math.hypot(along, across) < best_off:
                    best, best_off = i, math.hypot(along, across)
        if best < 0:
            ghosts += 1
        else:
            of_parcel[best].append(k)
    return of_parcel, ghosts


def _share_groups(truth: Truth, decisions: list[SortDecision], of_parcel: list[list[int]]) -> None:
    """Let a decision speak for each parcel that has none of its own and whose centre it covers.

    A diverter takes everything that lies where it strikes: what was seen as one goes to one lane.
    """
    centre = (truth.lead_mm + truth.trail_mm) / 2.0
    order = np.argsort(centre, kind="stable").tolist()
    places = centre[order].tolist()
    for k, decision in enumerate(decisions):
        lead, trail, lateral = decision.position.lead_mm, decision.position.trail_mm, decision.position.lateral_mm
        if lead is None or trail is None or lateral is None:
            continue
        group = decision.reason in (Reason.DOUBLE, Reason.SIDE_BY_SIDE)
        half_mm = math.inf if group or decision.size_mm is None else decision.size_mm[1] / 2.0
        for i in order[bisect_left(places, lead - COVER_MM) : bisect_left(places, trail + COVER_MM)]:
            if not of_parcel[i] and abs(truth.lateral_mm[i] - lateral) < half_mm:
                of_parcel[i] = [k]


def _outcomes(truth: Truth, i: int, decisions: list[SortDecision], exception_lane: str) -> list[str]:
    if not decisions:
        return ["none"]
    found = ["two"] if len(decisions) > 1 else []
    first = decisions[0]
    if first.reason is Reason.LATE:
        return [*found, "late"]
    if all(d.lane == truth.lane[i] for d in decisions):
        return [*found, "right"]
    return [*found, "to_exception" if all(d.lane == exception_lane for d in decisions) else "wrong_silently"]


def _note_position(tally: Tally, truth: Truth, i: int, decision: SortDecision, found: list[str]) -> None:
    position = decision.position
    if position.lead_mm is None or position.trail_mm is None:
        return
    off = {"lead": position.lead_mm - float(truth.lead_mm[i]), "trail": position.trail_mm - float(truth.trail_mm[i])}
    off["centre"] = (off["lead"] + off["trail"]) / 2.0
    if abs(off["centre"]) > 20.0:
        found.append("off_by_20_mm")
    kinds = ("all", "sorted") if decision.reason is Reason.PLAN_MATCH else ("all",)
    for name, error in off.items():
        for kind in kinds:
            total, squares, most, count = tally.errors.get(f"{name}_{kind}", [0.0, 0.0, 0.0, 0])
            tally.errors[f"{name}_{kind}"] = [total + error, squares + error**2, max(most, abs(error)), count + 1]


def _note(tally: Tally, causes: Bools, found: list[str]) -> None:
    names = [name for name, hit in zip(CAUSES, causes.tolist(), strict=True) if hit] or ["nothing"]
    for outcome in found:
        tally.outcomes[outcome] += 1
    for name in names:
        counts = tally.by_cause.setdefault(name, {})
        for outcome in ("parcels", *found):
            counts[outcome] = counts.get(outcome, 0) + 1


def _example(
    parcels: Parcels, truth: Truth, i: int, decisions: list[SortDecision], found: list[str], shard: int
) -> dict[str, Any]:
    return {
        "shard": shard,
        "parcel": i,
        "outcome": found,
        "causes": [name for name, hit in zip(CAUSES, truth.causes[i].tolist(), strict=True) if hit],
        "lane": truth.lane[i],
        "kind": int(parcels.kind[i]),
        "size_mm": parcels.size_mm[i].tolist(),
        "lead_trail_mm": [round(float(truth.lead_mm[i]), 1), round(float(truth.trail_mm[i]), 1)],
        "lateral_mm": round(float(truth.lateral_mm[i]), 1),
        "decisions": [
            {
                "uid": d.parcel_uid,
                "track": d.track_id,
                "lane": d.lane,
                "reason": d.reason.value,
                "class": d.class_name,
                "confidence": d.confidence,
                "size_mm": d.size_mm,
                "lead_trail_mm": [d.position.lead_mm, d.position.trail_mm],
                "lateral_mm": d.position.lateral_mm,
            }
            for d in decisions
        ],
    }


def report(tally: Tally) -> dict[str, Any]:
    """Return rates per million with 95 % intervals, and everything they were made of."""
    return {
        "parcels": tally.parcels,
        "frames": tally.frames,
        "decisions": tally.decisions,
        "count_error": tally.decisions - tally.parcels,
        "decisions_about_nothing": tally.ghosts,
        "id_switches": tally.id_switches,
        "per_million": {name: _rate(tally.outcomes[name], tally.parcels) for name in OUTCOMES},
        "exception_reasons": dict(sorted(tally.exception_reasons.items())),
        "position_error_mm": {name: _spread(*sums) for name, sums in sorted(tally.errors.items())},
        "by_cause": {name: tally.by_cause[name] for name in ("nothing", *CAUSES) if name in tally.by_cause},
        **({"by_kind": dict(sorted(tally.by_kind.items()))} if tally.by_kind else {}),
        **({"landed": landed_report(tally.landed)} if tally.landed else {}),
    }


def _rate(count: int, of: int) -> dict[str, Any]:
    low, high = clopper_pearson(count, of)
    return {
        "count": count,
        "per_million": round(1e6 * count / of, 1) if of else None,
        "low": round(1e6 * low, 1),
        "high": round(1e6 * high, 1),
    }


def _spread(total: float, squares: float, most: float, count: float) -> dict[str, Any]:
    mean = total / count
    sigma = math.sqrt(max(squares / count - mean**2, 0.0))
    return {
        "mean": round(mean, 2),
        "sigma_3": round(3.0 * sigma, 2),
        "mean_and_sigma_3": round(abs(mean) + 3.0 * sigma, 2),
        "greatest": round(most, 1),
        "count": int(count),
    }


def _add_counts(mine: dict[str, int], other: dict[str, int]) -> None:
    for name, count in other.items():
        mine[name] = mine.get(name, 0) + count


def show(console: Any, result: dict[str, Any]) -> None:
    """Print a report for people."""
    console.print(
        f"level [bold]{result['level']}[/], seed {result['seed']}: {result['parcels']} parcels, "
        f"{result['decisions']} decisions, {result['frames']} frames; {result['id_switches']} id switches, "
        f"{result['decisions_about_nothing']} decisions about nothing",
        highlight=False,
    )
    table = Table("outcome", "parcels", "per million", "95 % interval", title="What became of the parcels")
    for name, rate in result["per_million"].items():
        between = f"{rate['low']:.0f} .. {rate['high']:.0f}"
        table.add_row(name, str(rate["count"]), f"{rate['per_million']:.0f}", between)
    console.print(table)
    table = Table("position", "mean mm", "3 sigma mm", "greatest mm", "parcels", title="Position at the divert")
    for name, error in result["position_error_mm"].items():
        cells = (f"{error['mean']:+.1f}", f"{error['sigma_3']:.1f}", f"{error['greatest']:.0f}", str(error["count"]))
        table.add_row(name.replace("_", ", "), *cells)
    console.print(table)
    table = Table("cause", "parcels", *FAILURES, "to_exception", title="By cause (a parcel may have several)")
    for name, counts in result["by_cause"].items():
        columns = ("parcels", *FAILURES, "to_exception")
        table.add_row(name, *(str(counts.get(column, 0)) for column in columns))
    console.print(table)
    if "by_kind" in result:
        _show_kinds(console, result["by_kind"])
    if "landed" in result:
        show_landed(console, result["landed"])


def _show_kinds(console: Any, by_kind: dict[str, dict[str, int]]) -> None:
    """Print what became of each kind, and what it was taken for."""
    columns = ("parcels", "right", "to_exception", "wrong_silently", "none", "two", "off_by_20_mm")
    table = Table("kind", *columns, "decided as", title="By kind")
    for kind, counts in by_kind.items():
        called = sorted((name[3:] for name in counts if name.startswith("as ")), key=lambda n: -counts[f"as {n}"])
        decided = ", ".join(f"{name} {counts[f'as {name}']}" for name in called)
        table.add_row(kind, *(str(counts.get(column, 0)) for column in columns), decided)
    console.print(table)
