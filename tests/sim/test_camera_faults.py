"""What a scenario's camera does besides seeing: rolling shutter, lamps that flicker, dirt on the lens."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from edge_sorter.errors import ConfigError
from edge_sorter.sim import film, lens, scenario, shutter, truth
from edge_sorter.sim.belt_pattern import pattern
from edge_sorter.sim.between import BELT, Key, Plate
from edge_sorter.sim.compose import Composer, key_path, key_travels_mm, mask_path, write_key, write_plate
from edge_sorter.sim.encode import frame_path

SPEED_MM_S = 800.0
VIDEO = {"width_px": 320, "height_px": 180, "fps": 30, "duration_s": 0.4}


def line(**video: Any) -> scenario.Scenario:
    """A camera straight above a belt that carries one carton."""
    return scenario.Scenario.model_validate(
        {
            "schema": "edge_sorter.scenario/1",
            "name": "small",
            "seed": 3,
            "video": VIDEO | video,
            "camera": {"position_mm": [500, 300, 1500], "look_at_mm": [500, 300, 0], "horizontal_fov_deg": 40},
            "belt": {"width_mm": 600, "speed_mm_s": SPEED_MM_S, "decision_line_mm": 600, "seam_pitch_mm": 200},
            "parcels": [
                {
                    "kind": "carton",
                    "length_mm": 300,
                    "width_mm": 400,
                    "height_mm": 100,
                    "lateral_mm": 300,
                    "start_mm": 300,
                }
            ],
        }
    )


@pytest.mark.parametrize(
    ("video", "says"),
    [
        ({"shutter": "rolling"}, "video.readout_ms: a rolling shutter needs it"),
        ({"readout_ms": 20}, "video.readout_ms: a global shutter has none"),
        ({"shutter": "rolling", "readout_ms": 34}, "video.readout_ms: 34 ms is longer than a frame, 33.33 ms"),
        ({"shutter": "rolling", "readout_ms": 0}, "video.readout_ms: Input should be greater than 0"),
        ({"shutter": "slow"}, "video.shutter: Input should be 'global' or 'rolling'"),
        ({"flicker": {"hz": 100}}, "video.flicker.depth: Field required"),
        ({"flicker": {"hz": 100, "depth": 1.5}}, "video.flicker.depth: Input should be less than or equal to 1"),
        ({"flicker": {"hz": 0, "depth": 0.1}}, "video.flicker.hz: Input should be greater than 0"),
        ({"dirt": -1}, "video.dirt: Input should be greater than or equal to 0"),
        ({"dirt": 2.5}, "video.dirt: Input should be a valid integer"),
    ],
)
def test_a_wrong_key_is_named(tmp_path: Path, video: dict[str, Any], says: str) -> None:
    content = line().model_dump(mode="json", by_alias=True, exclude_none=True)
    content["video"] = VIDEO | video
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        scenario.load(tmp_path / "s.yaml")
    assert says in str(caught.value)


def test_rows_are_read_while_the_belt_goes_on() -> None:
    video = line(shutter="rolling", readout_ms=20).video
    edges = np.array([0.0, 90.0, 180.0, 999.0])
    steady = line().belt.motion
    np.testing.assert_allclose(shutter.further_mm(video, steady, 1.0, edges), [0, 8, 16, 16], atol=1e-6)
    braking = scenario.SpeedProfile(((1.0, 800.0), (1.1, 0.0)))
    exact = [braking.travel_mm(1.0 + s) - braking.travel_mm(1.0) for s in (0.0, 0.01, 0.02, 0.02)]
    np.testing.assert_allclose(shutter.further_mm(video, braking, 1.0, edges), exact, atol=0.005)
    assert not shutter.further_mm(line().video, steady, 1.0, edges).any(), "a global shutter reads all at once"


def test_truth_is_told_for_the_row_each_corner_falls_into() -> None:
    """The carton's box grows by the belt's way between its first and its last row, and starts later by its first's."""
    still, rolling = line(), line(shutter="rolling", readout_ms=30)
    (parcel,) = scenario.expand(still)
    before, after = (truth.box_at(each, parcel, 0.2) for each in (still, rolling))
    assert before is not None
    assert after is not None
    x, y, w, h, _ = before
    px_per_mm = still.pinhole().focal_px / 1400.0  # the carton's top, where it is widest
    way_px = SPEED_MM_S * 0.030 / still.video.height_px * px_per_mm  # of one row
    assert after[0] - x == pytest.approx(way_px * y, abs=0.3)
    assert after[2] - w == pytest.approx(way_px * h, abs=0.5)  # its corners are round
    assert after[1] == pytest.approx(y, abs=1e-6)
    assert after[3] == pytest.approx(h, abs=1e-6)


