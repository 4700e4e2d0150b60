"""Every head that can be exported finds, through the detector that ships, what ultralytics' own decoding finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.errors import ModelError

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIZE_PX = (96, 64)


def checkpoint_of(architecture: str, folder: Path, *, oriented: bool = False) -> Path:
    """An untrained network whose angles and scores vary from cell to cell, as a run would leave it."""
    from edge_sorter.lifecycle.isolate import isolate_ultralytics

    isolate_ultralytics(folder / "settings")
    from ultralytics.nn.tasks import DetectionModel, OBBModel

    torch.manual_seed(3)
    model = (OBBModel if oriented else DetectionModel)(architecture, nc=3, verbose=False)
    for name, weight in model.named_parameters():
        if "cv4." in name or "cv3." in name:
            torch.nn.init.normal_(weight, std=0.3)
    path = folder / "run/weights/last.pt"
    path.parent.mkdir(parents=True)
    torch.save({"model": model, "ema": None}, path)
    return path


def exported(checkpoint: Path, out: Path) -> dict[str, Any]:
    from edge_sorter.lifecycle.export import export

    return export(checkpoint, out, width_px=SIZE_PX[0], height_px=SIZE_PX[1])


def outputs_of(model: Path, image: np.ndarray, names: tuple[str, ...]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return list(session.run(list(names), {"images": image}))


def as_upstream(checkpoint: Path, image: np.ndarray) -> np.ndarray:
    """What ultralytics' head makes of the same picture: centre x, y, width, height, probabilities, angle."""
    network = torch.load(checkpoint, weights_only=False)["model"].float().eval()
    head = network.model[-1]
    head.end2end = False
    with torch.no_grad():
        _, raw = network(torch.from_numpy(image))
        raw = raw.get("one2one", raw)
        return np.asarray(head._inference(raw)[0])


def test_a_head_with_bins_is_cut_before_its_suppression(tmp_path: Path) -> None:
    from edge_sorter.detect.decode import Grid

    checkpoint = checkpoint_of("yolo11n.yaml", tmp_path)
    assert exported(checkpoint, tmp_path / "m.onnx")["decode"] == "yolo11_ltrb"
    image = np.random.default_rng(5).random((1, 3, 128, 160), np.float32)  # another size than that of the export
    boxes, scores = outputs_of(tmp_path / "m.onnx", image, ("boxes", "scores"))
    grid, upstream = Grid.of((160, 128)), as_upstream(checkpoint, image)
    sides = boxes[0] * grid.strides_px
    np.testing.assert_allclose(grid.centers_px + (sides[2:] - sides[:2]) / 2, upstream[:2], atol=0.01)
    np.testing.assert_allclose(sides[:2] + sides[2:], upstream[2:4], atol=0.01)
    np.testing.assert_allclose(scores[0], upstream[4:], atol=1e-4)


@pytest.fixture(scope="module")
def oriented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder's checkpoint of oriented boxes, with m.onnx beside the run."""
    folder = tmp_path_factory.mktemp("oriented")
    checkpoint = checkpoint_of("yolo26n-obb.yaml", folder, oriented=True)
    assert exported(checkpoint, folder / "m.onnx")["decode"] == "yolo26_obb"
    return checkpoint


def test_oriented_boxes_have_the_corners_that_upstream_gives_them(oriented: Path) -> None:
    from ultralytics.utils.ops import xywhr2xyxyxyxy
    from ultralytics.utils.tal import dist2rbox

    from edge_sorter.detect.decode import Grid, yolo26_obb

    image = np.random.default_rng(5).random((1, 3, 128, 160), np.float32)
    model = oriented.parents[2] / "m.onnx"
    boxes, scores, angles = outputs_of(model, image, ("boxes", "scores", "angles"))
    upstream = as_upstream(oriented, image)
    np.testing.assert_allclose(scores[0], upstream[4:7], atol=1e-4)
    np.testing.assert_allclose(angles[0], upstream[7:], atol=1e-4)
    assert np.ptp(angles) > 0.01
    boxes, grid = np.abs(boxes) + 0.2, Grid.of((160, 128))  # untrained distances are no boxes; both get the same
    found = yolo26_obb(boxes, scores, angles, classes=3, grid=grid, threshold=0.0)
    sides, turns, centers = (torch.from_numpy(part) for part in (boxes, angles, grid.centers_px / grid.strides_px))
    xywh = dist2rbox(sides, turns, centers, dim=1)[0] * torch.from_numpy(grid.strides_px)
    theirs = xywhr2xyxyxyxy(torch.cat([xywh, turns[0]]).T).numpy()
    assert found.corners is not None and len(found.corners) > 10
    for corners in found.corners:
        gaps = np.linalg.norm(theirs[:, None, :, :] - corners[None, :, None, :], axis=3)  # (boxes, ours, theirs)
        assert gaps.min(axis=2).max(axis=1).min() < 0.01


def test_an_oriented_model_runs_on_a_line(oriented: Path, tmp_path: Path) -> None:
    """Export, manifest, detector: hulls inside the picture, in the same form as any other model's."""
    import json

    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector
    from edge_sorter.lifecycle.commands import app
    from edge_sorter.types import Frame

    record = {"model": "yolo26n-obb.yaml", "recipe": {"epochs": 1, "imgsz": 64, "seed": 0}}
    record |= {"ultralytics": "8", "torch": "2"}
    (oriented.parents[1] / "training.json").write_text(json.dumps(record))
    app(["export", "--checkpoint", str(oriented), "--out", str(tmp_path / "m.onnx")], standalone_mode=False)
    written = json.loads((tmp_path / "m.json").read_text())
    assert (written["decode"], written["outputs"]["angles"]) == ("yolo26_obb", "angles")
    assert (written["input"]["width_px"], written["input"]["height_px"]) == (
        512,
        288,
    )  # the size of the shipped weights
    section = DetectSection(model=tmp_path / "m.onnx", input_px=(96, 64), low_confidence=0.0, threads=1)
    picture = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    with open_detector(section) as detector:
        found = detector.detect(Frame(0, 1, picture))
    assert (found.xyxy >= 0).all() and (found.xyxy <= [200, 120, 200, 120]).all()


def test_heads_with_more_than_boxes_are_refused(tmp_path: Path) -> None:
    from ultralytics.nn.tasks import SegmentationModel

    path = tmp_path / "run/weights/last.pt"
    path.parent.mkdir(parents=True)
    torch.save({"model": SegmentationModel("yolo26n-seg.yaml", nc=2, verbose=False), "ema": None}, path)
    with pytest.raises(ModelError, match="Segment"):
        exported(path, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
