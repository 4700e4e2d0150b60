"""Foreign objects and hands of a scenario: their mistakes, their truth, their shapes, and the frames they are in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from blender import BLENDER

from edge_sorter.errors import ConfigError
from edge_sorter.sim import blobs, foreign_shapes, foreign_skins, hand_shape, scenario, shutter, truth, truth_others
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import BELT, Key, Plate
from edge_sorter.sim.compose import (
    Composer,
    hand_frames,
    hand_path,
    key_path,
    key_travels_mm,
    moment,
    write_key,
    write_plate,
)
from edge_sorter.sim.foreign import SIZES_MM
from edge_sorter.sim.shapes import Mesh
from edge_sorter.sim.truth_boxes import box_of, visible
from edge_sorter.sim.twin.layout import SimPlcConfig, load_layout
from edge_sorter.sim.twin.traffic import make_traffic

BOTTLE = {"kind": "bottle", "lateral_mm": 250, "crosses_s": 0.9, "skew_deg": 20}
HAND = {"side": "far", "at_s": 0.2, "for_s": 1.4, "move_s": 0.4, "at_mm": 450, "reach_mm": 200, "height_mm": 150}
CARTON = {"kind": "carton", "length_mm": 200, "width_mm": 150, "height_mm": 100, "lateral_mm": 300, "start_mm": 500}


def content(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "schema": "edge_sorter.scenario/1",
        "name": "small",
        "seed": 3,
        "video": {"width_px": 320, "height_px": 180, "fps": 20, "duration_s": 2},
        "camera": {"position_mm": [500, 300, 1500], "look_at_mm": [500, 300, 0], "horizontal_fov_deg": 40},
        "belt": {"width_mm": 600, "speed_mm_s": 500, "decision_line_mm": 600, "seam_pitch_mm": 200},
        "parcels": [CARTON],
        "foreign": [BOTTLE],
        "hands": [HAND],
    }
    return base | changes


def line(**changes: Any) -> scenario.Scenario:
    return scenario.Scenario.model_validate(content(**changes))


def saved(folder: Path, **changes: Any) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(content(**changes)), encoding="utf-8")
    return path


def rolling(readout_ms: float) -> dict[str, Any]:
    return content()["video"] | {"shutter": "rolling", "readout_ms": readout_ms}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"foreign": [BOTTLE | {"kind": "cat"}]}, "foreign[0].kind: Input should be 'bottle', 'glove'"),
        ({"foreign": [BOTTLE | {"lenght_mm": 5}]}, "foreign[0].lenght_mm: unknown key"),
        ({"foreign": [BOTTLE | {"start_mm": 0}]}, "foreign[0]: give exactly one of start_mm and crosses_s"),
        ({"foreign": [BOTTLE | {"colour": "pink"}]}, "foreign[0].colour: no bottle is pink; choose one of blue, clear"),
        ({"foreign": [BOTTLE | {"lateral_mm": 20}]}, "foreign[0]: lies from"),
        ({"foreign": [BOTTLE | {"crosses_s": 0.3}]}, "foreign[0]: less than 15 mm of clear belt along travel to parc"),
        ({"foreign": [BOTTLE, BOTTLE]}, "foreign[1] overlaps foreign[0]"),
        ({"hands": [HAND | {"for_s": 0.7}]}, "hands[0].for_s: 0.7 s is less than the way in and out"),
        ({"hands": [HAND | {"at_s": 2}]}, "hands[0].at_s: 2 s is after the clip's end at 2 s"),
        ({"hands": [HAND | {"reach_mm": 700}]}, "hands[0].reach_mm: 700 mm is beyond a belt of 600 mm"),
        ({"hands": [HAND | {"side": "left"}]}, "hands[0].side: Input should be 'near' or 'far'"),
        ({"hands": [HAND | {"sleeve": "lace"}]}, "hands[0].sleeve: there is no lace; choose one of navy"),
        ({"hands": [HAND | {"reach_mm": 300, "height_mm": 60, "at_mm": 700}]}, "it goes through parcels[0], 100 mm hi"),
        (
            {"camera": content()["camera"] | {"position_mm": [500, 300, 9000]}},
            "hands[0].side: the camera sees more than",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        scenario.load(saved(tmp_path, **changes))
    assert says in str(caught.value)
    assert str(tmp_path / "scenario.yaml") in str(caught.value)


def test_a_hand_above_everything_is_no_mistake(tmp_path: Path) -> None:
    over = HAND | {"reach_mm": 300, "height_mm": 101, "at_mm": 700}
    assert len(scenario.expand_hands(scenario.load(saved(tmp_path, hands=[over])))) == 1


def test_the_shipped_example_has_every_kind_and_both_sides(root: Path) -> None:
    shown = scenario.load(root / "configs/demo/foreign_and_hands.yaml")
    assert {spec.kind for spec in shown.foreign} == set(SIZES_MM)
    assert {spec.side for spec in shown.hands} == {"near", "far"}
    assert all(row["crosses"] for row in truth.truth(shown)["foreign"])


def test_truth_lists_them_beside_the_parcels(tmp_path: Path) -> None:
    truth.write(line(), tmp_path)
    told = json.loads((tmp_path / "truth.json").read_text())
    assert [parcel["id"] for parcel in told["parcels"]] == [1]
    (bottle,), (hand,) = told["foreign"], told["hands"]
    assert (bottle["id"], bottle["kind"], bottle["crosses"], bottle["cross_s"]) == (2, "bottle", True, 0.9)
    assert (hand["id"], hand["at_s"], hand["until_s"]) == (3, 0.2, 1.6)
    assert 0.2 < hand["over_belt_s"][0] < 0.6 < 1.2 < hand["over_belt_s"][1] < 1.6
    assert {row.split(",")[1] for row in (tmp_path / "truth_mot.txt").read_text().splitlines()} == {"1"}
    rows = [row.split(",") for row in (tmp_path / told["others_mot"]).read_text().splitlines()]
    assert {(row[1], row[7]) for row in rows} == {("2", "8"), ("3", "9")}


def test_a_scenario_without_them_has_the_truth_it_always_had(tmp_path: Path) -> None:
    truth.write(line(), tmp_path)
    assert (tmp_path / truth_others.MOT_FILE).exists()
    bare = line(foreign=[], hands=[])
    truth.write(bare, tmp_path)
    assert not {"foreign", "hands", "others_mot"} & json.loads((tmp_path / "truth.json").read_text()).keys()
    assert not (tmp_path / truth_others.MOT_FILE).exists(), "what is left from before would be wrong"
    assert truth.mot_lines(bare) == truth.mot_lines(line()), "parcels have the boxes they have without"


def test_a_foreign_object_travels_with_the_belt() -> None:
    each = line()
    (bottle,) = scenario.expand_foreign(each)
    (placed,) = scenario.expand_foreign(line(foreign=[BOTTLE | {"crosses_s": None, "start_mm": 150}]))
    assert bottle.start_mm == placed.start_mm == 150
    early, late = (box_of(each, bottle.vertices_mm, at_s) for at_s in (0.8, 1.2))
    assert early is not None
    assert late is not None
    px_per_mm = each.pinhole().focal_px / 1467.0  # at half the bottle's height
    assert late[0] - early[0] == pytest.approx(200 * px_per_mm, rel=0.03)
    assert late[1:4] == pytest.approx(early[1:4], abs=2.0)


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_hand_comes_from_outside_the_picture_and_goes_back(side: str) -> None:
    each = line(hands=[HAND | {"side": side, "to_mm": 600}])
    (hand,) = scenario.expand_hands(each)
    assert truth_others.hand_box(each, hand, 0.2) is None
    assert truth_others.hand_box(each, hand, 1.6) is None
    begin, end = hand.over_belt_s()
    edge = 0.0 if side == "near" else 600.0
    inwards = 1.0 if side == "near" else -1.0
    for at_s in (begin, end):
        assert hand.tip_mm(at_s)[1] == pytest.approx(edge, abs=1e-6)
    np.testing.assert_allclose(hand.tip_mm(0.6), [450, edge + 200 * inwards, 150], atol=1e-6)
    np.testing.assert_allclose(hand.tip_mm(1.2), [600, edge + 200 * inwards, 150], atol=1e-6)
    times = np.arange(0.0, 2.0, 0.001)
    speed_mm_s = np.linalg.norm(np.diff([hand.tip_mm(float(at)) for at in times], axis=0), axis=1) / 0.001
    assert speed_mm_s.max() < 4000
    assert np.abs(np.diff(speed_mm_s)).max() < 80, "it never starts or stops at once"
    box = truth_others.hand_box(each, hand, 1.0)
    assert box is not None
    tip = each.pinhole().project(hand.tip_mm(1.0)[None])[0]
    assert (box[1] + box[3] if side == "far" else box[1]) == pytest.approx(tip[1], abs=6)
    assert (box[1] if side == "far" else box[1] + box[3]) == (0 if side == "far" else 180), "its arm ends outside"


def test_a_rolling_shutter_sees_a_hand_where_it_is_when_its_row_is_read() -> None:
    still, each = line(), line(video=rolling(30))
    (hand,) = scenario.expand_hands(still)
    at_s = 0.45  # on its way in, at speed
    box, at_once = truth_others.hand_box(each, hand, at_s), truth_others.hand_box(still, hand, at_s)
    assert box is not None
    assert at_once is not None
    bottom = box[1] + box[3]
    assert abs(bottom - at_once[1] - at_once[3]) > 1.0
    then = truth_others.hand_box(still, hand, at_s + float(shutter.delay_s(each.video, np.array([bottom]))[0]))
    assert then is not None
    assert then[1] + then[3] == pytest.approx(bottom, abs=0.05)


def test_of_an_arm_that_goes_on_outside_only_what_is_inside_is_boxed() -> None:
    ends = np.array([[50.0, 40.0], [-50.0, -60.0], [-10.0, -10.0], [-30.0, 20.0], [120.0, 40.0]])
    arm, beyond = np.array([[0, 1]]), np.array([[1, 2], [2, 3]])
    assert visible(ends, arm, (100, 80)) == pytest.approx((10.0, 0.0, 40.0, 40.0, 1.0))
    assert visible(ends, beyond, (100, 80)) is None
    assert visible(ends, np.concatenate([arm, beyond, [[0, 4]]]), (100, 80)) == pytest.approx((10, 0, 90, 40, 1))


def volume_cm3(mesh: Mesh) -> float:
    a, b, c, d = (mesh.vertices_mm[mesh.quads[:, k]] for k in range(4))
    return float((a * (np.cross(b, c) + np.cross(c, d))).sum()) / 6000.0


@pytest.mark.parametrize("kind", SIZES_MM)
def test_meshes_of_foreign_objects_have_their_size_and_look_outwards(kind: str) -> None:
    mesh = foreign_shapes.mesh_of(kind, SIZES_MM[kind], np.random.default_rng(4))
    np.testing.assert_allclose(np.ptp(mesh.vertices_mm, axis=0), SIZES_MM[kind], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices_mm.min(axis=0)[2], 0, atol=1e-9)
    np.testing.assert_allclose(mesh.vertices_mm[:, :2].min(axis=0), -np.array(SIZES_MM[kind][:2]) / 2, atol=1e-6)
    assert 0 < volume_cm3(mesh) < 0.8 * np.prod(SIZES_MM[kind]) / 1000
    assert (mesh.uv >= -1e-9).all()
    assert (mesh.uv <= 1 + 1e-9).all()
    again = foreign_shapes.mesh_of(kind, SIZES_MM[kind], np.random.default_rng(4))
    np.testing.assert_array_equal(mesh.vertices_mm, again.vertices_mm)
    skin = foreign_skins.draw(kind, SIZES_MM[kind], None, np.random.default_rng(4))
    assert (skin.dtype, skin.shape[2]) == (np.uint8, 4)
    np.testing.assert_array_equal(skin, foreign_skins.draw(kind, SIZES_MM[kind], None, np.random.default_rng(4)))


def test_a_hand_has_five_fingers() -> None:
    glove = hand_shape.glove()
    assert 500 < volume_cm3(glove) < 1200
    above = np.zeros((260, 300), np.uint8)  # a pixel a mm, the fingertip at column 290, row 130
    for quad in np.round(glove.vertices_mm[glove.quads][..., :2] + [290, 130]).astype(np.int32):
        cv2.fillConvexPoly(above, quad, 1)
    assert cv2.connectedComponents(above[:, 240:241])[0] - 1 == 4, "four fingers, the thumb ends further back"
    assert cv2.connectedComponents(above[:, 195:196])[0] - 1 == 2, "and stands off"
    sleeve = hand_shape.sleeve(900.0, np.random.default_rng(1))
    assert sleeve.vertices_mm[:, 0].min() == pytest.approx(-900, abs=7)


def test_a_surface_is_where_its_field_says() -> None:
    points = blobs.grid(np.array([-30.0] * 3), np.array([30.0] * 3), 2.0)
    vertices, quads = blobs.surface(blobs.capsule(points, ((0, 0, 0), (0, 0, 0), 20.0, 20.0)), points)
    np.testing.assert_allclose(np.linalg.norm(vertices, axis=1), 20.0, atol=0.3)
    ball = Mesh(vertices, quads, np.zeros((len(quads), 4, 2)))
    assert volume_cm3(ball) == pytest.approx(4 / 3 * np.pi * 8, rel=0.03)
    edges = np.sort(np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)]), axis=1)
    assert (np.unique(edges, axis=0, return_counts=True)[1] == 2).all(), "closed"


def belt_mm(each: scenario.Scenario) -> Any:
    """Where each pixel's ray meets the belt, shape (h, w, 3)."""
    width, height = each.pinhole().image_px
    centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)
    points = each.pinhole().on_belt(centres)
    return np.column_stack([points, np.zeros(len(points))]).reshape(height, width, 3)


