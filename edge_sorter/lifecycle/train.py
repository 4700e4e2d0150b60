"""Train the parcel detector from scratch (or from our own earlier weights), on a CPU if need be.

Contract: `train` writes `OUT/weights/last.pt` (moving-average weights) after every epoch, so that there is a model
whatever happens, and `OUT/training.json` with everything that made it; it downloads nothing and reports to nobody.

On CPUs with bfloat16 instructions (AMX, AVX512-BF16) autocast with channels-last convolutions trains about 1.7 times
as fast as float32, which is why both are the default.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.isolate import isolate_ultralytics
from edge_sorter.lifecycle.recipe import Recipe

# Fields of the recipe that ultralytics does not know, or by another name
OURS = (
    *("hours", "cosine", "class_weight", "resample", "scale_min", "scale_max"),
    *("blur_px", "blur_deg", "noise", "exposure", "jpeg_quality", "effects_share"),
)


def train(
    data: Path,
    out: Path,
    *,
    recipe: Recipe | None = None,
    weights: Path | None = None,
    model: str = "yolo26n.yaml",
    resume: bool = False,
    threads: int = 1,
    loaders: int = 1,
    bf16: bool = True,
    validate: bool = True,
    command: str = "",
) -> Path:
    """Run one training and return the path of the final checkpoint.

    Args:
        data: `data.yaml` as `edge_sorter.lifecycle.data.build` writes it.
        out: run folder, created; an earlier run in it is continued with `resume`, else refused.
        recipe: epochs, image size (px, longer side) and augmentation.
        weights: our own earlier checkpoint to start from; None starts from random weights.
        model: architecture by name of an ultralytics yaml; no weights are ever fetched.
        resume: continue an interrupted run in `out`.
        threads: CPU threads for torch. On shared cores one thread is faster than two that wait for each other.
        loaders: processes that prepare images.
        bf16: autocast to bfloat16; turn off on CPUs without it.
        validate: measure after every epoch; a tenth of the time on a small set.
        command: how the run was started, for the record.

    Raises:
        ModelError: missing data, missing checkpoint, occupied run folder, or ultralytics not installed.
    """
    recipe = recipe or Recipe()
    last = out / "weights" / "last.pt"
    if not data.is_file():
        raise ModelError(f"No data set at {data}. Make one with: python -m edge_sorter.lifecycle data build --help")
    if weights is not None and not weights.is_file():
        raise ModelError(f"No checkpoint at {weights}. Leave --weights out to train from scratch.")
    if resume and not last.is_file():
        raise ModelError(f"Nothing to resume: no {last}.")
    if last.is_file() and not resume:
        raise ModelError(f"{out} already holds a run. Choose another --out, or add --resume to continue it.")
    out.mkdir(parents=True, exist_ok=True)
    trainer = _make_trainer(
        data,
        out,
        recipe,
        weights=weights,
        model=model,
        threads=threads,
        loaders=loaders,
        resume=resume,
        validate=validate,
    )
    _write_record(data, out, recipe, weights=weights, model=model, command=command)
    with _bfloat16_forward(enabled=bf16):
        trainer.train()
    return last


def _make_trainer(
    data: Path,
    out: Path,
    recipe: Recipe,
    *,
    weights: Path | None,
    model: str,
    threads: int,
    loaders: int,
    resume: bool,
    validate: bool,
) -> Any:
    isolate_ultralytics(out / "ultralytics")
    import torch
    from ultralytics.models.yolo.detect import DetectionTrainer

    class ChannelsLastTrainer(DetectionTrainer):  # type: ignore[misc]
        """Channels-last on the CPU, which upstream allows on CUDA only; convolutions in bfloat16 need it to be fast."""

        def get_model(self, *args: Any, **kwargs: Any) -> Any:
            return super().get_model(*args, **kwargs).to(memory_format=torch.channels_last)

        def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
            batch = super().preprocess_batch(batch)
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
            return batch

    hyperparameters = {name: value for name, value in asdict(recipe).items() if name not in OURS}
    overrides = {
        **hyperparameters,
        "scale": (recipe.scale_min, recipe.scale_max),
        "time": recipe.hours or None,
        "cls_pw": recipe.class_weight,
        "cos_lr": recipe.cosine,
        "val": validate,
        "model": str(out / "weights" / "last.pt") if resume else str(weights or model),
        "resume": str(out / "weights" / "last.pt") if resume else False,
        "data": str(data.resolve()),
        "project": str(out.resolve().parent),
        "name": out.name,
        "exist_ok": True,
        "pretrained": weights is not None,  # with False a checkpoint would lend its architecture only
        "momentum": 0.9,
        "nbs": recipe.batch,  # step after every batch: the default would sum gradients up to 64 images
        "warmup_bias_lr": 0.0,
        "amp": False,  # upstream's check fetches weights, and its bfloat16 is CUDA only: see _bfloat16_forward
        "nms": False,  # validate the one-to-one head, which is the one that is exported
        "device": "cpu",
        "cache": "ram",
        "plots": False,
        "deterministic": True,
    }
    trainer = ChannelsLastTrainer(overrides=overrides)
    # Upstream's CPU mode keeps one core idle and loads images between steps; one loader process overlaps the two.
    torch.set_num_threads(threads)
    trainer.args.workers = loaders
    return trainer


@contextmanager
def _bfloat16_forward(*, enabled: bool) -> Iterator[None]:
    """Run the network in bfloat16 while training, and the loss in float32.

    The loss must not see bfloat16 coordinates: its 8 bits of mantissa would put box corners on a 2 px raster. Patched
    on the class, not the instance, so that checkpoints pickle as plain ultralytics models.
    """
    import torch
    from ultralytics.nn.tasks import DetectionModel

    original = DetectionModel.predict

    def predict(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled and self.training):
            predictions = original(self, x, *args, **kwargs)
        return _as_float32(predictions) if self.training else predictions

    DetectionModel.predict = predict
    try:
        yield
    finally:
        DetectionModel.predict = original


def _as_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_float32(item) for item in value]
    return value.float()


def _write_record(data: Path, out: Path, recipe: Recipe, *, weights: Path | None, model: str, command: str) -> None:
    import torch
    import ultralytics

    dataset = data.with_name("dataset.json")
    earlier = weights.parent.parent / "training.json" if weights is not None else None
    record = {
        "model": model,
        "command": command,
        "recipe": asdict(recipe),
        "ultralytics": ultralytics.__version__,
        "torch": torch.__version__,
        "dataset": json.loads(dataset.read_text(encoding="utf-8")) if dataset.is_file() else None,
        "started_from": json.loads(earlier.read_text(encoding="utf-8")) if earlier and earlier.is_file() else None,
    }
    (out / "training.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
