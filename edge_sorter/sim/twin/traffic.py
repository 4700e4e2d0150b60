"""What travels on a simulated line, exactly: every parcel, its place, and the lane it should get.

Contract: a function of the layout and its seed. Places are belt coordinates before the belt moved; where a parcel is
later is that plus the belt's travel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import numpy as np

from edge_sorter.errors import ConfigError
from edge_sorter.sim.foreign import WEIGHTS_KG
from edge_sorter.sim.kinds import ALL, KINDS, OTHERS, Kind
from edge_sorter.sim.levels import BeltKnobs, ParcelKnobs
from edge_sorter.sim.line import Parcels, Ride, drive, lay
from edge_sorter.sim.scenario import CLASSES, Scenario, expand, expand_foreign, expand_hands, load
from edge_sorter.sim.twin.drafts import FOREIGN, Draft, Stretch, stretches_of
from edge_sorter.sim.twin.layout import SimPlcConfig, TrafficSection
from edge_sorter.sim.twin.mishaps import Hand, Slip, draw_hands, draw_slips, with_foreign
from edge_sorter.sim.weight import weight_kg
from edge_sorter.sort import SortPlan
from edge_sorter.types import Code, Parcel, Track, TrackState

LEAST_GAP_MM = 60.0
SPREAD = 0.2
"""Gaps on induced lines vary by 15 to 20 %."""
FAR_S = 1e6


@dataclass(frozen=True, slots=True)
class WorldParcel(Draft):
    """One parcel as it really is, or one thing that is none.

    Attributes:
        lane: The lane the sort plan gives to a parcel of which everything is known.
        also: Lanes the plan allows besides, where that one cannot take it.
        together: Touches another or lies beside one.
        judged: Whether the sorter could see it cross the decision line at all, and should have decided.
    """

    lane: str = ""
    also: tuple[str, ...] = ()
    together: bool = False
    judged: bool = False

    @property
    def foreign(self) -> bool:
        """Whether it is no parcel."""
        return self.class_name == FOREIGN

    @property
    def centre_mm(self) -> float:
        """Its middle along travel before the belt moved."""
        return (self.lead_mm + self.trail_mm) / 2.0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Everything that will pass, from the foremost to the last, how the belt moves, and what goes wrong on it.

    Attributes:
        parcels: Foremost first; foreign objects among them.
        stretches: What a photo-eye would see of them as they were laid.
        ride: How the belt moves, without faults.
        slips: Which of them fall behind the belt.
        hands: In the photo-eye's beam.
    """

    parcels: tuple[WorldParcel, ...]
    stretches: tuple[Stretch, ...]
    ride: Ride
    slips: tuple[Slip, ...] = ()
    hands: tuple[Hand, ...] = ()


def make_traffic(config: SimPlcConfig, plan: SortPlan) -> Traffic:
    """Return what passes on this line.

    Raises:
        ConfigError: The scenario is wrong, or so many parcels do not fit on the belt.
    """
    if config.scenario is not None:
        scenario = load(config.scenario)
        if abs(scenario.belt.decision_line_mm - config.decision_line_mm) > 0.5:
            raise ConfigError(
                f"decision_line_mm is {config.decision_line_mm:g}, but {config.scenario.name} has "
                f"{scenario.belt.decision_line_mm:g}"
            )
        ride = ride_of(scenario)
        seen_mm = float(ride.travel_mm(np.array([(scenario.video.frames - 1) / scenario.video.fps]))[0])
        traffic = traffic_of(config, plan, _from_scenario(scenario), ride, seen_mm=seen_mm)
        return replace(traffic, hands=_hands(scenario, config.photo_eye.at_mm))
    section = config.traffic or TrafficSection()
    drafts, ride = _drawn(section, config.seed, travel_mm=config.straight_on.at_mm)
    traffic = traffic_of(config, plan, drafts, running_on(ride, section.speed_mm_s))
    return replace(
        traffic,
        slips=draw_slips(config, section, traffic.parcels),
        hands=draw_hands(section.hands_per_h, config.seed, until_s=ride.end_s),
    )


