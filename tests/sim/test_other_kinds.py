"""Totes and irregular things: in scenarios, on the measured line and on the PLC's, and nowhere unless asked for."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.sim import odd_shapes, skins, truth
from edge_sorter.sim.kinds import ALL, CLASS_OF, KINDS, OTHERS, look_at, with_others
from edge_sorter.sim.levels import LEVELS, BeltKnobs, CameraKnobs, DetectorKnobs, Level, ParcelKnobs
from edge_sorter.sim.line import BELT_WIDTH_MM, SIDE_BY_SIDE, drive, lay, travel_needed_mm
from edge_sorter.sim.measure import measure
from edge_sorter.sim.parcels import mesh_of
from edge_sorter.sim.scenario import CLASSES, OTHER_KINDS, load
from edge_sorter.sim.simulate import LINE_MM, run_shard, simulate
from edge_sorter.sim.twin.layout import SimPlcConfig, load_layout
from edge_sorter.sim.twin.traffic import make_traffic

THINGS = {
    "tote": ("tote", (600.0, 400.0, 320.0)),
    "small tote": ("tote", (400.0, 300.0, 170.0)),
    "tyre": ("irregular", (590.0, 580.0, 200.0)),
    "bucket": ("irregular", (300.0, 300.0, 340.0)),
    "bundle": ("irregular", (620.0, 330.0, 260.0)),
}
PERFECT = Level(
    "perfect",
    BeltKnobs(speed_mm_s=1000.0),
    ParcelKnobs(totes=0.2, irregular=0.2),
    CameraKnobs(fps=30.0),
    DetectorKnobs(),
)


def generator(seed=1):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("thing", THINGS)
def test_meshes_have_their_size_exactly_and_look_outwards(thing):
    kind, size = THINGS[thing]
    mesh = mesh_of(kind, size, (1, 2))
    low, high = mesh.vertices_mm.min(axis=0), mesh.vertices_mm.max(axis=0)
    assert low == pytest.approx([-size[0] / 2, -size[1] / 2, 0.0], abs=0.6)
    assert high == pytest.approx([size[0] / 2, size[1] / 2, size[2]], abs=0.6)
    assert mesh.quads.max() < len(mesh.vertices_mm)
    assert mesh.uv.shape == (*mesh.quads.shape, 2)
    assert mesh.uv.min() >= -1e-9
    assert mesh.uv.max() <= 1 + 1e-9
    np.testing.assert_array_equal(mesh.vertices_mm, mesh_of(kind, size, (1, 2)).vertices_mm)
    a, b, c, d = (mesh.vertices_mm[mesh.quads[:, k]] for k in range(4))
    volume = (np.cross(c - a, d - b) * (a + b + c + d)).sum() / 24.0  # of what the faces enclose, if they look outwards
    assert 0.1 * np.prod(size) < volume < 0.95 * np.prod(size)


def test_an_irregular_thing_is_what_its_proportions_say():
    assert {odd_shapes.form_of(size) for kind, size in THINGS.values() if kind == "irregular"} == {
        "tyre",
        "bucket",
        "bundle",
    }
    hole = mesh_of("irregular", THINGS["tyre"][1], (3, 3)).vertices_mm
    assert np.hypot(hole[:, 0], hole[:, 1]).min() > 150.0
    inside = mesh_of("tote", THINGS["tote"][1], (3, 3)).vertices_mm
    assert (np.abs(inside[:, :2]) < [200.0, 100.0]).all(axis=1).any(), "a tote has a floor, or goods on it"


@pytest.mark.parametrize("thing", THINGS)
def test_skins_are_drawn_the_same_for_the_same_seed(thing):
    kind, size = THINGS[thing]
    spec = skins.SkinSpec(kind, size, "JD123456789012", px_per_mm=0.3)
    first = skins.draw(spec, np.random.default_rng(5))
    assert (first.dtype, first.shape[2]) == (np.uint8, 4)
    np.testing.assert_array_equal(first, skins.draw(spec, np.random.default_rng(5)))
    assert (first != skins.draw(spec, np.random.default_rng(6))).any()
    bare = skins.draw(replace(spec, code=None), np.random.default_rng(5))
    assert (first != bare).any(), "the label shows"


SCENARIO = """
schema: edge_sorter.scenario/1
name: mixed
seed: 3
video: {width_px: 96, height_px: 54, fps: 10, duration_s: 2}
camera: {position_mm: [500, -200, 1500], look_at_mm: [500, 300, 0], horizontal_fov_deg: 40}
belt: {width_mm: 800, speed_mm_s: 500, decision_line_mm: 600}
parcels:
  - {kind: tote, length_mm: 600, width_mm: 400, height_mm: 320, lateral_mm: 400, start_mm: 300}
  - {kind: irregular, length_mm: 300, width_mm: 300, height_mm: 330, lateral_mm: 400, gap_mm: 100}
