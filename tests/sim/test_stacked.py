"""Parcels on one another: where they lie, what is seen of them, and what becomes of both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_sorter.sim.levels import LEVELS, BeltKnobs, CameraKnobs, DetectorKnobs, Level, ParcelKnobs
from edge_sorter.sim.line import BELT_WIDTH_MM, SINGLE, STACKED, drive, lay, travel_needed_mm
from edge_sorter.sim.measure import CAUSES, measure
from edge_sorter.sim.simulate import LINE_MM, run_shard
from edge_sorter.sim.twin.layout import SimPlcConfig, load_layout
from edge_sorter.sim.twin.traffic import make_traffic

STACKS = Level(
    "stacks",
    BeltKnobs(speed_mm_s=2000.0),
    ParcelKnobs(gap_mm=(300.0, 400.0), stacked=0.4),
    CameraKnobs(fps=20.0),
    DetectorKnobs(covers=1.0),
    sort={"doubles": "exception"},
)


def generator(seed=1):
    return np.random.Generator(np.random.PCG64(seed))


def stacks(parcels):
    lower = np.flatnonzero((parcels.group == STACKED) & (parcels.partner > np.arange(len(parcels))))
    return lower, parcels.partner[lower]


def test_the_upper_parcel_lies_on_the_lower_one_and_nobody_in_another():
    parcels = lay(generator(), replace(STACKS.parcels, doubles=0.03, side_by_side=0.03, slides=0.1), 2000)
    lower, upper = stacks(parcels)
    assert len(lower) > 100
    assert (upper == lower + 1).all()
    assert (parcels.partner[upper] == lower).all()
    assert (parcels.base_mm[upper] == parcels.size_mm[lower, 2]).all()
    assert not parcels.base_mm[parcels.group != STACKED].any()
    for place, side in ((parcels.start_mm, 0), (parcels.lateral_mm, 1)):
        over = np.abs(place[upper] - place[lower]) + parcels.reach_mm[upper, side] - parcels.reach_mm[lower, side]
        assert over.max() < 0.05, "it does not hang over"
    assert (parcels.lateral_mm + parcels.reach_mm[:, 1]).max() < BELT_WIDTH_MM
    corners = parcels.corners_mm()
    assert (corners[..., 2].min(axis=1) == parcels.base_mm).all()
    ground = np.flatnonzero(parcels.base_mm == 0.0)
    ground = ground[np.isin(parcels.group[ground], (SINGLE, STACKED))]
    rear = parcels.start_mm - parcels.reach_mm[:, 0]
    front = parcels.start_mm + parcels.reach_mm[:, 0]
    assert (front[ground][1:] <= rear[ground][:-1] + 0.1).all()


def test_a_line_without_stacks_is_the_line_it_was():
    knobs = replace(STACKS.parcels, stacked=0.0)
    plain, stacked = lay(generator(), knobs, 60), lay(generator(), STACKS.parcels, 60)
    on_belt = stacked.base_mm == 0.0
    assert not on_belt.all()
    assert (plain.start_mm[on_belt] == stacked.start_mm[on_belt]).all()
    assert (plain.size_mm == stacked.size_mm).all()


def test_what_is_covered_is_never_seen():
    for covers in (1.0, 0.0):
        level = replace(STACKS, detector=DetectorKnobs(covers=covers))
        parcels = lay(generator(), level.parcels, 120)
        ride = drive(generator(2), level.belt, travel_mm=travel_needed_mm(parcels))
        measured = measure(generator(3), level, parcels, ride, line_mm=LINE_MM)
        lower, upper = stacks(parcels)
        seen = np.isin(np.arange(120), measured.rows.source)
        assert seen[upper].all()
        assert seen[lower].any() == (covers == 0.0)
        assert (measured.causes[:, CAUSES.index("stacked")] == (parcels.group == STACKED)).all()


def test_a_hidden_parcel_goes_where_the_upper_one_goes_and_the_report_says_that_it_is_wrong(monkeypatch):
    monkeypatch.setitem(LEVELS, "stacks", STACKS)
    tally = run_shard("stacks", 4, 0, 60, ())
    counts = tally.by_cause["stacked"]
    assert counts["parcels"] > 10
    assert counts["wrong_silently"] > 0.6 * counts["parcels"], "both belong into the exception lane; nobody can see it"
    assert counts.get("right", 0) + counts.get("to_exception", 0) < 0.2 * counts["parcels"]
    assert tally.outcomes["right"] >= 60 - counts["parcels"]
    assert tally.landed["outcomes"]["wrong"] > 0


def test_a_stack_is_one_item_for_the_photo_eye(root):
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    values = config.model_dump(by_alias=True) | {"doubles": "exception"}
    values["traffic"] |= {"parcels": 300, "per_hour": 5000.0, "stacked": 0.3}
    traffic = make_traffic(SimPlcConfig.model_validate(values), plan)
    pairs = [stretch for stretch in traffic.stretches if len(stretch.parcels) == 2]
    assert len(pairs) > 15
    together = [parcel for parcel in traffic.parcels if parcel.together]
    assert len(together) == 2 * len(pairs)
    assert {parcel.lane for parcel in together} == {plan.exception}