def picture(each: scenario.Scenario, travel_mm: Any, tip_mm: Any = None) -> tuple[Any, Any, Any]:
    """Light, object and place of a plain belt, a carton's flat top and a hand that is a plate, for each pixel.

    Travel and fingertip are those of all rows, or one of each row, shapes (h, 1) and (3, h, 1).
    """
    belt, origin = belt_mm(each), np.asarray(each.pinhole().position_mm)
    top, above = (origin + (belt - origin) * ((1500 - z_mm) / 1500) for z_mm in (100, 150))
    seen = np.where((belt[..., 1] > 0) & (belt[..., 1] < 600), BELT, 0)
    carton = each.parcels[0]
    on = np.abs(top[..., 0] - (carton.start_mm or 0.0) - travel_mm) < carton.length_mm / 2
    on &= np.abs(top[..., 1] - carton.lateral_mm) < carton.width_mm / 2
    light, seen = np.where(on, 0.6, pattern(each).grey), np.where(on, 1, seen)
    place = np.where(on[..., None], top, belt)
    if tip_mm is not None:
        held = (np.abs(above[..., 0] - tip_mm[0]) < 60) & (above[..., 1] > tip_mm[1])
        light, seen = np.where(held, 0.3, light), np.where(held, scenario.expand_hands(each)[0].id, seen)
        place = np.where(held[..., None], above, place)
    return np.repeat(light[..., None], 3, axis=2).astype(np.float32), seen.astype(np.int32), place.astype(np.float32)


