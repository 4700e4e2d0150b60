"""The one door to ultralytics: off the network, out of the user's home, and with one sentence where it is missing.

Contract: call `isolate_ultralytics` before any import of ultralytics in the process; later calls do nothing new.
"""

from __future__ import annotations

import logging
import os
import pickle
import tempfile
from pathlib import Path
from typing import Any

from edge_sorter.errors import ModelError

log = logging.getLogger(__name__)


def warn_of_pickle(checkpoint: Path) -> None:
    """Say what loading a checkpoint means, each time one is about to be."""
    log.warning("%s is a pickle: loading it runs whatever code is in it; use only files you trust", checkpoint)


def isolate_ultralytics(folder: Path | None = None) -> None:
    """Import ultralytics so that it fetches nothing, reports to nobody and keeps its settings in `folder`.

    Args:
        folder: where its settings file goes; default: one for the user in the system's temporary folder.

    Raises:
        ModelError: it is not installed.
    """
    home = folder or Path(tempfile.gettempdir()) / f"edge_sorter_ultralytics_{os.getuid()}"
    os.environ["YOLO_OFFLINE"] = "true"
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ["YOLO_CONFIG_DIR"] = str(home.resolve())
    try:
        from ultralytics import settings
    except ImportError as error:
        raise ModelError("Training needs ultralytics and torch: pip install 'edge-sorter[train]'.") from error
    settings.update({"sync": False})


def open_checkpoint(path: Path) -> tuple[dict[str, Any], Any]:
    """Unpickle a checkpoint; returns all of it, and its network (the average, where there is one) in float32.

    Raises:
        ModelError: there is none, or it is none of a training run.
    """
    if not path.is_file():
        raise ModelError(f"No checkpoint at {path}. Train one: edge-sorter train --help")
    isolate_ultralytics()
    import torch

    warn_of_pickle(path)
    try:
        content: dict[str, Any] = torch.load(str(path), map_location="cpu", weights_only=False)
        return content, (content.get("ema") or content["model"]).float()
    except (OSError, RuntimeError, KeyError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{path} is no checkpoint of a training run, or it is damaged ({error}).") from error
