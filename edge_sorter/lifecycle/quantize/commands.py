"""`edge-sorter quantize`: from a float model and calibration pictures to an int8 model that decides alike.

Contract: thin over this folder; imports what is heavy only when it runs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from edge_sorter.errors import DatasetError, ModelError

if TYPE_CHECKING:
    from edge_sorter.lifecycle.calibration import Look
    from edge_sorter.lifecycle.quantize.fidelity import Outputs
    from edge_sorter.lifecycle.quantize.model import Calibrated
    from edge_sorter.lifecycle.quantize.ranges import Array

AUTO, NONE = "auto", "none"


@dataclass(frozen=True)
class _Bench:
    """A calibrated float model and pictures to measure its int8 forms on."""

    calibrated: Calibrated
    chosen: list[Look]
    size_px: tuple[int, int]
    pictures: list[Array]
    reference: Outputs


def quantize_model(
    model: Annotated[Path, typer.Option(metavar="FILE", help="Float ONNX made by `export`, with its manifest")],
    data: Annotated[Path, typer.Option(metavar="FILE", help="data.yaml whose training images calibrate the scales")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="int8 ONNX file to write; its manifest goes beside it")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Calibrate on the pictures here, not on those of --data")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="Calibration pictures to choose")] = 320,
    method: Annotated[str, typer.Option(help="Ranges: mse, entropy, percentile or minmax")] = "mse",
    keep_float: Annotated[
        str,
        typer.Option(help="Layers to keep in float: auto (those that int8 hurts most), none, or '/model.0/*,*Concat'"),
    ] = AUTO,
    max_mb: Annotated[float, typer.Option(min=0.1, help="auto: largest file, in 10^6 bytes")] = 4.0,
    max_float: Annotated[float, typer.Option(min=0, max=1, help="auto: most work to leave in float, 0..1")] = 0.6,
    target: Annotated[float, typer.Option(min=0, help="auto: error of scores and boxes that is good enough")] = 0.01,
    layers: Annotated[
        Path | None, typer.Option(metavar="FILE", help="auto: take the order of layers from this earlier quantize.json")
    ] = None,
    compare_ranges: Annotated[
        bool, typer.Option("--compare-ranges", help="Only compare ways to choose ranges")
    ] = False,
    sensitivity: Annotated[
        bool, typer.Option("--sensitivity", help="Only measure what int8 does to each layer")
    ] = False,
    probe: Annotated[int, typer.Option(min=4, help="Pictures to measure on; not those that calibrate")] = 32,
    labelled: Annotated[
        Path | None, typer.Option(metavar="DIR", help="images/ and labels/ (YOLO, our classes): show mAP too")
    ] = None,
    listing: Annotated[
        Path | None, typer.Option("--list", help="Record the calibration pictures' names and sha256")
    ] = None,
    report: Annotated[Path | None, typer.Option(metavar="DIR", help="Write quantize.json and plots here")] = None,
) -> None:
    """Make the int8 form of a model: explicit Q/DQ nodes, one file for OpenVINO, ONNX Runtime and TensorRT.

    Calibration pictures are chosen the same way everywhere and refused when they are too few or unlike the training.
    Layers are quantized one at a time to find those that int8 hurts; the worst stay in float as far as --max-mb and
    --max-float allow, and no further than --target needs.
    """
    from edge_sorter.lifecycle.quantize.report import write_report

    if out is None and not (compare_ranges or sensitivity):
        raise ModelError("Give --out FILE for the int8 model, or --compare-ranges or --sensitivity to only measure.")
    bench = _prepare(model, data, pictures, images=images, probe=probe)
    content: dict[str, Any] = {
        "model": model.name,
        "calibration_pictures": len(bench.chosen),
        "probe": len(bench.pictures),
    }
    if compare_ranges:
        content |= _compare_ranges(bench, labelled)
    kept: tuple[str, ...] = ()
    if sensitivity or (keep_float == AUTO and not compare_ranges):
        kept, found = _keep_float(bench, method=method, limits=(max_mb, max_float, target), known=layers)
        content |= found
    elif keep_float not in (AUTO, NONE):
        kept = tuple(name.strip() for name in keep_float.split(","))
    if report is not None:
        for path in write_report(report, content):
            _say(str(path))
    if out is not None and not (compare_ranges or sensitivity):
        _write(bench, out, method=method, keep_float=kept, listing=listing)


def _prepare(model: Path, data: Path, pictures: Path | None, *, images: int, probe: int) -> _Bench:
    from edge_sorter.lifecycle import calibration, manifest
    from edge_sorter.lifecycle.quantize import fidelity
    from edge_sorter.lifecycle.quantize.model import calibrate
    from edge_sorter.lifecycle.shipped_data import find_images

    content = manifest.load(model)
    size_px = (content["input"]["width_px"], content["input"]["height_px"])
    _say("looking at the pictures")
    training = calibration.look_at(calibration.training_pictures(data))
    looks = training if pictures is None else calibration.look_at(find_images(pictures))
    chosen = calibration.choose(looks, images)
    inputs = calibration.tensors([look.path for look in chosen], size_px=size_px)
    seen = fidelity.seen(fidelity.run(model, inputs[::4]), confidence=content["confidence"])
    calibration.check(chosen, reference=training, seen=seen * len(inputs) // max(len(inputs[::4]), 1))
    calibrated = calibrate(model, inputs, on_progress=_progress("calibration run"))
    taken = {look.sha256 for look in chosen}
    free = [look for look in looks if look.sha256 not in taken]
    if len(free) < probe:
        raise DatasetError(
            f"{len(free)} pictures are left to measure on after {images} calibrate, {probe} are wanted. Give more "
            "pictures, or a smaller --images or --probe."
        )
    held = calibration.tensors([look.path for look in free[:: len(free) // probe][:probe]], size_px=size_px)
    return _Bench(calibrated, chosen, size_px, held, fidelity.run(model, held))


def _compare_ranges(bench: _Bench, labelled: Path | None) -> dict[str, Any]:
    from edge_sorter.lifecycle.quantize import fidelity
    from edge_sorter.lifecycle.quantize.ranges import METHODS
    from edge_sorter.lifecycle.quantize.report import ranges_table
    from edge_sorter.lifecycle.quantize.trial import map_of

    models = {method: bench.calibrated.quantized(method=method) for method in METHODS}
    found = {
        name: fidelity.compare(bench.reference, fidelity.run(item, bench.pictures)) for name, item in models.items()
    }
    maps = {}
    if labelled is not None:
        forms = {"float": None, **models}
        maps = {name: map_of(bench.calibrated.path, item, labelled) for name, item in forms.items()}
    Console().print(ranges_table(found, maps))
    return {"ranges": {name: result.record() for name, result in found.items()}, "map50_95": maps}


def _keep_float(
    bench: _Bench, *, method: str, limits: tuple[float, float, float], known: Path | None
) -> tuple[tuple[str, ...], dict[str, Any]]:
    from edge_sorter.lifecycle.quantize.report import layers_table, trials_table
    from edge_sorter.lifecycle.quantize.sensitivity import Budget, analyse, choose, recalled

    calibrated, pictures, reference = bench.calibrated, bench.pictures, bench.reference
    if known is not None:
        layers = recalled(known)
    else:
        layers = analyse(calibrated, pictures, method=method, reference=reference, on_progress=_progress("layer"))
    budget = Budget(*limits)
    taken, trials = choose(calibrated, layers, pictures, budget=budget, method=method, reference=reference)
    console = Console()
    console.print(layers_table(layers))
    console.print(trials_table(trials, taken))
    return taken.keep_float, {
        "layers": [layer.record() for layer in layers],
        "trials": [trial.record() for trial in trials],
        "kept_float": list(taken.keep_float),
    }


def _write(bench: _Bench, out: Path, *, method: str, keep_float: tuple[str, ...], listing: Path | None) -> None:
    from edge_sorter.lifecycle import calibration, manifest
    from edge_sorter.lifecycle.quantize.model import write

    calibrated = bench.calibrated
    write(calibrated.quantized(method=method, keep_float=keep_float), out)
    if listing is not None:
        calibration.write_list(bench.chosen, listing, size_px=bench.size_px)
    content = manifest.load(calibrated.path)
    facts = {**calibrated.facts(method=method, keep_float=keep_float), "float_sha256": content["sha256"]}
    path = manifest.write(
        out,
        classes=content["classes"],
        precision="int8_qdq",
        training={**content["training"], "quantization": facts},
        decode=content["decode"],
        width_px=bench.size_px[0],
        height_px=bench.size_px[1],
        confidence=content["confidence"],
        golden=content.get("golden"),
        fallback=calibrated.path.name if out.resolve().parent == calibrated.path.resolve().parent else None,
    )
    sys.stdout.write(
        f"{out} ({out.stat().st_size / 1e6:.1f} MB, {len(facts['kept_float'])} layers kept in float)\n{path}\n"
    )


def _progress(unit: str) -> Any:
    def show(done: int, total: int) -> None:
        if sys.stderr.isatty() or done == total:
            sys.stderr.write(f"\r{unit} {done} of {total}" + ("\n" if done == total else ""))
            sys.stderr.flush()

    return show


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