@pytest.mark.parametrize("camera_x_mm", [1100, -100])
def test_a_belt_that_runs_with_the_rows_shows_each_end_when_its_row_is_read(camera_x_mm: float) -> None:
    camera = {"position_mm": [camera_x_mm, 300, 1500], "look_at_mm": [500, 300, 0], "horizontal_fov_deg": 60}
    still, rolling = (
        scenario.Scenario.model_validate(each.model_dump(by_alias=True) | {"camera": camera})
        for each in (line(), line(shutter="rolling", readout_ms=30))
    )
    (parcel,) = scenario.expand(still)
    box = truth.box_at(rolling, parcel, 0.2)
    at_once = truth.box_at(still, parcel, 0.2)
    assert box is not None
    assert at_once is not None
    assert abs(box[3] - at_once[3]) > 0.5, "longer or shorter than it is"
    for share in (0.0, 1.0):  # its upper and its lower end
        edge_px = box[1] + share * box[3]
        read_s = 0.2 + float(shutter.delay_s(rolling.video, np.array([edge_px]))[0])
        then = truth.box_at(still, parcel, read_s)
        assert then is not None
        assert then[1] + share * then[3] == pytest.approx(edge_px, abs=0.01)


def painted(folder: Path, each: scenario.Scenario) -> None:
    """Key pictures of a plain belt and a carton's flat top, painted instead of traced."""
    camera = each.pinhole()
    width, height = camera.image_px
    centres = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), axis=-1).reshape(-1, 2)
    belt = np.column_stack([camera.on_belt(centres), np.zeros(len(centres))]).reshape(height, width, 3)
    origin = np.asarray(camera.position_mm)
    top = origin + (belt - origin) * (1400 / 1500)
    grey = np.full((height, width, 3), pattern(each).grey, np.float32)
    on_belt = np.where((belt[..., 1] > 0) & (belt[..., 1] < 600), BELT, 0).astype(np.int32)
    gain = (on_belt > 0)[..., None].astype(np.float32) * np.ones(3, np.float32)
    write_plate(folder, Plate(grey, gain, grey, on_belt))
    for number, travel_mm in enumerate(key_travels_mm(each)):
        on = (np.abs(top[..., 0] - 300 - travel_mm) < 150) & (np.abs(top[..., 1] - 300) < 200)
        light = np.where(on[..., None], np.float32(0.6), grey)
        place = np.where(on[..., None], top, belt).astype(np.float32)
        write_key(key_path(folder, number), Key(travel_mm, light, np.where(on, 1, on_belt), place))


