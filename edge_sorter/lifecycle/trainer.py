"""ultralytics' trainers, made to resume exactly, to lose nothing, to thaw in stages and to see as a belt camera does.

Contract: after every epoch there are `weights/last.pt` (moving average, ready to export), `weights/best.pt` where the
run is validated, and `weights/resume.pt`; each is replaced whole. An epoch depends on the state before it, the seed and
its number only. Nothing is written into the data set. Imports torch and ultralytics: go through `train`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.engine.trainer import BaseTrainer
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.obb import OBBTrainer
from ultralytics.models.yolo.segment import SegmentationTrainer
from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model

from edge_sorter.atomic import write_bytes, write_text
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle import fake_int8, run_state
from edge_sorter.lifecycle.architecture import described
from edge_sorter.lifecycle.augment import apply, camera_effects
from edge_sorter.lifecycle.run_record import Plan, as_csv

CHANNELS_LAST = torch.channels_last
PRUNED = "pruned"
"""Key in the yaml of a network that `prune` made narrower than its yaml says."""


@dataclass(frozen=True)
class Settings:
    """What the trainers need beyond ultralytics' own arguments; threads and loaders may differ when resuming."""

    plan: Plan
    threads: int
    loaders: int
    tensorboard: Path | None


class BeltCamera:
    """Our camera effects as the last step of ultralytics' transforms, drawn from its seeded generator."""

    def __init__(self, plan: Plan) -> None:
        self.effects = camera_effects(plan.recipe.camera())

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Change the picture of a sample, leave its labels."""
        rng = np.random.default_rng(np.random.randint(2**31))
        labels["img"] = apply(np.ascontiguousarray(labels["img"]), self.effects, rng)
        return labels


class Run(BaseTrainer):  # type: ignore[misc]
    """What detection, segmentation and oriented boxes share; mixed in before ultralytics' trainer of the task."""

    def __init__(self, settings: Settings, overrides: dict[str, Any]) -> None:
        self.settings = settings
        self.rows: list[dict[str, float]] = []
        self.by_class: dict[str, dict[str, float]] = {}
        self.best_fitness: float | None = None
        self.spent_s = 0.0
        self.writer: Any = None
        super().__init__(overrides=overrides)
        torch.set_num_threads(settings.threads)
        # Upstream's CPU mode keeps one core idle and loads images between steps; one loader process overlaps the two.
        self.args.workers = settings.loaders
        self.add_callback("on_train_epoch_start", Run.begin_epoch)

    def begin_epoch(self) -> None:
        """Make the epoch a function of its number: seeds, fresh loader processes, frozen layers."""
        recipe = self.settings.plan.recipe
        seed = (recipe.seed * 100_003 + self.epoch * 101 + RANK + 1) % 2**31
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        self.train_loader.generator.manual_seed(seed)
        self.train_loader.reset()
        self._forget_pictures()
        self._freeze(frozen_layers(self.settings.plan.frozen, self.epoch))

    def _forget_pictures(self) -> None:
        """Empty the pictures that mosaics are drawn from: they depend on earlier epochs."""
        dataset = self.train_loader.dataset
        for index in getattr(dataset, "buffer", ()):
            if dataset.cache != "ram":
                dataset.ims[index] = dataset.im_hw0[index] = dataset.im_hw[index] = None
        dataset.buffer = []

    def _freeze(self, layers: int) -> None:
        names = [f"model.{index}." for index in range(layers)] + [".dfl", "teacher_model."]
        self.freeze_layer_names = names
        for name, parameter in unwrap_model(self.model).named_parameters():
            if parameter.dtype.is_floating_point:
                parameter.requires_grad = not any(part in name for part in names)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """Build the network, with convolutions in the order of memory that is fast on this device."""
        activation = self.settings.plan.recipe.activation
        if isinstance(cfg, dict) and PRUNED in cfg:
            model = self._as_pruned(weights)
        else:
            cfg = described(cfg, activation) if activation else cfg
            model = super().get_model(cfg=cfg, weights=weights, verbose=verbose)
        like = self.settings.plan.int8_like
        if like is not None:
            fake_int8.mark(model, fake_int8.steps_of(like))
        return model.to(memory_format=CHANNELS_LAST) if self.device.type == "cpu" else model

    def _as_pruned(self, weights: Any) -> Any:
        """Go on with the network of the checkpoint itself: built from its yaml it would have its old width again."""
        if self.settings.plan.recipe.activation:
            raise ModelError("A pruned checkpoint keeps its activation. Train with another first, then prune.")
        names = list(weights.names.values())
        if names != list(self.data["names"].values()):
            raise ModelError(
                f"A pruned checkpoint keeps its classes ({', '.join(names)}), and the data set has others. "
                "Train on those first, then prune."
            )
        return weights.requires_grad_(True)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Channels-last on the CPU, which upstream allows on CUDA only; bfloat16 convolutions need it to be fast."""
        batch = super().preprocess_batch(batch)
        if self.device.type == "cpu":
            batch["img"] = batch["img"].contiguous(memory_format=CHANNELS_LAST)
        return batch

    def build_dataset(self, img_path: Any, mode: str = "train", batch: int | None = None) -> Any:
        """Read the set without leaving caches in it, mending its files or believing a stale cache."""
        with _read_only():
            dataset = super().build_dataset(img_path, mode, batch)
        if mode == "train":
            dataset.transforms.insert(-1, BeltCamera(self.settings.plan))
        return dataset

    def _close_dataloader_mosaic(self) -> None:
        super()._close_dataloader_mosaic()
        if hasattr(self.train_loader.dataset.transforms, "insert"):
            self.train_loader.dataset.transforms.insert(-1, BeltCamera(self.settings.plan))

    def validate(self) -> Any:
        """Validate, and keep the figures by class of the best epoch."""
        metrics, fitness = super().validate()
        if fitness is not None:
            fitness = float(fitness)
            self.best_fitness = max(fitness, float(self.best_fitness or fitness))
            if fitness == self.best_fitness:
                self.by_class = self.class_figures()
        return metrics, fitness

    def class_figures(self) -> dict[str, dict[str, float]]:
        """Return precision, recall, AP and the confidence of the best F1 for each class that was seen."""
        box = self.validator.metrics.box
        figures = {}
        for row, class_id in enumerate(box.ap_class_index):
            best = int(np.argmax(box.f1_curve[row]))
            figures[self.data["names"][int(class_id)]] = {
                "mAP50": float(box.ap50[row]),
                "mAP50-95": float(box.ap[row]),
                "threshold": float(box.px[best]),
                "precision": float(box.p_curve[row][best]),
                "recall": float(box.r_curve[row][best]),
            }
        return figures

    def save_metrics(self, metrics: dict[str, float]) -> None:
        """Keep the epoch's figures, write all of them anew, and watch the clock of a run that is given hours."""
        spent_s = self.spent_s + time.time() - self.train_time_start
        row = {"epoch": self.epoch + 1, "seconds": spent_s, **{name: float(value) for name, value in metrics.items()}}
        self.rows.append(row)
        write_text(self.csv, as_csv(self.rows))
        self._show(row)
        budget_s = self.settings.plan.recipe.hours * 3600
        if budget_s:
            done = self.epoch + 1
            self.epochs = self.args.epochs = max(done, int(budget_s / (spent_s / done)))
            self._setup_scheduler()
            self.scheduler.last_epoch = self.epoch
            self.stop |= self.epochs <= done

    def _show(self, row: dict[str, float]) -> None:
        """Tell TensorBoard where it is installed; what goes wrong there never ends a run."""
        if self.settings.tensorboard is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter

            self.writer = self.writer or SummaryWriter(self.settings.tensorboard, purge_step=int(row["epoch"]))
            for name, value in row.items():
                self.writer.add_scalar(name, value, int(row["epoch"]))
            self.writer.flush()
        except (ImportError, OSError):
            self.settings = Settings(self.settings.plan, self.settings.threads, self.settings.loaders, None)

    def save_model(self) -> bool:
        """Write best, last and state, the state at the end: killed in between, the epoch is simply done again."""
        checkpoint = run_state.packed(self._checkpoint())
        if self.fitness is not None and self.fitness == self.best_fitness:
            write_bytes(self.best, checkpoint)
        write_bytes(self.last, checkpoint)
        run_state.save(self.wdir / run_state.NAME, self._state())
        return True

    def _checkpoint(self) -> dict[str, Any]:
        """The moving average as a plain ultralytics checkpoint, in full precision and without training's leftovers."""
        self.ema.ema.criterion = None
        average = deepcopy(getattr(self.ema.ema, "student_model", self.ema.ema))
        average = average.to(memory_format=torch.contiguous_format)
        average.criterion = None
        fake_int8.unmark(average)
        for module in average.modules():
            module._forward_hooks.clear()  # those of a teacher's wrapper hold its class
        return {"epoch": -1, "model": average, "ema": None, "optimizer": None, "train_args": vars(self.args)}

    def _state(self) -> dict[str, Any]:
        stopper = {"best_fitness": self.stopper.best_fitness, "best_epoch": self.stopper.best_epoch}
        stopper["best_fitness"] = None if stopper["best_fitness"] is None else float(stopper["best_fitness"])
        return {
            "epoch": self.epoch,
            "epochs": self.epochs,
            "stop": bool(self.stop),
            "model": run_state.without_teacher(unwrap_model(self.model).state_dict()),
            "average": self.ema.ema.state_dict(),
            "updates": self.ema.updates,
            "optimizer": self.optimizer.state_dict(),
            "best_fitness": self.best_fitness,
            "stopper": stopper,
            "rows": self.rows,
            "by_class": self.by_class,
            "spent_s": self.rows[-1]["seconds"],
        }

    def resume_training(self, ckpt: Any) -> None:
        """Go back to the state after the last whole epoch, if there was one."""
        state = run_state.load(self.wdir / run_state.NAME)
        if state is None:
            return
        model = unwrap_model(self.model)
        model.load_state_dict(state["model"], strict=not hasattr(model, "teacher_model"))
        self.ema.ema.load_state_dict(state["average"])
        self.ema.updates = state["updates"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.best_fitness, self.rows, self.by_class = state["best_fitness"], state["rows"], state["by_class"]
        self.stopper.__dict__.update(state["stopper"])
        self.spent_s, self.start_epoch = state["spent_s"], state["epoch"] + 1
        self.epochs = self.args.epochs = state["epochs"]
        self._setup_scheduler()
        student = getattr(model, "student_model", model)
        if getattr(student.model[-1], "one2one_cv2", None) is not None:
            # The two heads' shares of the loss move with the epochs.
            student.criterion = student.init_criterion()
            student.criterion.updates = self.start_epoch - 1
            student.criterion.update()

    def final_eval(self) -> None:
        """Nothing: the figures of the best epoch are kept already, and checkpoints are written without leftovers."""

    def _handle_nan_recovery(self, epoch: int) -> bool:
        if self.loss is not None and not bool(self.loss.isfinite()):
            raise ModelError(
                f"The loss is no number in epoch {epoch + 1}: the learning rate is too high or a label is absurd. "
                f"The epochs before are kept in {self.wdir}; start again with a smaller --set lr0=..."
            )
        return False


class DetectRun(Run, DetectionTrainer):  # type: ignore[misc]
    """Boxes."""


class SegmentRun(Run, SegmentationTrainer):  # type: ignore[misc]
    """Outlines as polygons."""


class ObbRun(Run, OBBTrainer):  # type: ignore[misc]
    """Boxes at any angle."""


def frozen_layers(stages: tuple[tuple[int, int], ...], epoch: int) -> int:
    """Return how many layers keep their weights in an epoch: the count of the last stage that has begun."""
    return max((stage for stage in stages if stage[0] <= epoch), default=(0, 0))[1]


@contextmanager
def bfloat16_forward(*, enabled: bool) -> Iterator[None]:
    """Run the network in bfloat16 while training on a CPU, and the loss in float32.

    The loss must not see bfloat16 coordinates: its 8 bits of mantissa would put box corners on a 2 px raster. Patched
    on the class, not the instance, so that checkpoints pickle as plain ultralytics models.
    """
    from ultralytics.nn.tasks import BaseModel

    original = BaseModel.predict

    def predict(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled and self.training):
            predictions = original(self, x, *args, **kwargs)
        return _as_float32(predictions) if self.training else predictions

    with _replaced(BaseModel, predict=predict):
        yield


def _as_float32(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_as_float32(item) for item in value)
    return value.float() if isinstance(value, torch.Tensor) else value


@contextmanager
def _read_only() -> Iterator[None]:
    """Keep ultralytics from writing into a data set, or from reading a cache that may be older than the labels.

    It knows a changed label by the size of its file, and 'mends' a JPEG with bytes after its end by compressing it
    again, in place. Pictures were proven by `training_data.examine` before.
    """
    from PIL import Image
    from ultralytics.data import dataset, utils

    def shape_only(im_file: str) -> tuple[str, tuple[int, int]]:
        with Image.open(im_file) as picture:
            width_px, height_px = utils.exif_size(picture)
        return "", (height_px, width_px)

    def no_cache(path: Path) -> Any:
        raise FileNotFoundError(path)

    def unsaved(prefix: str, path: Path, labels: dict[str, Any], version: str) -> None:  # noqa: ARG001
        labels["version"] = version

    with (
        _replaced(dataset, load_dataset_cache_file=no_cache, save_dataset_cache_file=unsaved),
        _replaced(utils, check_image=shape_only),
    ):
        yield


@contextmanager
def _replaced(owner: Any, **parts: Any) -> Iterator[None]:
    """Swap attributes of a class or module, and put the old ones back."""
    before = {name: getattr(owner, name) for name in parts}
    for name, part in parts.items():
        setattr(owner, name, part)
    try:
        yield
    finally:
        for name, part in before.items():
            setattr(owner, name, part)
