"""Train a model from scratch or from earlier weights, on a CPU if need be, so that nothing that was learned is lost.

Contract: `train` proves the data set, writes the record, then `OUT/weights/last.pt` (moving-average weights) after
every epoch, so that there is a model whatever happens. `resume` continues a run that was killed at any moment, and
ends where it would have ended. Both download nothing, report to nobody and write nothing into the data set.

On CPUs with bfloat16 instructions (AMX, AVX512-BF16) autocast with channels-last convolutions trains about 1.7 times
as fast as float32, which is why both are the default there.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle import run_record, training_data
from edge_sorter.lifecycle.fake_int8 import rounded_convolutions, steps_of
from edge_sorter.lifecycle.isolate import isolate_ultralytics, warn_of_pickle
from edge_sorter.lifecycle.run_record import Plan

log = logging.getLogger(__name__)

TASKS = {
    "detect": "yolo26n.yaml",
    "segment": "yolo26n-seg.yaml",
    "obb": "yolo26n-obb.yaml",
    "classify": "yolo26n-cls.yaml",
}
# Fields of the recipe that ultralytics knows by another name or not at all
OURS = (
    "activation",
    *("hours", "cosine", "class_weight", "resample", "scale_min", "scale_max"),
    *("blur_px", "blur_deg", "noise", "exposure", "jpeg_quality", "effects_share"),
)
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Means:
    """What a run may use; another choice when resuming ends in nearly, not exactly, the same weights.

    Attributes:
        device: "auto", "cpu", a GPU's number, or several: "0,1".
        threads: CPU threads for torch. On shared cores one thread is faster than two that wait for each other.
        loaders: processes that prepare pictures.
        bf16: compute in bfloat16; turn off on machines without it.
    """

    device: str = "auto"
    threads: int = 1
    loaders: int = 1
    bf16: bool = True


def train(data: Path, out: Path, *, plan: Plan | None = None, means: Means | None = None, command: str = "") -> Path:
    """Run one training and return the path of the checkpoint to use.

    Args:
        data: `data.yaml` of the data set.
        out: run folder, created; refused when it holds a run already.
        plan: what to train, from what and how; its `data` is replaced by `data`.
        means: device, threads, loaders.
        command: how the run was started, for the record.

    Raises:
        DatasetError: missing or faulty data.
        ModelError: missing checkpoint, occupied run folder, full disk, or ultralytics missing.
    """
    plan = replace(plan or Plan(data), data=data)
    if (out / run_record.NAME).exists() or (out / "weights" / "last.pt").exists():
        raise ModelError(f"{out} already holds a run. Choose another --out, or add --resume to continue it.")
    if plan.int8_like is not None and plan.task == "classify":
        raise ModelError("--int8-like is for detectors; classifiers stay in float.")
    if plan.int8_like is not None:
        steps_of(plan.int8_like)  # here: what is wrong with the file must not leave a run behind
    for what, path in (("checkpoint", plan.weights), ("teacher", plan.teacher)):
        if path is not None and not path.is_file():
            raise ModelError(f"No {what} at {path}.")
        if path is not None:
            warn_of_pickle(path)
    if plan.teacher and plan.task != "detect":
        raise ModelError(f"A teacher helps with detect only, not with {plan.task}.")
    chosen = training_data.read(data, task=plan.task)
    chosen = training_data.resampled(chosen, share=plan.recipe.resample, seed=plan.recipe.seed)
    with _disk_errors(out):
        found = training_data.examine(chosen)
        training_data.snapshot(chosen, out)
        run_record.begin(out, plan, found, command=command)
    log.info("%d pictures an epoch, data sha256 %s", found.images_per_epoch, found.sha256[:12])
    return _go(out, plan, means or Means())


def resume(out: Path, *, means: Means | None = None) -> Path:
    """Continue a run from the end of its last whole epoch and return the path of the checkpoint to use.

    Raises:
        ModelError: there is no run in `out`, its data set changed since, or the disk is full.
    """
    record = run_record.load(out)
    plan = run_record.plan_of(record)
    if record["status"] == "finished":
        raise ModelError(f"The run in {out} is finished. Train on from it: --weights {_usable(out)} --out ANOTHER")
    if _rank() <= 0:
        found = training_data.examine(training_data.read(out / "data.yaml", task=plan.task))
        if found.sha256 != record["examined"]["sha256"]:
            raise ModelError(f"The data set of {out} changed since the run began. Start a new run, with another --out.")
    return _go(out, plan, means or Means())


def _go(out: Path, plan: Plan, means: Means) -> Path:
    isolate_ultralytics()
    from edge_sorter.lifecycle import run_state
    from edge_sorter.lifecycle.trainer import bfloat16_forward

    device = _device(means.device)
    if "," in device and plan.recipe.hours:
        raise ModelError("--hours works on one device only: processes would disagree about the time. Give --epochs.")
    if "," in device and _rank() < 0:
        _spawn(out, device, means)
        return _usable(out)
    with _disk_errors(out):
        state = run_state.load(out / "weights" / run_state.NAME)
        if state is None or not state["stop"]:
            trainer = _trainer(out, plan, replace(means, device=device))
            on_cpu = device == "cpu" and means.bf16 and plan.teacher is None
            with bfloat16_forward(enabled=on_cpu), rounded_convolutions():
                trainer.train()
        if _rank() <= 0:
            state = run_state.load(out / "weights" / run_state.NAME)
            if state is None:
                raise ModelError(f"{out}: training ended without a whole epoch.")
            run_record.finish(out, state, device=_in_words(device))
    return _usable(out)


def _trainer(out: Path, plan: Plan, means: Means) -> Any:
    from edge_sorter.lifecycle import trainer

    board = out / "tensorboard" if importlib.util.find_spec("tensorboard") else None
    settings = trainer.Settings(plan, means.threads, means.loaders, board)
    if plan.task == "classify":
        from edge_sorter.lifecycle.attributes import AttributeRun

        return AttributeRun(settings, _overrides(out, plan, means))
    runs = {"detect": trainer.DetectRun, "segment": trainer.SegmentRun, "obb": trainer.ObbRun}
    return runs[plan.task](settings, _overrides(out, plan, means))


def _overrides(out: Path, plan: Plan, means: Means) -> dict[str, Any]:
    recipe = plan.recipe
    own = plan.weights is not None and not plan.transfer
    overrides = {name: value for name, value in asdict(recipe).items() if name not in OURS}
    return overrides | {
        "task": plan.task,
        "scale": (recipe.scale_min, recipe.scale_max),
        "cos_lr": recipe.cosine,
        "cls_pw": recipe.class_weight,
        "val": plan.validate,
        "model": str(plan.weights) if own else plan.model,
        # with False a checkpoint would lend its architecture only; with a path, what fits of its weights
        "pretrained": str(plan.weights) if plan.transfer else own,
        "distill_model": str(plan.teacher) if plan.teacher else None,
        "dis": plan.teacher_weight,
        "data": str((out / "data.yaml").resolve()),
        "project": str(out.resolve().parent),
        "name": out.name,
        "exist_ok": True,
        "momentum": 0.9,
        "nbs": recipe.batch,  # step after every batch: the default would sum gradients up to 64 images
        "warmup_bias_lr": 0.0,
        # upstream's check of AMP fetches weights, and its bfloat16 is for GPUs: on CPUs see trainer.bfloat16_forward
        "amp": "bf16" if means.bf16 and means.device != "cpu" else False,
        "nms": False,  # validate the one-to-one head, which is the one that is exported
        "device": means.device,
        "cache": "ram",
        "plots": False,
        "deterministic": True,
    }


def launch_command(out: Path, device: str, means: Means) -> list[str]:
    """Return the command that trains on several GPUs: one process each, resuming the run that was just recorded."""
    several = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(len(device.split(",")))]
    ours = ["-m", "edge_sorter.lifecycle", "train", "--resume", "--out", str(out), "--device", device]
    ours += ["--threads", str(means.threads), "--loaders", str(means.loaders)]
    return [sys.executable, *several, *ours, *([] if means.bf16 else ["--no-bf16"])]


def _spawn(out: Path, device: str, means: Means) -> None:
    # Not upstream's own launcher: that one empties the run folder first, and with it the record.
    code = subprocess.run(launch_command(out, device, means), check=False).returncode
    if code:
        raise ModelError(f"Training on GPUs {device} ended with code {code}; see above. Add --resume to continue it.")


def _device(wanted: str) -> str:
    import torch

    if wanted == "auto":
        return "0" if torch.cuda.is_available() else "cpu"
    if wanted != "cpu" and not torch.cuda.is_available():
        raise ModelError(f"--device {wanted}: torch sees no GPU here. Leave --device out to train on the CPU.")
    return wanted


def _in_words(device: str) -> str:
    import torch

    if device == "cpu":
        return f"CPU, {torch.get_num_threads()} thread(s)"
    return " + ".join(torch.cuda.get_device_name(int(number)) for number in device.split(","))


def _usable(out: Path) -> Path:
    best = out / "weights" / "best.pt"
    return best if best.is_file() else out / "weights" / "last.pt"


def _rank() -> int:
    return int(os.environ.get("RANK", "-1"))


@contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    """Turn a full disk into one sentence that says what is safe."""
    try:
        yield
    except OSError as error:
        if error.errno not in DISK_FULL:
            raise
        kept = "the epochs before it are kept" if (out / "weights" / "last.pt").is_file() else "nothing was trained yet"
        where = error.filename or out
        raise ModelError(
            f"The disk is full (or a limit is reached) while writing {where}; {kept}. "
            f"Make room, then continue with: edge-sorter train --resume --out {out}"
        ) from error
