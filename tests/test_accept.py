"""`edge-sorter accept` and the script for the device: evidence, exit codes, and what they say about a wrong model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from edge_sorter.accept_pictures import agreement, ratchet
from edge_sorter.config import load_config
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.option_values import class_map

COMMAND = [sys.executable, "-m", "edge_sorter"]


@pytest.fixture
def line(tmp_path: Path, root: Path) -> Path:
    """The demo's configuration with weights of its own, on the float file."""
    for path in (root / "weights").glob("parcel-yolo26n*"):
        shutil.copy(path, tmp_path / path.name)
    config = yaml.safe_load((root / "configs/demo/line.yaml").read_text())
    config["detect"] = {"model": "parcel-yolo26n.onnx", "engine": "openvino", "threads": 1}
    config["belt"]["calibration"] = str(root / "calibration/camera/demo.yaml")
    config["belt"]["encoder"]["source"] = str(root / "configs/demo/demo.encoder.csv")
    config["sort"]["plan"] = str(root / "configs/demo/plan.yaml")
    (tmp_path / "line.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "line.yaml"


def accept(line: Path, *arguments: str, command: list[str] = COMMAND) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "accept", "-c", str(line), "--runs", "100", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_right_model_in_its_budget_is_accepted(line: Path) -> None:
    shown = accept(line, "--json", "--budget-ms", "60000")
    assert shown.returncode == 0, shown.stderr
    evidence: dict[str, Any] = json.loads(shown.stdout)
    assert evidence["accepted"] and evidence["parity"]["passed"] and evidence["refused"] == []
    assert evidence["parity"]["boxes"] >= 6
    assert 0 < evidence["latency_ms"]["p50"] <= evidence["latency_ms"]["p99"] < 60_000


def test_too_slow_is_not_accepted(line: Path) -> None:
    shown = accept(line, "--budget-ms", "0.1")
    assert shown.returncode == 1
    assert "slow" in shown.stdout
    assert shown.stdout.strip().endswith("not accepted as configured")


def test_a_model_that_sees_something_else_is_refused_with_71(line: Path) -> None:
    manifest = line.parent / "parcel-yolo26n.json"
    content = json.loads(manifest.read_text())
    content["golden"]["detections"] = [[[10, 10, 90, 90, 0.9, 0]] for _ in content["golden"]["detections"]]
    manifest.write_text(json.dumps(content))
    shown = accept(line)
    assert shown.returncode == 71
    assert "does not see what the float model sees" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_the_script_for_the_device_hands_everything_over(line: Path, root: Path, tmp_path: Path) -> None:
    program = tmp_path / "edge-sorter"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m edge_sorter "$@"\n')
    program.chmod(0o755)
    evidence = tmp_path / "evidence.json"
    script = ["env", f"EDGE_SORTER={program}", f"EVIDENCE={evidence}", str(root / "deploy/jetson/accept.sh")]
    shown = subprocess.run(
        [*script, str(line), "--runs", "100", "--budget-ms", "60000", "--json"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["accepted"]
    kept = json.loads(evidence.read_text())
    assert kept["accepted"] and kept["model"] == "parcel-yolo26n.onnx"
    assert kept["versions"]["openvino"] and kept["processor"] and kept["at"].endswith("Z")
    usage = subprocess.run(script, capture_output=True, text=True, timeout=30, check=False)
    assert usage.returncode == 2
    assert "accept.sh CONFIG" in usage.stdout


@pytest.fixture
def labelled(root: Path, line: Path) -> Path:
    """Golden pictures as a labelled set whose truth is what the float model sees, and a manifest that promises that."""
    folder = line.parent / "set"
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    path = line.parent / "parcel-yolo26n.json"
    content = json.loads(path.read_text())
    sheet = cv2.imread(str(root / "weights/parcel-yolo26n.golden.png"))
    width, height = content["input"]["width_px"], content["input"]["height_px"]
    for index, boxes in enumerate(content["golden"]["detections"]):
        cv2.imwrite(str(folder / "images" / f"{index}.png"), sheet[index * height : (index + 1) * height])
        rows = [row for row in boxes if row[4] >= content["confidence"]]
        lines = [
            f"{kind + 3} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} {(x2 - x1) / width} {(y2 - y1) / height}"
            for x1, y1, x2, y2, _, kind in rows
        ]
        (folder / "labels" / f"{index}.txt").write_text("\n".join(lines))
    content["metrics"]["golden"] = {"map50_95": 0.9}
    path.write_text(json.dumps(content))
    return folder


CLASSES = "3=carton,4=polybag,5=mailer,6=tube,7=sack"


def test_pictures_at_hand_are_compared_box_by_box_and_the_accuracy_is_held_to_the_manifest(
    line: Path, labelled: Path
) -> None:
    more = [
        "--pictures",
        str(labelled / "images"),
        "--labelled",
        str(labelled),
        "--set",
        "golden",
        "--classes",
        CLASSES,
    ]
    shown = accept(line, "--json", "--budget-ms", "60000", *more)
    assert shown.returncode == 0, shown.stderr
    evidence = json.loads(shown.stdout)
    assert evidence["agreement"]["passed"] and evidence["agreement"]["pictures"] == 4
    assert evidence["agreement"]["boxes"] >= 5 and evidence["agreement"]["mean_iou"] > 0.95
    assert evidence["accuracy"]["passed"] and evidence["accuracy"]["map50_95"] > 0.9
    manifest = line.parent / "parcel-yolo26n.json"
    content = json.loads(manifest.read_text())
    content["metrics"]["golden"]["map50_95"] = 1.01
    manifest.write_text(json.dumps(content))
    theirs = class_map(CLASSES, ("carton", "polybag", "mailer", "tube", "sack"))
    worse = ratchet(load_config(line).detect, labelled, name="golden", class_map=theirs)
    assert worse["promised"] == 1.01 and not worse["passed"]


def test_agreement_with_the_float_model_is_measured_on_pictures(line: Path, labelled: Path) -> None:
    section = load_config(line).detect
    found = agreement(section, labelled / "images", limit=2)
    assert found["pictures"] == 2 and found["passed"] and found["missing"] == 0
    assert found["worst_score_difference"] < 0.05
    empty = labelled / "empty"
    empty.mkdir()
    with pytest.raises(ModelError, match="no picture"):
        agreement(section, empty, limit=2)
    cv2.imwrite(str(empty / "grey.png"), np.full((288, 512, 3), 90, np.uint8))
    with pytest.raises(ModelError, match="sees nothing"):
        agreement(section, empty, limit=2)


def test_mistakes_in_what_to_measure_are_said(line: Path, labelled: Path) -> None:
    section = load_config(line).detect
    with pytest.raises(ModelError, match=r"has no mAP of 'lake', only of: .*golden"):
        ratchet(section, labelled, name="lake", class_map=None)
    assert class_map("", ("carton",)) is None
    assert class_map("3=carton, 4=carton", ("carton",)) == {3: 0, 4: 0}
    with pytest.raises(ModelError, match="is not ID=NAME"):
        class_map("0=lorry", ("carton",))
    alone = accept(line, "--labelled", str(labelled))
    assert alone.returncode != 0 and "belong together" in " ".join(alone.stderr.split())