def traffic_of(
    config: SimPlcConfig, plan: SortPlan, drafts: Sequence[Draft], ride: Ride, *, seen_mm: float = math.inf
) -> Traffic:
    """Return parcels with the lanes they should get, and what a photo-eye sees of them.

    Args:
        config: The line.
        plan: Its sort plan.
        drafts: The parcels.
        ride: How the belt moves, without faults.
        seen_mm: Belt travel until which the sorter looks.
    """
    drafts = sorted(drafts, key=lambda draft: -draft.lead_mm)
    stretches = stretches_of(drafts)
    together = {i for stretch in stretches for i in stretch.parcels if len(stretch.parcels) > 1}
    parcels = []
    for i, draft in enumerate(drafts):
        doubtful = i in together and config.doubles == "exception"
        lanes = (plan.exception,) if doubtful else _lanes(plan, draft)
        to_go_mm = config.decision_line_mm - (draft.lead_mm + draft.trail_mm) / 2.0
        parcels.append(
            WorldParcel(
                **asdict(draft),
                lane=lanes[0],
                also=lanes[1:],
                together=i in together,
                judged=0.0 <= to_go_mm <= seen_mm and draft.class_name != FOREIGN,
            )
        )
    return Traffic(tuple(parcels), stretches, ride)


def ride_of(scenario: Scenario) -> Ride:
    """Return how the belt of a scenario moves."""
    return _ride(scenario.belt.motion.knots)


def _ride(knots: tuple[tuple[float, float], ...]) -> Ride:
    """Return a ride along knots of time (s) and speed (mm/s): straight between, constant outside."""
    knots = (*(((0.0, knots[0][1]),) if knots[0][0] > 0.0 else ()), *knots, (knots[-1][0] + FAR_S, knots[-1][1]))
    travelled = [0.0]
    for (t0, v0), (t1, v1) in pairwise(knots):
        travelled.append(travelled[-1] + 0.5 * (v0 + v1) * (t1 - t0))
    at_s, speed = np.array(knots).T
    return Ride(at_s, speed, np.array(travelled))


def _from_scenario(scenario: Scenario) -> list[Draft]:
    drafts = []
    for placed in expand(scenario):
        along, spec = placed.footprint_mm()[:, 0], placed.spec
        size = (spec.length_mm, spec.width_mm, spec.height_mm)
        ends = (float(along.max()), float(along.min()))
        drafts.append(Draft(placed.id, spec.kind, size, placed.label_code, *ends, spec.lateral_mm, placed.weight_kg))
    for thing in expand_foreign(scenario):
        along, other = thing.footprint_mm()[:, 0], thing.spec
        ends = (float(along.max()), float(along.min()))
        weight = WEIGHTS_KG[other.kind]
        drafts.append(Draft(thing.id, FOREIGN, other.size_mm, None, *ends, other.lateral_mm, weight))
    return drafts


def _hands(scenario: Scenario, eye_mm: float) -> tuple[Hand, ...]:
    """Return when hands of a scenario are in a photo-eye's beam."""
    spans = [hand.before_s(eye_mm) for hand in expand_hands(scenario)]
    return tuple(Hand(*span) for span in spans if span is not None)


def draw_line(section: TrafficSection, seed: int, *, travel_mm: float) -> tuple[Parcels, Ride]:
    """Draw parcels and the belt's ride, which carries the last of them so far.

    Raises:
        ConfigError: So many parcels do not fit on the belt.
    """
    line_rng, belt_rng = (
        np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, part, 5]))) for part in range(2)
    )
    gap_mm = section.speed_mm_s * 3600.0 / section.per_hour - _mean_reach_mm(section)
    low = gap_mm * (1.0 - SPREAD)
    if low < LEAST_GAP_MM:
        most = 3600.0 * section.speed_mm_s / (_mean_reach_mm(section) + LEAST_GAP_MM / (1.0 - SPREAD))
        raise ConfigError(
            f"traffic: {section.per_hour:g} parcels an hour leave gaps of {low:.0f} mm at {section.speed_mm_s:g} mm/s; "
            f"at least {LEAST_GAP_MM:g} are needed: at most {math.floor(most)} an hour, or a faster belt"
        )
    knobs = ParcelKnobs(
        gap_mm=(low, gap_mm * (1.0 + SPREAD)),
        skew_deg=section.skew_deg,
        doubles=section.doubles,
        side_by_side=section.side_by_side,
        stacked=section.stacked,
        totes=section.totes,
        irregular=section.irregular,
    )
    parcels = lay(line_rng, knobs, section.parcels)
    belt = BeltKnobs(section.speed_mm_s, section.profile, run_mm=section.run_mm, stand_s=section.stand_s)
    return parcels, drive(belt_rng, belt, travel_mm=travel_mm - float(parcels.start_mm.min()) + 2000.0)


