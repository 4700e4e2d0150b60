"""The exact state of a training run after an epoch, so that a killed run goes on as if nothing had happened.

Contract: `save` writes all or nothing; what `load` returns continues to the same weights, bit for bit, on the same
machine with the same number of threads. The file holds tensors, numbers and names only and is read with
`weights_only`: unlike a checkpoint it cannot run code. ultralytics' own checkpoints keep half-precision averages and
no random state, so a run resumed from them takes another way.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from edge_sorter.atomic import write_bytes
from edge_sorter.errors import ModelError

NAME = "resume.pt"
FORM = 1


def save(path: Path, state: dict[str, Any]) -> None:
    """Write a state in one piece.

    Raises:
        OSError: the disk is full or not writable; the earlier file is untouched.
    """
    write_bytes(path, packed({"form": FORM, **state}))


def packed(value: Any) -> bytes:
    """Return what `torch.save` would write; from memory, so that a full disk is an OSError and not torch's own."""
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def load(path: Path) -> dict[str, Any] | None:
    """Read a state; None when the run was ended before its first epoch was.

    Raises:
        ModelError: the file is damaged or of another version.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(f"{path} cannot be read ({error}). Remove it to start this run from its beginning.") from error
    if state.get("form") != FORM:
        raise ModelError(f"{path} was written by another version. Start a new run from {path.with_name('last.pt')}.")
    return state


def without_teacher(tensors: dict[str, Any]) -> dict[str, Any]:
    """Drop what a run with a teacher need not keep: the teacher is read from its own file again."""
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("teacher_model.")}
