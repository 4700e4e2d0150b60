"""A clip's known truth, and the verdict on decisions made from it.

Two kinds of truth are read: `edge_sorter.truth/1` (every parcel with class, size and the second it crosses the line)
and a plain count (`{"count": 13}`, optionally with `crossing_frames`), as people make by hand for real footage.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_sorter.errors import ConfigError
from edge_sorter.sort import SortPlan
from edge_sorter.types import Parcel, Reason, SortDecision, Track, TrackState

MATCH_WITHIN_S = 0.35
"""A decision belongs to the parcel whose crossing is nearest in time, up to this; half of a dense line's pitch."""

FOR_A_GROUP = (Reason.DOUBLE, Reason.SIDE_BY_SIDE)

LaneOf = Callable[["TrueParcel"], "str | None"]
"""The lane a true parcel ought to go to; None when its truth does not say enough."""


@dataclass(frozen=True)
class TrueParcel:
    """One parcel that really crossed the line.

    Attributes:
        group: why no diverter can part it from its neighbours (DOUBLE, SIDE_BY_SIDE), or None where one can.
        group_ids: it and those neighbours.
    """

    parcel_id: int
    cross_s: float
    class_name: str | None = None
    size_mm: tuple[float, float] | None = None
    group: str | None = None
    group_ids: tuple[int, ...] = ()


@dataclass(frozen=True)
class TrueForeign:
    """Something that really crossed the line and is no parcel: nobody wants a decision of it."""

    foreign_id: int
    kind: str
    cross_s: float


@dataclass(frozen=True)
class Truth:
    """What really crossed; `parcels` is None when only their number is known."""

    count: int
    parcels: tuple[TrueParcel, ...] | None = None
    foreign: tuple[TrueForeign, ...] = ()