def painted(folder: Path, each: scenario.Scenario, frame: int) -> None:
    """Paint what would be traced for the first frames and for one with a hand."""
    grey = np.full((*each.pinhole().image_px[::-1], 3), pattern(each).grey, np.float32)
    on_belt = np.where(picture(each, 1e4)[1] == BELT, BELT, 0).astype(np.int32)
    gain = (on_belt > 0)[..., None].astype(np.float32) * np.ones(3, np.float32)
    write_plate(folder, Plate(grey, gain, grey, on_belt))
    for number, travel_mm in enumerate(key_travels_mm(each)[:2]):
        write_key(key_path(folder, number), Key(travel_mm, *picture(each, travel_mm)))
    now, (hand,) = moment(each, frame), scenario.expand_hands(each)
    write_key(hand_path(folder, frame), Key(now.travel_mm, *picture(each, now.travel_mm, hand.tip_mm(now.middle_s))))


@pytest.mark.parametrize("readout_ms", [0, 40])
@pytest.mark.parametrize("frame", [9, 11])  # one on its way in, and one at rest
def test_a_hand_hides_what_is_below_where_it_is_when_its_rows_are_read(
    tmp_path: Path, readout_ms: int, frame: int
) -> None:
    each = line(
        foreign=[],
        hands=[HAND | {"at_mm": 700}],
        belt=content()["belt"] | {"speed_mm_s": 1500},
        parcels=[CARTON | {"start_mm": -40, "lateral_mm": 460}],
        **({"video": rolling(readout_ms)} if readout_ms else {}),
    )
    painted(tmp_path, each, frame)
    composer, (hand,) = Composer(each, tmp_path), scenario.expand_hands(each)
    assert hand.id not in composer.develop(1)[1]
    shot, ids = composer.develop(frame)
    rows_s = frame / 20 + shutter.delay_s(each.video, np.arange(180) + 0.5)
    travel_mm = np.array([each.belt.motion.travel_mm(float(at)) for at in rows_s])[:, None]
    tips_mm = np.array([hand.tip_mm(float(at)) for at in rows_s]).T[..., None]
    wanted = picture(each, travel_mm, tips_mm)[1]
    wrong = ids != np.where(wanted < BELT, wanted, 0)
    assert (wanted == hand.id).sum() > 500
    assert (wanted == 1).sum() > 300
    assert (wrong & (wanted == 1)).sum() < 40, "the carton goes on right behind the hand"
    assert wrong.sum() < 200, "outlines by a pixel, no more"
    inside = cv2.erode((ids == hand.id).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(shot[inside].astype(int) - np.median(shot[inside])).max() < 12, "nothing shines through"


def test_a_traced_hand_of_another_shutter_is_refused(tmp_path: Path) -> None:
    painted(tmp_path, line(foreign=[]), 8)
    other = Composer(line(foreign=[], video=rolling(30)), tmp_path)
    with pytest.raises(ConfigError, match=r"hand_0008\.npz was traced when .* delete the hand_\*\.npz"):
        other.develop(8)


def test_the_plc_twin_has_them_on_its_belt(root: Path, tmp_path: Path) -> None:
    demo = yaml.safe_load((root / "configs/demo/scenario.yaml").read_text(encoding="utf-8"))
    demo["foreign"] = [{"kind": "tape_roll", "lateral_mm": 400, "start_mm": 480}]
    demo["hands"] = [HAND | {"at_mm": 600, "at_s": 3.0, "height_mm": 400}, HAND | {"at_mm": 1500, "height_mm": 400}]
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(demo), encoding="utf-8")
    config, plan = load_layout(root / "configs/demo/sim_plc.yaml")
    with_them = make_traffic(config.model_copy(update={"scenario": tmp_path / "scenario.yaml"}), plan)
    without = make_traffic(config, plan)
    assert isinstance(config, SimPlcConfig)
    (roll,) = (thing for thing in with_them.parcels if thing.foreign)
    assert (roll.lead_mm, roll.trail_mm, roll.lane, roll.judged) == (539.0, 421.0, plan.default, False)
    assert [p for p in with_them.parcels if not p.foreign] == list(without.parcels)
    (beam,) = with_them.hands
    assert 3.0 < beam.begin_s < beam.end_s < 4.4