"""


def test_a_scenario_may_have_them_and_truth_keeps_the_kind(tmp_path):
    path = tmp_path / "mixed.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    truth.write(load(path), tmp_path / "out")
    parcels = json.loads((tmp_path / "out" / "truth.json").read_text())["parcels"]
    assert [parcel["class"] for parcel in parcels] == ["tote", "irregular"]
    rows = (tmp_path / "out" / "truth_mot.txt").read_text().splitlines()
    assert {int(row.split(",")[7]) for row in rows} == {len(CLASSES) + 1, len(CLASSES) + 2}
    path.write_text(SCENARIO.replace("kind: tote", "kind: crate"), encoding="utf-8")
    with pytest.raises(ConfigError) as told:
        load(path)
    assert "parcels[0].kind" in str(told.value)
    assert "'tote'" in str(told.value)


def test_shares_are_as_asked_and_everybody_lies_on_the_belt():
    knobs = ParcelKnobs(totes=0.1, irregular=0.1, doubles=0.02, side_by_side=0.05)
    parcels = lay(generator(), knobs, 4000)
    names = np.array([ALL[kind].class_name for kind in parcels.kind])
    assert (names == "tote").mean() == pytest.approx(0.09, abs=0.02)
    assert (names == "irregular").mean() == pytest.approx(0.09, abs=0.02)
    assert (parcels.lateral_mm - parcels.reach_mm[:, 1]).min() > 0.0
    assert (parcels.lateral_mm + parcels.reach_mm[:, 1]).max() < BELT_WIDTH_MM
    strange = CLASS_OF[parcels.kind] < 0
    assert not strange[parcels.group == SIDE_BY_SIDE].any(), "no two of these fit on the belt"
    totes = parcels.class_id[names == "tote"]
    assert (totes == CLASSES.index("carton")).mean() > 0.5
    assert (parcels.class_id[~strange] == CLASS_OF[parcels.kind[~strange]]).all()


def test_others_are_called_as_often_as_their_kind_says():
    for index, kind in enumerate(OTHERS, start=len(KINDS)):
        assert sum(share for _, share in kind.called) == pytest.approx(1.0)
        looks = np.full(20_000, index)
        lost, unsure, class_id = look_at(generator(), looks, np.full(20_000, -7))
        assert lost.mean() == pytest.approx(kind.missed, abs=0.01)
        assert unsure.mean() == pytest.approx(kind.unsure, abs=0.015)
        assert (class_id != -7).mean() == pytest.approx(kind.wavers, abs=0.015)
    lost, unsure, class_id = look_at(generator(), np.zeros(500, int), np.full(500, 3))
    assert not lost.any()
    assert not unsure.any()
    assert (class_id == 3).all()
    for name in OTHER_KINDS:
        drawn = with_others(generator(), np.zeros(9000, int), np.ones(9000, bool), {name: 0.5})
        for index, kind in enumerate(ALL):
            wanted = 0.5 * kind.share if kind.class_name == name else 0.5 * (index == 0)
            assert (drawn == index).mean() == pytest.approx(wanted, abs=0.02)


def test_most_totes_are_seen_as_what_lies_in_them():
    parcels = lay(generator(), replace(PERFECT.parcels, totes=0.5), 200)
    ride = drive(generator(2), PERFECT.belt, travel_mm=travel_needed_mm(parcels))
    seen = measure(generator(3), PERFECT, parcels, ride, line_mm=LINE_MM).rows
    bare = replace(parcels, kind=np.zeros_like(parcels.kind))
    whole = measure(generator(3), PERFECT, bare, ride, line_mm=LINE_MM).rows
    totes = np.flatnonzero(np.array([ALL[kind].class_name for kind in parcels.kind]) == "tote")
    opened = 0
    for tote in totes.tolist():
        mine, full = seen.xyxy[seen.source == tote], whole.xyxy[whole.source == tote]
        inside = (mine[:, :2].min(axis=0) > full[:, :2].min(axis=0) - 0.1).all()
        assert inside, "no thing in a tote sticks out of all its looks"
        opened += (mine[:, 2:] - mine[:, :2]).max() < 0.75 * (full[:, 2:] - full[:, :2]).max()
    assert opened / len(totes) == pytest.approx(0.7, abs=0.15)


def test_the_report_counts_every_kind_and_old_levels_do_not(monkeypatch):
    monkeypatch.setitem(LEVELS, "perfect", PERFECT)
    tally = run_shard("perfect", 3, 0, 70)
    assert sum(counts["parcels"] for counts in tally.by_kind.values()) == 70
    for name in ("carton", "polybag", "mailer", "tube"):
        assert tally.by_kind[name]["right"] == tally.by_kind[name]["parcels"]
    totes = tally.by_kind["tote"]
    assert totes["parcels"] > 7
    assert totes["as carton"] > 0.3 * totes["parcels"]
    assert totes["wrong_silently"] + totes.get("to_exception", 0) == totes["parcels"], "no rule of the plan names totes"
    assert tally.by_cause["no_class"]["parcels"] == totes["parcels"] + tally.by_kind["irregular"]["parcels"]
    assert "by_kind" not in simulate(20, "normal", processes=1)


def test_totes_and_irregular_things_on_the_plcs_line(root):
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    values = config.model_dump(by_alias=True)
    values["traffic"] |= {"parcels": 1500, "per_hour": 6000.0, "totes": 0.2, "irregular": 0.1}
    parcels = make_traffic(SimPlcConfig.model_validate(values), plan).parcels
    names = [parcel.class_name for parcel in parcels]
    assert names.count("tote") / 1500 == pytest.approx(0.2, abs=0.04)
    assert names.count("irregular") / 1500 == pytest.approx(0.1, abs=0.03)
    lanes = {name: {p.lane for p in parcels if p.class_name == name} for name in set(names)}
    assert lanes["tote"] == lanes["irregular"] == {plan.default}
    assert lanes["tube"] == {"NC"}
    pitch_mm = (parcels[0].centre_mm - parcels[-1].centre_mm) / 1499
    assert 2000.0 * 3600.0 / pitch_mm == pytest.approx(6000.0, rel=0.02)
    values["traffic"] |= {"totes": 0.6}
    with pytest.raises(ValueError, match="totes"):
        SimPlcConfig.model_validate(values)
