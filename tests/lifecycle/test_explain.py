"""Heat maps: of detectors whose reasons are known, and of the shipped weights on a frame of the demo clip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import ConfigError, EdgeSorterError, JournalError, ModelError
from edge_sorter.lifecycle.__main__ import app
from edge_sorter.lifecycle.explanation.activation import Level, eigen_cam, feature_maps, to_picture
from edge_sorter.lifecycle.explanation.occlusion import occlusion
from edge_sorter.lifecycle.explanation.subject import Target
from edge_sorter.types import Detections, Image

FLOAT, INT8 = "weights/parcel-yolo26n.onnx", "weights/parcel-yolo26n-int8.onnx"
FRAME = 110
"""A frame of the demo clip with whole parcels in it."""


@pytest.fixture(scope="session")
def demo_frame(root: Path) -> Image:
    with av.open(str(root / "configs/demo/demo.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == FRAME:
                return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
    raise AssertionError("the demo clip is shorter than thought")


@pytest.fixture(scope="session")
def picture(demo_frame: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("frame") / "frame.png"
    cv2.imwrite(str(path), demo_frame)
    return path


def true_box(root: Path) -> tuple[float, float, float, float]:
    """The box nearest to the middle of the demo frame."""
    rows = np.loadtxt(root / "configs/demo/truth_mot.txt", delimiter=",")
    rows = rows[rows[:, 0] == FRAME + 1, 2:6]
    x, y, w, h = rows[np.abs(rows[:, 0] + rows[:, 2] / 2 - 480).argmin()]
    return x, y, x + w, y + h


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, ["explain", *map(str, arguments)], catch_exceptions=False)


def patch_lover(x1: int, y1: int, x2: int, y2: int, target: Target) -> Any:
    """A detector that is as sure of one box as one patch of the picture is white."""

    def detect(image: Image) -> Detections:
        share = float(image[y1:y2, x1:x2].mean()) / 255
        return Detections(0, [target.xyxy], [share], [target.class_id])

    return detect


TARGET = Target((60.0, 40.0, 140.0, 120.0), 0, "carton", 1.0)
WHITE = np.full((200, 240, 3), 255, np.uint8)


def middle(heat: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(heat.shape)
    return float((heat * columns).sum() / heat.sum()), float((heat * rows).sum() / heat.sum())


def test_occlusion_finds_the_patch_that_counts() -> None:
    heat = occlusion(patch_lover(65, 50, 95, 80, TARGET), WHITE, TARGET, masks=300, seed=1)
    x, y = middle(heat.map)
    assert (x, y) == pytest.approx((80, 65), abs=6)
    assert heat.inside > 0.9
    assert heat.map.max() == pytest.approx(1.0)


def test_occlusion_finds_a_reason_outside_the_box() -> None:
    heat = occlusion(patch_lover(150, 60, 180, 90, TARGET), WHITE, TARGET, masks=300, seed=1)
    assert middle(heat.map) == pytest.approx((165, 75), abs=6)
    assert heat.inside < 0.2


def test_a_box_that_needs_nothing_has_no_heat() -> None:
    heat = occlusion(lambda _: Detections(0, [TARGET.xyxy], [0.9], [0]), WHITE, TARGET, masks=40)
    assert not heat.map.any()
    assert heat.inside == 0.0


def letterbox(size: tuple[int, int], crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)) -> Letterbox:
    return Letterbox(image_size_px=size, crop=crop, input_size_px=(512, 288), layout="f32_nchw_rgb", scale=1 / 255)


@pytest.mark.parametrize(
    ("size", "crop"),
    [((1024, 576), (0.0, 0.0, 1.0, 1.0)), ((600, 600), (0.0, 0.0, 1.0, 1.0)), ((1280, 720), (0.25, 0.5, 1.0, 0.9))],
)
def test_maps_lie_where_the_network_saw_them(size: tuple[int, int], crop: tuple[float, float, float, float]) -> None:
    """A white square in the picture, seen through the letterbox, comes back to where it was."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    x, y = round(size[0] * 0.6), round(size[1] * 0.7)
    image[y - 20 : y + 20, x - 20 : x + 20] = 255
    box = letterbox(size, crop)
    seen = box(image)[0, 0]
    seen = np.where(seen > 0.9, seen, 0)  # without the grey around
    assert middle(np.clip(to_picture(seen, letterbox=box, size_px=(512, 288)), 0, None)) == pytest.approx(
        (x - 0.5, y - 0.5), abs=1
    )


@pytest.mark.parametrize("sign", [1, -1])
def test_eigen_cam_shows_what_stands_out_whatever_its_sign(sign: int) -> None:
    maps = np.random.default_rng(0).normal(0, 0.05, (8, 18, 32)).astype(np.float32)
    maps[2:5, 6:9, 10:14] += sign * 3
    box = letterbox((512, 288))
    target = Target((10 * 16, 6 * 16, 14 * 16, 9 * 16), 0, "carton", 0.9)
    heat = eigen_cam(Level(16, maps), letterbox=box, size_px=(512, 288), targets=[target])
    assert middle(np.where(heat > 0.5, heat, 0)) == pytest.approx((12 * 16, 7.5 * 16), abs=8)