@dataclass
class Verdict:
    """Decisions held against the truth.

    `shared` parcels are among the decided, by the one decision for their group. `extra` decisions belong to nothing;
    those that foreign objects got are not among them, but in `foreign`: a row for each that crossed the line.
    """

    parcels: int
    decided: int
    missed: int
    extra: int
    shared: int = 0
    lanes_judged: int = 0
    lane_right: int = 0
    wrong: list[dict[str, Any]] = field(default_factory=list)
    crossing_error_ms: list[float] = field(default_factory=list)
    size_error_mm: list[tuple[float, float]] = field(default_factory=list)
    foreign: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values; the share of right lanes comes with its 95 % Wilson interval."""
        errors = sorted(map(abs, self.crossing_error_ms))
        sides = [sorted(side) for side in zip(*self.size_error_mm, strict=True)]
        return {
            "parcels": self.parcels,
            "decided": self.decided,
            "shared": self.shared,
            "missed": self.missed,
            "extra": self.extra,
            "lanes_judged": self.lanes_judged,
            "lane_right": self.lane_right,
            "lane_right_95": wilson(self.lane_right, self.lanes_judged),
            "wrong": self.wrong,
            "crossing_error_ms_median": round(errors[len(errors) // 2], 1) if errors else None,
            "crossing_error_ms_max": round(errors[-1], 1) if errors else None,
            "size_error_mm_median": [round(side[len(side) // 2], 1) for side in sides] or None,
            **({"foreign": self.foreign} if self.foreign else {}),
        }


def load_truth(path: Path) -> Truth:
    """Read a truth file.

    Raises:
        ConfigError: The file is missing or says nothing this version understands.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"truth {path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"truth {path} is not JSON: {error}") from None
    try:
        if data.get("schema") == "edge_sorter.truth/1":
            crossing = tuple(_true_parcel(row) for row in data["parcels"] if row["crosses"])
            others = [row for row in data.get("foreign", ()) if row["crosses"]]
            foreign = tuple(TrueForeign(int(row["id"]), str(row["kind"]), float(row["cross_s"])) for row in others)
            return Truth(len(crossing), crossing, foreign)
        fps = float(data["fps"]) if "fps" in data else None
        frames = data.get("crossing_frames")
        if frames and fps:
            return Truth(len(frames), tuple(TrueParcel(i + 1, f / fps) for i, f in enumerate(frames)))
        return Truth(int(data["count"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"truth {path} lacks or garbles {error}; expected edge_sorter.truth/1 or a count") from None


def _true_parcel(row: dict[str, Any]) -> TrueParcel:
    return TrueParcel(
        int(row["id"]),
        float(row["cross_s"]),
        str(row["class"]),
        (float(row["length_mm"]), float(row["width_mm"])),
        row.get("group"),
        tuple(row.get("group_ids", ())),
    )


def judge(truth: Truth, decisions: list[SortDecision], *, lane_of: LaneOf | None = None) -> Verdict:
    """Match decisions to what really crossed by the time of crossing, nearest pairs first, and count what is left over.

    Parcels of a group that have no decision of their own share the one that says it is for their group.
    """
    decisions = list({decision.parcel_uid: decision for decision in decisions}.values())  # its newest revision counts
    if truth.parcels is None:
        found = min(truth.count, len(decisions))
        return Verdict(truth.count, found, truth.count - found, len(decisions) - found)
    thing_of = _nearest([*truth.parcels, *truth.foreign], decisions)
    parcel_of = {j: i for j, i in thing_of.items() if i < len(truth.parcels)}
    matched = len(parcel_of)
    verdict = Verdict(len(truth.parcels), matched, len(truth.parcels) - matched, len(decisions) - len(thing_of))
    of_foreign = {i - len(truth.parcels): decisions[j] for j, i in thing_of.items() if j not in parcel_of}
    verdict.foreign = [_foreign_row(thing, of_foreign.get(i)) for i, thing in enumerate(truth.foreign)]
    own = {truth.parcels[i].parcel_id: decisions[j] for j, i in sorted(parcel_of.items())}
    for parcel in truth.parcels:
        decision = own.get(parcel.parcel_id)
        if decision is not None:
            verdict.crossing_error_ms.append((decision.crossed_ns / 1e9 - parcel.cross_s) * 1e3)
            if parcel.size_mm and decision.size_mm and parcel.group is None:
                along, across = (abs(a - b) for a, b in zip(decision.size_mm, parcel.size_mm, strict=True))
                verdict.size_error_mm.append((along, across))
        else:
            others = (own.get(parcel_id) for parcel_id in parcel.group_ids)
            decision = next((d for d in others if d is not None and d.reason in FOR_A_GROUP), None)
            verdict.shared += decision is not None
        if decision is not None:
            _judge_lane(verdict, parcel, decision, lane_of)
    verdict.decided += verdict.shared
    verdict.missed -= verdict.shared
    return verdict


def _nearest(things: Sequence[TrueParcel | TrueForeign], decisions: Sequence[SortDecision]) -> dict[int, int]:
    """Which decision belongs to which thing, by index: the nearest pairs in time first, each at most once."""
    pairs = sorted(
        (abs(d.crossed_ns / 1e9 - thing.cross_s), i, j)
        for i, thing in enumerate(things)
        for j, d in enumerate(decisions)
        if abs(d.crossed_ns / 1e9 - thing.cross_s) <= MATCH_WITHIN_S
    )
    thing_of: dict[int, int] = {}
    for _, i, j in pairs:
        if j not in thing_of and i not in thing_of.values():
            thing_of[j] = i
    return thing_of


def _foreign_row(thing: TrueForeign, decision: SortDecision | None) -> dict[str, Any]:
    return {
        "foreign": thing.foreign_id,
        "kind": thing.kind,
        "got": None if decision is None else decision.lane,
        "reason": None if decision is None else decision.reason.value,
        "saw": None if decision is None else decision.class_name,
    }


def _judge_lane(verdict: Verdict, parcel: TrueParcel, decision: SortDecision, lane_of: LaneOf | None) -> None:
    wanted = lane_of(parcel) if lane_of else None
    if wanted is None:
        return
    verdict.lanes_judged += 1
    if decision.lane == wanted:
        verdict.lane_right += 1
    else:
        verdict.wrong.append(
            {
                "parcel": parcel.parcel_id,
                "class": parcel.class_name,
                "wanted": wanted,
                "got": decision.lane,
                "reason": decision.reason.value,
                "saw": decision.class_name,
                "size_mm": decision.size_mm,
            }
        )


def lane_by_plan(plan: SortPlan, *, groups_to_exception: bool = False) -> LaneOf:
    """Return what a plan wants for a parcel of known class and size: perfect eyes, the same rules.

    With `groups_to_exception` (`sort.doubles: exception`) what no diverter can part belongs into the exception lane.
    """

    def lane_of(parcel: TrueParcel) -> str | None:
        if groups_to_exception and parcel.group is not None:
            return plan.exception
        if parcel.class_name is None:
            return None
        seen = Track(0, TrackState.CONFIRMED, 0, (0.0, 0.0, 0.0, 0.0), (0.0, 0.0), True, 1.0, 0, 1, 0, 0)
        rule = plan.rule_for(Parcel(seen, parcel.class_name, 1.0, parcel.size_mm))
        wanted = rule.to[0] if rule else plan.default
        return None if wanted in plan.group_by_id else wanted  # any lane of a group is right

    return lane_of


def wilson(hits: int, trials: int) -> tuple[float, float]:
    """Return the 95 % Wilson score interval of a share (Wilson 1927); (0, 1) when nothing was tried."""
    if not trials:
        return 0.0, 1.0
    z, share = 1.959963984540054, hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, centre - half), min(1.0, centre + half)
