"""`edge-sorter build`: TensorRT networks built ahead, so that the first start on a Jetson does not take minutes.

Contract: builds what `run` would build at its first start, for this GPU and TensorRT, and leaves it in the same cache;
the configured model and the float model that stands in for it where it is refused. Never needed: `run` does it too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from edge_sorter.errors import EngineError

if TYPE_CHECKING:
    from edge_sorter.detect.engines import EngineSpec


def build(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration of the line")],
    anew: Annotated[bool, typer.Option("--anew", help="Build again what is there already")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON on standard output, nothing else")
    ] = False,
) -> None:
    """Build the TensorRT networks of a configuration for this GPU: the model and its float fallback.

    They are kept under a key of GPU, TensorRT version, model hash and input size; when one of these changes, they are
    built again. Exit code 71: no TensorRT or no GPU here, or TensorRT cannot build the model.
    """
    from edge_sorter.config import load_config
    from edge_sorter.detect.opening import specs_of

    section = load_config(config).detect
    if section.engine not in ("auto", "tensorrt"):
        raise EngineError(f"{config} asks for detect.engine {section.engine}, which needs nothing built ahead")
    rows = [_build_one(spec, anew=anew) for spec in specs_of(section)]
    if as_json:
        sys.stdout.write(json.dumps({"built": rows}) + "\n")
        return
    console = Console(soft_wrap=True, highlight=False)
    for row in rows:
        what = "found  " if row["cached"] else "built  "
        tactics = ", with earlier timings" if row["timing_cache"] else ""
        width, height = row["input_px"]
        console.print(
            f"[green]{what}[/] {escape(row['model'])} {width}x{height} for {escape(row['gpu'])}, "
            f"TensorRT {row['tensorrt']}: {row['size_mb']:.1f} MB in {row['took_s']:.1f} s{tactics}"
        )
        console.print(f"         {escape(row['engine'] or 'not kept: no cache folder can be written')}", style="dim")


def _build_one(spec: EngineSpec, *, anew: bool) -> dict[str, Any]:
    from edge_sorter.detect.engines import EngineNotHereError
    from edge_sorter.detect.engines import tensorrt as engine

    try:
        built = engine.build(spec, anew=anew)
    except EngineNotHereError as error:
        raise EngineError(
            f"nothing can be built here: {error}. Machines without an NVIDIA GPU need no build: OpenVINO and ONNX "
            "Runtime compile when they start"
        ) from None
    return {
        "model": spec.model.name,
        "sha256": spec.sha256,
        "input_px": list(spec.input_size_px),
        "gpu": built.gpu,
        "tensorrt": built.version,
        "engine": None if built.path is None else str(built.path),
        "size_mb": round(built.size_bytes / 1e6, 2),
        "cached": built.cached,
        "took_s": round(built.took_s, 2),
        "timing_cache": built.timing_cache,
    }