@BLENDER
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_blender_shows_them_where_truth_says(tmp_path: Path) -> None:
    video = {"width_px": 160, "height_px": 90, "fps": 10, "duration_s": 0.9}
    hand = HAND | {"at_s": 0.2, "for_s": 0.6, "move_s": 0.3}
    path, out = saved(tmp_path, video=video, hands=[hand], foreign=[BOTTLE | {"crosses_s": 0.85}]), tmp_path / "frames"
    command = [sys.executable, "-m", "edge_sorter.sim.render", "clip", "--scenario", str(path), "--out", str(out)]
    subprocess.run([*command, "--jobs", "1", "--samples", "1"], check=True, timeout=280, capture_output=True)
    each = scenario.load(path)
    assert sorted(out.glob("hand_*.npz")) == [hand_path(out, frame) for frame in hand_frames(each)]
    (bottle,), (reaching,) = scenario.expand_foreign(each), scenario.expand_hands(each)
    for frame in (0, 5):
        ids = cv2.imread(str(out / "masks" / f"frame_{frame:04d}.png"), cv2.IMREAD_UNCHANGED)
        box = box_of(each, bottle.vertices_mm, frame / 10)
        assert box is not None
        np.testing.assert_allclose(cv2.boundingRect((ids == bottle.id).astype(np.uint8)), box[:4], atol=2)
    box = truth_others.hand_box(each, reaching, 0.5)
    assert box is not None
    np.testing.assert_allclose(cv2.boundingRect((ids == reaching.id).astype(np.uint8)), box[:4], atol=2)
    empty, with_hand = (cv2.imread(str(out / f"frame_{frame:04d}.png")).astype(int) for frame in (0, 5))
    assert np.abs(with_hand - empty)[ids == reaching.id].mean() > 20
