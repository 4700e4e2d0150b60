"""Train a head that tells what a parcel has: damaged, label present, and the like; any number of them at once.

Contract: the network gives one logit per attribute of a cut-out parcel; attributes nobody looked at (empty in the
table) add nothing to the loss. Resuming, freezing, early stopping and the record are those of every other run.
ultralytics' own classifier says which one class a picture is, which damage and a label are not.
"""

from __future__ import annotations

import csv
import math
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from torch.nn import functional
from ultralytics.models.yolo.classify import ClassificationTrainer

from edge_sorter.lifecycle.augment import Image, apply, camera_effects
from edge_sorter.lifecycle.run_record import Plan
from edge_sorter.lifecycle.trainer import Run

GREY = (114, 114, 114)
MOST_WEIGHT = 20.0


class Pictures(torch.utils.data.Dataset):  # type: ignore[misc]
    """Cut-out parcels on a square, with a 1, a 0 or NaN for each attribute."""

    torch_transforms = None  # ultralytics hangs it on the network; our pictures need no more than `square`

    def __init__(self, table: Path, plan: Plan, *, augmented: bool) -> None:
        self.recipe, self.augmented = plan.recipe, augmented
        self.effects = camera_effects(plan.recipe.camera())
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))[1:]
        self.samples = [Path(row[0]) for row in rows]
        self.values = np.array([[float(text) if text else math.nan for text in row[1:]] for row in rows], np.float32)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image: Image = cv2.imread(str(self.samples[index]))  # type: ignore[assignment]  # proven before the run
        if self.augmented:
            rng = np.random.default_rng(np.random.randint(2**31))
            image = apply(_turned(image, self.recipe, rng), self.effects, rng)
        pixels = square(image, self.recipe.imgsz)[..., ::-1].transpose(2, 0, 1)
        return {
            "img": torch.from_numpy(np.ascontiguousarray(pixels)).float() / 255,
            "cls": torch.from_numpy(self.values[index]),
        }


