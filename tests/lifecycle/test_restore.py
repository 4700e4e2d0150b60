"""A checkpoint made of the shipped ONNX file computes what the file computes, and survives training mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import ModelError

torch = pytest.importorskip("torch", reason="torch is not installed (extra: train)")
pytest.importorskip("ultralytics", reason="ultralytics is not installed (extra: train)")
pytest.importorskip("onnx", reason="onnx is not installed (extra: train)")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def pictures(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(4)
    coarse = rng.random((count, 1, 3, 12, 20), np.float32)
    return list(np.kron(coarse, np.ones((1, 1, 1, 16, 16), np.float32)))


@pytest.fixture(scope="module")
def checkpoint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edge_sorter.lifecycle.restore import restore

    out = tmp_path_factory.mktemp("restored") / "weights" / "last.pt"
    assert restore(root / "weights/parcel-yolo26n.onnx", out, pictures=pictures(6)) == 6
    return out


def test_the_checkpoint_gives_the_file_s_outputs(root: Path, checkpoint: Path) -> None:
    from edge_sorter.lifecycle.export import raw_network

    image = np.random.default_rng(2).random((1, 3, 192, 320), np.float32)
    session = onnxruntime.InferenceSession(str(root / "weights/parcel-yolo26n.onnx"))
    boxes, scores = session.run(["boxes", "scores"], {"images": image})
    with torch.no_grad():
        ours = raw_network(checkpoint)(torch.from_numpy(image))
    assert np.abs(ours[0].numpy() - boxes).max() < 1e-3
    assert np.abs(ours[1].numpy() - scores).max() < 1e-4


def test_training_mode_sees_nearly_the_same(checkpoint: Path) -> None:
    """Norms by the statistics of the pictures they were measured on change little; identity norms would break it."""
    model = torch.load(checkpoint, weights_only=False)["model"].float()
    batch = torch.from_numpy(np.concatenate(pictures(6)))
    with torch.no_grad():
        first = model.model[:6].eval()(batch)
        again = model.model[:6].train()(batch)
    assert (first - again).abs().mean() < 0.05 * first.abs().mean()


def test_a_quantized_file_is_refused(root: Path, tmp_path: Path) -> None:
    from edge_sorter.lifecycle.restore import restore

    with pytest.raises(ModelError, match="give the float file"):
        restore(root / "weights/parcel-yolo26n-int8.onnx", tmp_path / "last.pt", pictures=pictures(1))
    assert not list(tmp_path.rglob("*.pt"))


def test_no_pictures_no_checkpoint(root: Path, tmp_path: Path) -> None:
    from edge_sorter.lifecycle.restore import restore

    with pytest.raises(ModelError, match="No pictures"):
        restore(root / "weights/parcel-yolo26n.onnx", tmp_path / "last.pt", pictures=[])
    assert not list(tmp_path.rglob("*.pt"))