def _drawn(section: TrafficSection, seed: int, *, travel_mm: float) -> tuple[list[Draft], Ride]:
    parcels, ride = draw_line(section, seed, travel_mm=travel_mm)
    code_rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 2, 5])))
    digits = code_rng.integers(0, 10, size=(section.parcels, 12)).tolist()
    weight_rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, 3, 5])))
    drafts = [
        replace(draft, weight_kg=weight_kg(draft.class_name, draft.size_mm, share))
        for draft, share in zip(
            drafts_of(parcels, ["JD" + "".join(map(str, code)) for code in digits]),
            weight_rng.random(len(parcels)).tolist(),
            strict=True,
        )
    ]
    return with_foreign(drafts, section.foreign, seed), ride


def running_on(ride: Ride, speed_mm_s: float) -> Ride:
    """Return a ride that goes on at full speed after its end."""
    knots = tuple(zip(ride.at_s.tolist(), ride.speed_mm_s.tolist(), strict=True))
    return _ride((*knots, (ride.end_s + 1.0, speed_mm_s)))


def drafts_of(parcels: Parcels, codes: Sequence[str] = ()) -> list[Draft]:
    """Return drawn parcels where they lie once all sliding is over, with their codes if they have any."""
    drafts = []
    for i, kind in enumerate(parcels.kind.tolist()):
        centre, reach = float(parcels.start_mm[i] - parcels.slip_mm[i, 2]), float(parcels.reach_mm[i, 0])
        length, width, height = parcels.size_mm[i].tolist()
        drafts.append(
            Draft(
                number=i + 1,
                class_name=ALL[kind].class_name,
                size_mm=(length, width, height),
                code=codes[i] if codes else None,
                lead_mm=centre + reach,
                trail_mm=centre - reach,
                lateral_mm=float(parcels.lateral_mm[i]),
            )
        )
    return drafts


def _mean_reach_mm(section: TrafficSection) -> float:
    """Return the mean extent along travel of a parcel that lies askew evenly up to the limit."""
    shares = {"tote": section.totes, "irregular": section.irregular}
    ordinary = sum(kind.share * _reach_mm(kind, section) for kind in KINDS)
    others = sum(shares[kind.class_name] * kind.share * _reach_mm(kind, section) for kind in OTHERS)
    return (1.0 - sum(shares.values())) * ordinary + others


def _reach_mm(kind: Kind, section: TrafficSection) -> float:
    skew = math.radians(section.skew_deg) * kind.skew
    cos, sin = (math.sin(skew) / skew, (1.0 - math.cos(skew)) / skew) if skew else (1.0, 0.0)
    return (cos * sum(kind.length_mm) + sin * sum(kind.width_mm)) / 2.0


def _lanes(plan: SortPlan, draft: Draft) -> tuple[str, ...]:
    """Return the lanes the plan allows a parcel of which everything is known, the wanted one first."""
    if draft.class_name == FOREIGN:
        return (plan.default,)
    class_id = CLASSES.index(draft.class_name) if draft.class_name in CLASSES else -1
    track = Track(1, TrackState.CONFIRMED, 0, (0.0, 0.0, 1.0, 1.0), (0.0, 0.0), True, 1.0, class_id, 9, 0, 0)
    codes = () if draft.code is None else (Code("Code128", draft.code),)
    weight_g = None if draft.weight_kg is None else 1000.0 * draft.weight_kg
    rule = plan.rule_for(Parcel(track, draft.class_name, 1.0, draft.size_mm[:2], codes, weight_g=weight_g))
    if rule is None:
        return (plan.default,)
    groups = [plan.group_by_id.get(target) for target in rule.to]
    named = [(t,) if group is None else tuple(group.lanes) for t, group in zip(rule.to, groups, strict=True)]
    return tuple(dict.fromkeys(lane for lanes in named for lane in lanes))
