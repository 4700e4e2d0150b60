"""Which pixels a box's score is most sensitive to: gradients through the checkpoint, with torch.

Contract: `gradient` returns heat maps like `occlusion`, from a `.pt` of our own training. Opening a checkpoint
unpickles it, which runs whatever it holds: only `lifecycle` does so, only for a path that was given, and says so first.

The gradient of one score with respect to the picture is noise pixel by pixel; its mean over a few slightly disturbed
pictures is not (SmoothGrad, Smilkov et al. 2017). It is multiplied by the picture's difference from the letterbox's
grey, so that what would not change anything by being covered does not glow.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edge_sorter.detect.decode import Grid
from edge_sorter.detect.letterbox import PAD_VALUE, Letterbox
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluation.match import overlaps
from edge_sorter.lifecycle.explanation.activation import to_picture
from edge_sorter.lifecycle.explanation.occlusion import Heat, scaled
from edge_sorter.lifecycle.explanation.subject import Target
from edge_sorter.lifecycle.isolate import isolate_ultralytics
from edge_sorter.types import FloatArray, Image

SAMPLES = 8
NOISE = 0.05
"""Standard deviation of the disturbance, for pixel values of 0 to 1."""


def gradient(
    checkpoint: Path,
    picture: Image,
    targets: Sequence[Target],
    *,
    size_px: tuple[int, int],
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0),
    seed: int = 0,
) -> list[Heat]:
    """Return one heat map for each box.

    Raises:
        ModelError: torch or ultralytics is missing, or the checkpoint is none of ours.
    """
    if not checkpoint.is_file():
        raise ModelError(f"No checkpoint at {checkpoint}.")
    isolate_ultralytics()
    import torch

    from edge_sorter.lifecycle.export import raw_network

    torch.manual_seed(seed)
    network = raw_network(checkpoint).requires_grad_(False)
    letterbox = Letterbox(
        image_size_px=(picture.shape[1], picture.shape[0]),
        crop=crop,
        input_size_px=size_px,
        layout="f32_nchw_rgb",
        scale=1 / 255,
    )
    tensor = torch.from_numpy(np.array(letterbox(picture)))
    cells = [_cell(network, tensor, target, letterbox=letterbox, size_px=size_px) for target in targets]
    maps = [_smooth(torch, network, tensor, cell, target.class_id) for cell, target in zip(cells, targets, strict=True)]
    return [
        scaled(np.clip(to_picture(_blurred(cells), letterbox=letterbox, size_px=size_px), 0, None), target)
        for cells, target in zip(maps, targets, strict=True)
    ]


def _cell(network: Any, tensor: Any, target: Target, *, letterbox: Letterbox, size_px: tuple[int, int]) -> int:
    """Return the cell of the head that gives this box: overlap times score is highest."""
    import torch

    with torch.no_grad():
        boxes, scores = (output.numpy()[0] for output in network(tensor))
    grid = Grid.of(size_px)
    distances = boxes * grid.strides_px
    xyxy = np.concatenate((grid.centers_px - distances[:2], grid.centers_px + distances[2:])).T.astype(np.float32)
    table = overlaps(np.array([target.xyxy], np.float32), letterbox.to_image(xyxy))[0]
    return int((table * scores[target.class_id]).argmax())


def _smooth(torch: Any, network: Any, tensor: Any, cell: int, class_id: int) -> FloatArray:
    grey = PAD_VALUE / 255
    total = np.zeros(tensor.shape[2:], np.float32)
    for _ in range(SAMPLES):
        disturbed = (tensor + NOISE * torch.randn_like(tensor)).requires_grad_()
        score = network(disturbed)[1][0, class_id, cell]
        (slope,) = torch.autograd.grad(torch.logit(score, eps=1e-6), disturbed)  # the sigmoid is flat where it is sure
        total += (slope * (tensor - grey)).sum(dim=1)[0].abs().numpy()
    return np.asarray(total / SAMPLES, np.float32)


def _blurred(cells: FloatArray) -> FloatArray:
    return np.asarray(cv2.GaussianBlur(cells, (0, 0), sigmaX=4), np.float32)
