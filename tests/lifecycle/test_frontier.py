"""The frontier: every combination measured as asked or refused with its reason, and who leads."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.frontier import Point, Truth, best, measure, write_report
from edge_sorter.lifecycle.frontier_decisions import Line, decide
from edge_sorter.lifecycle.option_values import size_px


def point(ratio: float, accuracy: float, *, refused: str = "", width: int = 512) -> Point:
    times = {
        "cpu_ms": 8 * ratio,
        "fastest_ms": 9 * ratio,
        "median_ms": 10 * ratio,
        "p95_ms": 11 * ratio,
        "ratio": ratio,
    }
    figures = {"map50": accuracy, "map50_95": accuracy, "map50_95_interval": (accuracy - 0.1, accuracy + 0.05)}
    return Point("m.onnx", (width, 288), "openvino", "m", **times, **figures, refused=refused)  # type: ignore[arg-type]


@pytest.fixture
def truth(root: Path, tmp_path: Path) -> Truth:
    """Two golden pictures of the shipped model with what it sees in them as truth."""
    content = json.loads((root / "weights/parcel-yolo26n.json").read_text())
    sheet = cv2.imread(str(root / "weights/parcel-yolo26n.golden.png"))
    width, height = content["input"]["width_px"], content["input"]["height_px"]
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for index, boxes in enumerate(content["golden"]["detections"][:2]):
        cv2.imwrite(str(tmp_path / "images" / f"{index}.png"), sheet[index * height : (index + 1) * height])
        rows = [
            f"{kind} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
            for x1, y1, x2, y2, score, kind in boxes
            if score >= 0.25
        ]
        (tmp_path / "labels" / f"{index}.txt").write_text("\n".join(rows))
    return Truth(tmp_path / "images", tmp_path / "labels")


def test_who_leads_is_beaten_by_nobody_in_both() -> None:
    points = [
        point(1.0, 0.5),
        point(0.5, 0.4),
        point(0.7, 0.3),
        point(2.0, 0.5),
        point(3.0, 0.6),
        point(0.1, 0.9, refused="x"),
    ]
    assert [(lead.ratio, lead.map50_95) for lead in best(points)] == [(0.5, 0.4), (1.0, 0.5), (3.0, 0.6)]


def test_shipped_models_are_measured_in_turns(root: Path, truth: Truth, tmp_path: Path) -> None:
    models = [root / "weights/parcel-yolo26n.onnx", root / "weights/parcel-yolo26n-int8.onnx"]
    points = measure(models, [(448, 288)], ["openvino", "tensorrt"], truth, rounds=5, threads=1)
    measured = [item for item in points if not item.refused]
    assert [item.model for item in measured if item.engine == "openvino"] == [path.name for path in models]
    assert measured[0].ratio == 1.0 and measured[0].map50_95 > 0.9
    assert all(0 < item.fastest_ms <= item.median_ms <= item.p95_ms for item in measured)
    assert all(item.cpu_ms > 0 for item in measured)
    low, high = measured[0].map50_95_interval or (1.0, 0.0)
    assert low <= measured[0].map50_95 <= high
    assert all("OpenVINO" in item.running for item in measured if item.engine == "openvino")
    assert {item.engine for item in points if item.refused} <= {"tensorrt"}
    (path, *_) = write_report(points, tmp_path / "out", about={"rounds": 5})
    content = json.loads(path.read_text())
    assert len(content["points"]) == 4 and any(row["frontier"] for row in content["points"])


@pytest.fixture
def first_seconds(root: Path, tmp_path: Path) -> Line:
    """The demo's first 2.6 seconds, with the parcels that cross in them (less a moment for the decision)."""
    source = cv2.VideoCapture(str(root / "configs/demo/demo.mp4"))
    clip = tmp_path / "first.mp4"
    writer = cv2.VideoWriter(str(clip), cv2.VideoWriter_fourcc(*"mp4v"), 25, (960, 540))  # type: ignore[attr-defined]
    for _ in range(65):
        writer.write(source.read()[1])
    writer.release()
    truth = json.loads((root / "configs/demo/truth.json").read_text())
    for parcel in truth["parcels"]:
        parcel["crosses"] = parcel["crosses"] and parcel["cross_s"] < 2.45
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return Line(clip, root / "configs/demo/line.yaml", tmp_path / "truth.json")


def test_a_line_s_clip_is_decided_with_a_model_at_a_size(root: Path, first_seconds: Line) -> None:
    decided = decide(first_seconds, root / "weights/parcel-yolo26n.onnx", (512, 288), "openvino")
    assert decided.parcels >= 3
    assert (decided.decided, decided.missed, decided.extra) == (decided.parcels, 0, 0)
    assert decided.lane_right == decided.lanes_judged == decided.parcels
    assert decided.crossing_error_ms is not None and decided.crossing_error_ms < 80
    along, across = decided.size_error_mm or (0.0, 0.0)
    assert 0 < along < 80 and 0 < across < 160


def test_sizes_are_read_and_mistakes_said() -> None:
    assert size_px(" 640x384", "--sizes") == (640, 384)
    for text in ("500x288", "640", "x384"):
        with pytest.raises(ModelError, match="multiples of 32"):
            size_px(text, "--sizes")


def test_a_plot_is_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: dev)")
    paths = write_report([point(1.0, 0.5), point(0.5, 0.4, width=416)], tmp_path, about={})
    assert [path.name for path in paths] == ["frontier.json", "frontier.png"]
    drawn = cv2.imread(str(paths[1]))
    assert drawn.shape[:2] == (650, 1000) and np.ptp(drawn) > 100