def test_feature_maps_of_float_and_int8_are_alike(root: Path, demo_frame: Image) -> None:
    pytest.importorskip("onnx")
    levels = {}
    for name in (FLOAT, INT8):
        levels[name], _ = feature_maps(root / name, load_manifest(root / name), demo_frame, size_px=(512, 288))
        assert [(level.stride_px, *level.maps.shape[1:]) for level in levels[name]] == [
            (8, 36, 64),
            (16, 18, 32),
            (32, 9, 16),
        ]
    for exact, rounded in zip(levels[FLOAT], levels[INT8], strict=True):
        assert exact.maps.shape == rounded.maps.shape
        assert np.corrcoef(exact.maps.ravel(), rounded.maps.ravel())[0, 1] > 0.9


def test_a_picture_is_explained(root: Path, picture: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    result = run(picture, "--model", root / FLOAT, "--out", tmp_path, "--masks", 120, "--boxes", 2)
    assert result.exit_code == 0
    document = json.loads((tmp_path / "explain.json").read_text())
    assert len(document["boxes"]) == len(document["files"]["occlusion"]) == 2
    assert all(box["heat_inside"]["occlusion"] > 0.3 for box in document["boxes"])
    names = {name for group in document["files"].values() for name in group}
    assert {path.name for path in tmp_path.iterdir()} == {*names, "explain.json"}
    assert "activation_16.png" in names
    assert "features_16.png" in names
    for name in names:
        assert cv2.imread(str(tmp_path / name)) is not None, name
    heat = cv2.imread(str(tmp_path / document["files"]["occlusion"][0]))
    assert heat.shape == cv2.imread(str(picture)).shape
    assert document["boxes"][0]["class"] in result.stdout


def journal_of(root: Path, path: Path, **changes: Any) -> Path:
    """A journal with one decision about the parcel in the demo frame."""
    box = [round(side, 1) for side in true_box(root)]
    record = {"parcel_uid": "T-0000001", "track": 4, "lane": "L02", "reason": "PLAN_MATCH"} | changes
    header = {"schema": "edge_sorter.journal/1"}
    step = {"i": FRAME, "t": 1, "mm": 0.0, "det": [], "reads": [], "trk": [[4, "CONFIRMED", *box, 0]], "dec": [record]}
    path.write_text(json.dumps(header) + "\n" + json.dumps(step) + "\n")
    return path


def test_a_decision_is_explained(root: Path, tmp_path: Path) -> None:
    journal = journal_of(root, tmp_path / "journal.jsonl")
    arguments = ("--journal", journal, "--clip", root / "configs/demo/demo.mp4", "-c", root / "configs/demo/line.yaml")
    out = tmp_path / "out"
    result = run(*arguments, "--parcel", "T-0000001", "--method", "occlusion", "--masks", 40, "--out", out, "--json")
    document = json.loads(result.stdout)
    assert document["decision"]["lane"] == "L02"
    (box,) = document["boxes"]
    assert box["xyxy"] == pytest.approx(true_box(root), abs=15)
    assert sorted(path.suffix for path in out.iterdir()) == [".json", ".png", ".png"]
    with pytest.raises(JournalError, match="it has T-0000001 to T-0000001"):
        run(*arguments, "--parcel", "T-2", "--out", out)
    journal_of(root, journal, track=9, reason="TRACK_LOST")
    with pytest.raises(JournalError, match="without being in view"):
        run(*arguments, "--parcel", "T-0000001", "--out", out)


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ((), ModelError, "Give --model"),
        (("--model", FLOAT), ConfigError, "Give a picture"),
        (("PICTURE",), ModelError, "Give --model"),
        (("PICTURE", "--model", FLOAT, "--method", "magic"), ModelError, "'magic' is none of"),
        (("PICTURE", "--model", FLOAT, "--method", "gradient"), ModelError, "needs --checkpoint"),
        (("PICTURE", "--model", FLOAT, "--engine", "magic"), ModelError, "none of auto"),
        (("PICTURE", "--model", FLOAT, "--confidence", "1"), ModelError, "finds nothing"),
        (("no.png", "--model", FLOAT), ModelError, "cannot be read"),
    ],
)
def test_mistakes(
    root: Path, picture: Path, tmp_path: Path, arguments: tuple[str, ...], error: type[EdgeSorterError], told: str
) -> None:
    places = {"PICTURE": str(picture), FLOAT: str(root / FLOAT)}
    with pytest.raises(error, match=told):
        run(*(places.get(argument, argument) for argument in arguments), "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_gradients_of_a_checkpoint(root: Path, picture: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
    pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
    torch.set_num_threads(1)  # threads that wait for each other take ten times as long on a busy machine
    from edge_sorter.lifecycle.restore import restore

    checkpoint = tmp_path / "run" / "weights" / "last.pt"
    noise = np.random.default_rng(0).random((4, 1, 3, 192, 320), np.float32)
    restore(root / FLOAT, checkpoint, pictures=list(noise))
    out = tmp_path / "out"
    result = run(
        picture, "--model", root / FLOAT, "--checkpoint", checkpoint, "--method", "gradient", "--boxes", 1, "--out", out
    )
    assert result.exit_code == 0
    document = json.loads((out / "explain.json").read_text())
    assert document["boxes"][0]["heat_inside"]["gradient"] > 0.3
    assert cv2.imread(str(out / document["files"]["gradient"][0])) is not None
    assert any("is a pickle" in record.message for record in caplog.records)
