"""Channels go where they may, what is left computes the same as with those channels at zero, and it trains on."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.export import DEFAULT_SIZE_PX
from tests.lifecycle.training_sets import collage_set

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
pytest.importorskip("torch_pruning", reason="Torch-Pruning is not installed (extra: train)")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

RUNS = ("whole", "narrow")
CLASSES = ("carton", "polybag", "mailer", "tube", "sack")


class KilledError(Exception):
    """Ends a run between two epochs."""


def command(*args: object) -> None:
    from edge_sorter.lifecycle.commands import app

    app([str(arg) for arg in args], standalone_mode=False)


def network(architecture: str = "yolo26n.yaml") -> Any:
    """An untrained network whose batch norms are all different, as after a training."""
    from edge_sorter.lifecycle.isolate import isolate_ultralytics

    isolate_ultralytics()
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(3)
    model = DetectionModel(architecture, nc=len(CLASSES), verbose=False).eval()
    model.names = dict(enumerate(CLASSES))
    for part in model.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(part.weight, 0.5, 1.5)
            torch.nn.init.normal_(part.bias, std=0.3)
            torch.nn.init.normal_(part.running_mean, std=0.1)
    return model


def outputs_of(model: Any, image: Any) -> list[Any]:
    """Distances and scores of the head's branches that are exported."""
    with torch.no_grad():
        _, raw = model(image)
    raw = raw.get("one2one", raw)
    return [raw["boxes"], raw["scores"]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder "whole" with a checkpoint, and "narrow", half of its channels taken out."""
    folder = tmp_path_factory.mktemp("pruned")
    checkpoint = folder / "whole/weights/last.pt"
    checkpoint.parent.mkdir(parents=True)
    torch.save({"model": network(), "ema": None}, checkpoint)
    command("prune", "--checkpoint", checkpoint, "--out", folder / "narrow", "--ratio", 0.5)
    return folder


def norms_of(model: Any) -> dict[str, Any]:
    return {name: part for name, part in model.named_modules() if isinstance(part, torch.nn.BatchNorm2d)}


@pytest.mark.parametrize("architecture", ["yolo26n.yaml", "yolo11n.yaml"])
def test_silent_channels_go_without_a_trace(architecture: str) -> None:
    """Every other channel is silenced at its norm: if those go, and all that read them were found, nothing changes."""
    from edge_sorter.lifecycle.prune import narrow

    model = network(architecture)
    widths = {name: norm.num_features for name, norm in norms_of(model).items()}
    narrowed = deepcopy(model)
    narrow(narrowed, ratio=0.5, multiple=1)
    thinned = [name for name, norm in norms_of(narrowed).items() if norm.num_features < widths[name]]
    assert len(thinned) > 50 and all(norms_of(narrowed)[name].num_features == widths[name] / 2 for name in thinned)
    for name in thinned:
        norm = norms_of(model)[name]
        norm.weight.data[1::2] = norm.bias.data[1::2] = 0
    image = torch.rand(1, 3, 96, 128)
    expected = outputs_of(model, image)
    assert float(expected[1].std()) > 0
    narrow(model, ratio=0.5, multiple=1)
    for found, wanted in zip(outputs_of(model, image), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-4)


def test_what_blocks_pass_on_keeps_its_width_and_what_is_left_comes_in_portions(place: Path) -> None:
    whole, narrow = (torch.load(place / name / "weights/last.pt", weights_only=False)["model"] for name in RUNS)
    for before, after in zip(whole.model, narrow.model, strict=True):
        if hasattr(before, "cv2") and before is not whole.model[-1]:
            assert after.cv2.conv.out_channels == before.cv2.conv.out_channels
    before, after = norms_of(whole), norms_of(narrow)
    thinned = [name for name in before if after[name].num_features < before[name].num_features]
    assert all(after[name].num_features % 8 == 0 for name in thinned)
    # The branches that only teach are not exported, so narrower ones would gain nothing.
    assert not any(name.startswith(("model.23.cv2", "model.23.cv3")) for name in thinned)
    assert any(name.startswith("model.23.one2one_cv3") for name in thinned)


def test_the_report_counts_what_is_there(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = place / "whole/weights/last.pt"
    command("prune", "--checkpoint", checkpoint, "--out", place / "told", "--ratio", 0.25, "--json")
    told = json.loads(capsys.readouterr().out)
    model = torch.load(told["checkpoint"], weights_only=False)["model"]
    exported = sum(
        p.numel() for name, p in model.named_parameters() if not name.startswith(("model.23.cv2", "model.23.cv3"))
    )
    assert told["parameters"][1] == exported < told["parameters"][0]
    first = told["blocks"][0]
    width_px, height_px = DEFAULT_SIZE_PX
    assert first["multiplications"] == [width_px // 2 * (height_px // 2) * 16 * 27] * 2
    assert json.loads((place / "told/training.json").read_text())["pruned"]["ratio"] == 0.25
    with pytest.raises(ModelError, match="already holds a run"):
        command("prune", "--checkpoint", checkpoint, "--out", place / "told")
    with pytest.raises(ModelError, match="No checkpoint"):
        command("prune", "--checkpoint", place / "nothing.pt", "--out", place / "never")
    assert not (place / "never").exists()


def test_a_pruned_network_trains_on_is_resumed_and_runs_on_a_line(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics import YOLO

    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector
    from edge_sorter.lifecycle import run_state
    from edge_sorter.types import Frame

    start, on = place / "narrow/weights/last.pt", place / "on"
    data = collage_set(place / "set")
    args = ("--data", data, "--weights", start, "--imgsz", 64, "--batch", 4, "--no-bf16", "--device", "cpu")
    saved = run_state.save

    def save_and_die(path: Path, state: dict[str, Any]) -> None:
        saved(path, state)
        raise KilledError

    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(run_state, "save", save_and_die)
        command("train", "--out", on, *args, "--epochs", 2)
    command("train", "--resume", "--out", on, "--no-bf16", "--device", "cpu")
    assert len((on / "results.csv").read_text().splitlines()) == 3
    before, after = (
        torch.load(path / "weights/last.pt", weights_only=False)["model"] for path in (start.parents[1], on)
    )
    shapes = {name: value.shape for name, value in before.state_dict().items()}
    assert {name: value.shape for name, value in after.state_dict().items()} == shapes
    assert not torch.equal(after.model[2].cv1.conv.weight, before.model[2].cv1.conv.weight)
    assert YOLO(on / "weights/last.pt").model.yaml["pruned"] == {"ratio": 0.5, "multiple": 8}

    command("export", "--checkpoint", on / "weights/last.pt", "--out", place / "m.onnx")
    assert json.loads((place / "m.json").read_text())["training"]["started_from"]["pruned"]["ratio"] == 0.5
    section = DetectSection(model=place / "m.onnx", input_px=(96, 64), low_confidence=0.0, threads=1)
    picture = np.random.default_rng(1).integers(0, 256, (120, 200, 3), dtype=np.uint8)
    with open_detector(section) as detector:
        found = detector.detect(Frame(0, 1, picture))
    assert len(found.xyxy) and (found.xyxy <= [200, 120, 200, 120]).all()


def test_a_pruned_network_keeps_its_classes(place: Path) -> None:
    data = collage_set(place / "other")
    data.write_text(data.read_text().replace("tube", "roll"))
    start = place / "narrow/weights/last.pt"
    with pytest.raises(ModelError, match="keeps its classes"):
        command("train", "--data", data, "--weights", start, "--out", place / "never", "--imgsz", 64, "--device", "cpu")
