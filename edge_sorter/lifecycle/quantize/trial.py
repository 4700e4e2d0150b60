"""mAP of a model that is only in memory, through the detector that ships.

Contract: `map_of` writes model and manifest into a temporary folder, measures, and leaves nothing behind.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from edge_sorter.lifecycle import manifest
from edge_sorter.lifecycle.quantize.model import write


def map_of(float_path: Path, model: Any, labelled: Path) -> float:
    """Return mAP50-95 of a model on a labelled folder.

    Args:
        float_path: Float model with its manifest.
        model: An int8 form of it, loaded; None measures the float model itself.
        labelled: Folder with `images/` and `labels/` (YOLO, the model's own classes).
    """
    from edge_sorter.lifecycle.evaluation.accuracy import accuracy_of
    from edge_sorter.lifecycle.evaluation.images import Task, opened

    content = manifest.load(float_path)
    with tempfile.TemporaryDirectory() as folder:
        path = float_path
        if model is not None:
            path = Path(folder) / "trial-int8.onnx"
            write(model, path)
            size = content["input"]
            manifest.write(
                path,
                classes=content["classes"],
                precision="int8_qdq",
                training=content["training"],
                decode=content["decode"],
                width_px=size["width_px"],
                height_px=size["height_px"],
                confidence=content["confidence"],
            )
        task = Task(labelled / "images", labelled / "labels", threads=1)
        with opened(path, task) as detector:
            return accuracy_of(detector, task.images, task.labels).map50_95