def square(image: Image, side_px: int) -> Image:
    """Fit a picture into a grey square without changing its shape."""
    height, width = image.shape[:2]
    factor = side_px / max(height, width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    left, top = (side_px - size[0]) // 2, (side_px - size[1]) // 2
    return cv2.copyMakeBorder(
        small, top, side_px - size[1] - top, left, side_px - size[0] - left, cv2.BORDER_CONSTANT, value=GREY
    )


def _turned(image: Image, recipe: Any, rng: np.random.Generator) -> Image:
    """Turn, scale, flip and recolour a cut-out; scale stays near 1, because a cut-out is its parcel."""
    height, width = image.shape[:2]
    angle_deg, scale = rng.uniform(-recipe.degrees, recipe.degrees), rng.uniform(0.85, 1.15)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, scale)
    matrix[:, 2] += rng.uniform(-recipe.translate, recipe.translate, 2) * (width, height) / 2
    image = cv2.warpAffine(image, matrix, (width, height), borderValue=GREY)
    if rng.random() < recipe.flipud:
        image = image[::-1]
    if rng.random() < recipe.fliplr:
        image = image[:, ::-1]
    gains = 1 + rng.uniform(-1, 1, 3) * (recipe.hsv_h, recipe.hsv_s, recipe.hsv_v)
    hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2HSV).astype(np.float32) * gains.astype(np.float32)
    hsv[..., 0] %= 180
    return cv2.cvtColor(np.clip(hsv, 0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR)


class AttributeLoss:
    """Binary cross-entropy for each attribute that somebody looked at; `weights` lifts the rare ones."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights

    def __call__(self, preds: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return the loss over the batch, as ultralytics' criteria do."""
        logits = (preds[1] if isinstance(preds, (list, tuple)) else preds).float()
        known = ~torch.isnan(batch["cls"])
        wanted = torch.nan_to_num(batch["cls"])
        each = functional.binary_cross_entropy_with_logits(logits, wanted, pos_weight=self.weights, reduction="none")
        loss = (each * known).sum() / known.sum().clamp(min=1)
        return loss, {"loss": loss.detach()}


class AttributeValidator:
    """Average precision and the best threshold of each attribute on the validation pictures."""

    def __init__(self, loader: Any, names: dict[int, str], args: Any) -> None:
        self.dataloader, self.names, self.args = loader, names, args
        self.metrics = SimpleNamespace(keys=["metrics/mAP"])
        self.by_class: dict[str, dict[str, float]] = {}

    def __call__(self, trainer: Any) -> dict[str, float]:
        """Measure the moving average of a trainer's network."""
        network = trainer.ema.ema.eval()
        logits, truths = [], []
        with torch.inference_mode():
            for batch in self.dataloader:
                logits.append(network(batch["img"].to(trainer.device))[1].float().cpu())
                truths.append(batch["cls"])
        scores, truth = torch.cat(logits).sigmoid().numpy(), torch.cat(truths)
        loss, _ = AttributeLoss(trainer.positive_weights().cpu())(torch.cat(logits), {"cls": truth})
        self.by_class = {
            name: precision_recall(scores[:, column], truth[:, column].numpy()) for column, name in self.names.items()
        }
        mean = float(np.mean([figures["AP"] for figures in self.by_class.values()]))
        return {"val/loss": float(loss), "metrics/mAP": mean, "fitness": mean}


def precision_recall(scores: NDArray[np.float32], truth: NDArray[np.float32]) -> dict[str, float]:
    """Return average precision, and precision and recall at the threshold of the best F1.

    Args:
        scores: probabilities.
        truth: 1, 0, or NaN where nobody looked (left out).
    """
    known = ~np.isnan(truth)
    order = np.argsort(-scores[known], kind="stable")
    scores, hits = scores[known][order], truth[known][order]
    if not hits.any():
        return dict.fromkeys(("AP", "threshold", "precision", "recall"), 0.0)
    found = np.cumsum(hits)
    last_of_ties = np.append(scores[1:] != scores[:-1], True)  # a threshold cannot part equal scores
    precision = (found / np.arange(1, len(hits) + 1))[last_of_ties]
    recall = (found / hits.sum())[last_of_ties]
    best = int(np.argmax(2 * precision * recall / np.maximum(precision + recall, 1e-9)))
    return {
        "AP": float(np.sum(np.diff(recall, prepend=0.0) * precision)),
        "threshold": float(scores[last_of_ties][best]),
        "precision": float(precision[best]),
        "recall": float(recall[best]),
    }


class AttributeRun(Run, ClassificationTrainer):  # type: ignore[misc]
    """A run whose network answers several yes-or-no questions about a cut-out parcel."""

    def get_dataset(self) -> dict[str, Any]:
        """Return the tables and attributes of the run's own `data.yaml`."""
        content = yaml.safe_load(Path(self.args.data).read_text(encoding="utf-8"))
        root, names = Path(content["path"]), content["names"]
        return {
            "train": root / content["train"],
            "val": root / content["val"],
            "names": names,
            "nc": len(names),
            "channels": 3,
        }

    def build_dataset(self, img_path: Any, mode: str = "train", batch: Any = None) -> Any:
        """Return the pictures of a table."""
        return Pictures(Path(img_path), self.settings.plan, augmented=mode == "train")

    def _close_dataloader_mosaic(self) -> None:
        """Nothing: cut-outs are not pieced together."""

    def positive_weights(self) -> torch.Tensor:
        """Return how much a yes weighs for each attribute: (no / yes) to the power of `class_weight`."""
        values = self.train_loader.dataset.values
        yes, no = np.nansum(values, axis=0), np.nansum(1 - values, axis=0)
        ratio = np.clip(no / np.maximum(yes, 1), 1 / MOST_WEIGHT, MOST_WEIGHT) ** self.args.cls_pw
        return torch.tensor(ratio, dtype=torch.float32, device=self.device)

    def set_class_weights(self) -> None:
        """Give the network our loss; called once the training pictures are known."""
        self.model.criterion = AttributeLoss(self.positive_weights())

    def get_validator(self) -> AttributeValidator:
        """Return the measure of a run."""
        return AttributeValidator(self.test_loader, self.data["names"], deepcopy(self.args))

    def class_figures(self) -> dict[str, dict[str, float]]:
        """Return the figures by attribute."""
        return dict(self.validator.by_class)