def leading_edge_px(mask: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Rows and the last column of the parcel in them, shape (n, 2), without its first and last rows."""
    rows = np.flatnonzero((mask == 1).any(axis=1))[4:-4]
    last = [int(np.flatnonzero(mask[row] == 1)[-1]) for row in rows]
    return np.column_stack([rows, last]).astype(float)


def test_a_moving_edge_leans_by_the_way_of_its_readout(tmp_path: Path) -> None:
    slopes = {}
    for name, each in (("global", line()), ("rolling", line(shutter="rolling", readout_ms=30))):
        folder = tmp_path / name
        folder.mkdir()
        painted(folder, each)
        composer = Composer(each, folder)
        composer.save(6)
        mask = cv2.imread(str(mask_path(folder, 6)), cv2.IMREAD_UNCHANGED)
        assert cv2.imread(str(frame_path(folder, 6))).shape == (180, 320, 3)
        slopes[name] = float(np.polyfit(*leading_edge_px(mask).T, 1)[0])
        (parcel,) = scenario.expand(each)
        box = truth.box_at(each, parcel, 6 / 30)
        assert box is not None
        shown = cv2.boundingRect((mask == 1).astype(np.uint8))
        np.testing.assert_allclose(shown, box[:4], atol=2.5)
    px_per_mm = line().pinhole().focal_px / 1400.0
    assert slopes["global"] == pytest.approx(0, abs=0.003)
    assert slopes["rolling"] == pytest.approx(SPEED_MM_S * 0.030 * px_per_mm / 180, abs=0.006)


def test_a_belt_that_stands_looks_the_same_by_either_shutter(tmp_path: Path) -> None:
    stops = {"width_mm": 600, "profile": [[0.1, 800], [0.2, 0]], "decision_line_mm": 600, "seam_pitch_mm": 200}
    pictures = []
    for each in (line(), line(shutter="rolling", readout_ms=30)):
        stopped = scenario.Scenario.model_validate(each.model_dump(by_alias=True) | {"belt": stops})
        painted(tmp_path, stopped)
        pictures.append(Composer(stopped, tmp_path).develop(11)[0])  # the clip's last frame
    np.testing.assert_array_equal(*pictures)


def test_a_rolling_clip_that_ends_on_a_key_has_the_key_beyond() -> None:
    ends = line(duration_s=1.0 / 30, shutter="rolling", readout_ms=30)
    assert key_travels_mm(ends) == [0.0, 160.0]
    assert key_travels_mm(line(duration_s=1.0 / 30)) == [0.0]


@pytest.mark.parametrize("exposure_ms", [0.0, 1.0, 4.0, 10.0])
def test_flicker_is_the_light_s_mean_over_the_exposure(exposure_ms: float) -> None:
    video = line(exposure_ms=exposure_ms, flicker={"hz": 100, "depth": 0.4}).video
    at_s = 0.0123
    times = at_s + np.linspace(-0.5, 0.5, 2001) * exposure_ms / 1000
    mean = np.mean(1 + 0.4 * np.cos(2 * np.pi * 100 * times))
    assert shutter.lamps(video, at_s, np.zeros(1))[0] == pytest.approx(mean, abs=2e-3)


def test_flicker_beats_with_the_frame_rate_and_vanishes_in_whole_periods() -> None:
    def swing(**video: Any) -> float:
        each = line(flicker={"hz": 100, "depth": 0.4}, **video).video
        return float(np.ptp([shutter.lamps(each, frame / each.fps, np.zeros(1))[0] for frame in range(60)]))

    assert swing(fps=25) == pytest.approx(0, abs=1e-9)
    assert swing(fps=30) > 0.5
    assert swing(fps=30, exposure_ms=10) == pytest.approx(0, abs=1e-9)


def test_with_a_rolling_shutter_flicker_draws_bands() -> None:
    each = line(shutter="rolling", readout_ms=30, flicker={"hz": 100, "depth": 0.4}, exposure_ms=1).video
    bright = shutter.lamps(each, 0.0, np.arange(180) + 0.5)
    light = np.full((180, 320, 3), 0.2, np.float32)
    shot = film.develop(light, film.Film(), np.random.default_rng(0), lamps=bright).astype(float)
    rows = shot.mean(axis=(1, 2))
    assert np.ptp(shot, axis=1).max() <= 1, "all of a row is as bright"
    spectrum = np.abs(np.fft.rfft(rows - rows.mean()))
    assert int(spectrum.argmax()) == 3, "30 ms of 100 Hz are three bands"


def test_dirt_takes_light_where_it_lies_and_is_soft() -> None:
    dirt = lens.draw(6, (320, 180), 3)
    light = np.full((180, 320, 3), 0.5, np.float32)
    seen = lens.through(dirt, light)
    lost = 1 - seen[..., 0] / 0.5
    assert 0.15 < lost.max() < 0.7
    assert 0.002 < np.mean(lost > 0.05) < 0.2
    assert np.abs(np.diff(lost, axis=0)).max() < 0.2, "out of focus"
    clean = (dirt.dark + dirt.haze)[..., 0] < 1e-6
    assert clean.mean() > 0.3
    np.testing.assert_allclose(seen[clean], 0.5, atol=1e-6)


def test_a_smear_blurs_what_is_behind_it_and_keeps_the_light() -> None:
    haze = np.ones((180, 320, 1), np.float32)
    stripes = np.repeat(np.where(np.arange(320) // 4 % 2, 0.9, 0.1)[None, :, None], 180, axis=0).repeat(3, axis=2)
    seen = lens.through(lens.Dirt(np.zeros_like(haze), 0.6 * haze), stripes.astype(np.float32))
    assert seen.std() == pytest.approx(0.4 * stripes.std(), rel=0.05)
    assert seen.mean() == pytest.approx(stripes.mean(), rel=0.02)


def test_dirt_is_the_same_in_every_frame_and_of_the_seed() -> None:
    first, again, other = (lens.draw(9, (320, 180), seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.dark, again.dark)
    np.testing.assert_array_equal(first.haze, again.haze)
    assert (first.dark != other.dark).any()


def test_dirt_and_flicker_are_in_a_frame_and_a_clean_one_has_none(tmp_path: Path) -> None:
    clean = line()
    painted(tmp_path, clean)
    plain, _ = Composer(clean, tmp_path).develop(6)
    dirty, ids = Composer(line(dirt=9), tmp_path).develop(6)
    bright, _ = Composer(line(flicker={"hz": 100, "depth": 0.8}), tmp_path).develop(6)
    dirt = lens.draw(9, (320, 180), clean.seed)
    lost = plain.astype(float) - dirty
    thick = dirt.dark[..., 0] > 0.2
    assert thick.any()
    assert lost[thick].mean() > 8
    np.testing.assert_array_equal(
        plain[(dirt.dark + dirt.haze)[..., 0] == 0], dirty[(dirt.dark + dirt.haze)[..., 0] == 0]
    )
    assert set(np.unique(ids)) == {0, 1}, "dirt hides no parcel from the truth"
    assert bright.mean() - plain.mean() > 20, "frame 6 at 30 fps falls on the lamps' brightest"
