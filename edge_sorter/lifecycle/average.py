"""`edge-sorter average`: one model whose weights are the mean of several runs of one lineage.

A run that starts from another ends near it, and between the two ends lies a model that often errs less than either
(Wortsman et al., "Model soups", ICML 2022). Contract: the checkpoints are read, never changed; what comes out is a run
folder as `train` leaves it, for `export` and `train --weights`. Imports torch and ultralytics when it is called.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_sorter.atomic import write_bytes, write_json
from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.architecture import ACTIVATIONS
from edge_sorter.lifecycle.isolate import open_checkpoint
from edge_sorter.lifecycle.run_record import NAME
from edge_sorter.lifecycle.train_commands import command_line


def average_models(
    checkpoints: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="RUN/weights/last.pt, two or more; they are unpickled")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Run folder to create, with weights/last.pt")],
) -> None:
    """Average the weights of runs that started from one another: the last one's record, and the mean of all."""
    if len(checkpoints) < 2:
        raise ModelError("average needs two checkpoints or more.")
    if (out / NAME).exists() or (out / "weights" / "last.pt").exists():
        raise ModelError(f"{out} already holds a run. Choose another --out.")
    records = [_record(checkpoint) for checkpoint in checkpoints]
    weights = out / "weights" / "last.pt"
    write_bytes(weights, _mean(checkpoints))
    averaged = {"command": command_line(), "checkpoints": [str(checkpoint) for checkpoint in checkpoints]}
    write_json(out / NAME, records[-1] | {"averaged": averaged})
    sys.stdout.write(f"{weights}\nNext: edge-sorter export --checkpoint {weights} --out weights/NAME.onnx\n")


def _record(checkpoint: Path) -> dict[str, Any]:
    path = checkpoint.parent.parent / NAME
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{checkpoint} is of no run made here: {path} cannot be read ({error}).") from error
    return record


def _mean(checkpoints: list[Path]) -> bytes:
    """Return a packed checkpoint: the last one's network with the mean of all weights and statistics.

    Raises:
        ModelError: A file is no checkpoint, or the networks differ.
    """
    opened = [open_checkpoint(path) for path in checkpoints]
    import torch

    from edge_sorter.lifecycle.run_state import packed

    states = [model.state_dict() for _, model in opened]
    for path, state in zip(checkpoints, states, strict=True):
        if {name: tensor.shape for name, tensor in state.items()} != {n: t.shape for n, t in states[-1].items()}:
            raise ModelError(f"{path} has other layers than {checkpoints[-1]}; only runs of one network have a mean.")
    kinds = {str(model.yaml.get("activation", ACTIVATIONS["silu"])) for _, model in opened}
    if len(kinds) > 1:
        raise ModelError("The checkpoints have different activations; only runs of one network have a mean.")
    mean = {
        name: torch.stack([state[name] for state in states]).mean(0) if last.is_floating_point() else last
        for name, last in states[-1].items()
    }
    content, model = opened[-1]
    model.load_state_dict(mean)
    return packed({**content, "model": model, "ema": None, "optimizer": None})
