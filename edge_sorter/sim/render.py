"""The renderer's command line: training images and clips, resumable, with a progress bar.

Contract: ``python -m edge_sorter.sim.render dataset|coco|clip|truth``; a killed run leaves only whole files and
continues where it stopped. Blender is imported by the commands that render, not before.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from edge_sorter.errors import EdgeSorterError
from edge_sorter.sim import coco, truth
from edge_sorter.sim import scenario as scenarios

app = typer.Typer(add_completion=False, help=__doc__, no_args_is_help=True)
console = Console()


class RendererMissingError(EdgeSorterError):
    """Blender's Python module is not installed."""


def _need_blender() -> None:
    missing = [name for name in ("bpy", "OpenEXR") if importlib.util.find_spec(name) is None]
    if missing:
        raise RendererMissingError(
            f"rendering needs the optional packages {' and '.join(missing)}. Install them with Python 3.11: "
            "pip install bpy OpenEXR"
        )


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console
    )


@app.command()
def dataset(
    out: Annotated[Path, typer.Option(help="Gets images/, labels/, masks/ with train/ and valid/, and annotations/.")],
    count: Annotated[int, typer.Option(min=1)] = 450,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first image.")] = 0,
    near: Annotated[bool, typer.Option("--near", help="Only close-ups from above, as in a scan tunnel.")] = False,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each uses one core.")] = 2,
) -> None:
    """Render training images, labelled as YOLO and COCO; every tenth is a validation image."""
    _need_blender()
    out.mkdir(parents=True, exist_ok=True)
    coco.forget(out)
    work = partial(_one_image, out, seed, near)
    # A fresh process every 100 images keeps Blender's memory from growing.
    pool = multiprocessing.get_context("spawn").Pool(jobs, maxtasksperchild=100)
    with pool, _bar() as bar:
        task = bar.add_task("images", total=count)
        for _ in pool.imap_unordered(work, range(first, first + count)):
            bar.advance(task)
    _write_coco(out)


@app.command(name="coco")
def write_coco(
    out: Annotated[Path, typer.Option(help="Folder of `dataset`; gets annotations/train.json and valid.json.")],
) -> None:
    """Write the images of a folder as COCO, as `dataset` does at its end; needs no Blender."""
    _write_coco(out)


def _write_coco(out: Path) -> None:
    for written in coco.write(out):
        console.print(f"{written.path}: {written.images} images, {written.parcels} parcels")
        if written.boxes_only:
            console.print(
                f"  {written.boxes_only} of them have no mask in masks/: boxes only, rendered anew they get one"
            )


def _one_image(out: Path, seed: int, near: bool, number: int) -> None:
    from edge_sorter.sim.dataset import make_image

    make_image(out, number, seed=seed, threads=1, near=near)


@app.command()
def clip(
    scenario: Annotated[Path, typer.Option(help="Scenario file.")],
    out: Annotated[Path, typer.Option(help="Folder for frames; the finished clip lies beside them.")],
    samples: Annotated[int, typer.Option(min=1, help="Light paths per pixel; the time grows with it.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Processes; each renders its share on its own core.")] = 2,
    crf: Annotated[int, typer.Option(min=10, max=40, help="H.264 quality; lower is better and larger.")] = 19,
) -> None:
    """Trace key pictures along the belt's travel, compose the frames from them (only missing ones), encode the clip."""
    loaded = scenarios.load(scenario)
    _need_blender()
    from edge_sorter.sim.compose import hand_frames, hand_path, key_path, key_travels_mm, plate_path
    from edge_sorter.sim.encode import encode, frame_path

    out.mkdir(parents=True, exist_ok=True)
    keys = range(len(key_travels_mm(loaded)))
    with multiprocessing.get_context("spawn").Pool(jobs) as pool, _bar() as bar:

        def work(what: str, task: Callable[[int], None], numbers: Sequence[int], path: Callable[[int], Path]) -> None:
            missing = [number for number in numbers if not path(number).exists()]
            row = bar.add_task(what, total=len(numbers), completed=len(numbers) - len(missing))
            # Neighbours go to one process: each pays for building the scene, or reading a key, only once.
            for _ in pool.imap_unordered(task, missing, chunksize=8 if len(missing) > 32 else 1):
                bar.advance(row)

        work("empty line", partial(_plate, scenario, out, samples), [0], lambda _: plate_path(out))
        work("key pictures", partial(_one_key, scenario, out, samples), keys, partial(key_path, out))
        if with_hand := hand_frames(loaded):
            work("pictures with a hand", partial(_one_hand, scenario, out, samples), with_hand, partial(hand_path, out))
        work("frames", partial(_one_frame, scenario, out), range(loaded.video.frames), partial(frame_path, out))
    target = out / f"{loaded.name}.mp4"
    encode(loaded, out, target, crf=crf)
    console.print(f"{target}: {target.stat().st_size / 1e6:.2f} MB, {loaded.video.frames} frames")


def _plate(scenario: Path, out: Path, samples: int, _: int) -> None:
    from edge_sorter.sim.clip import clip_of

    clip_of(scenario, samples).save_plate(out)


def _one_key(scenario: Path, out: Path, samples: int, number: int) -> None:
    from edge_sorter.sim.clip import clip_of

    clip_of(scenario, samples).save_key(number, out)


def _one_hand(scenario: Path, out: Path, samples: int, frame: int) -> None:
    from edge_sorter.sim.clip import clip_of

    clip_of(scenario, samples).save_hand(frame, out)


def _one_frame(scenario: Path, out: Path, frame: int) -> None:
    from edge_sorter.sim.compose import composer_of

    composer_of(scenario, out).save(frame)


@app.command(name="truth")
def write_truth(
    scenario: Annotated[Path, typer.Option(help="Scenario file.")],
    out: Annotated[Path, typer.Option(help="Folder for truth.json and truth_mot.txt.")],
    calibration: Annotated[Path | None, typer.Option(help="Also write the camera calibration here.")] = None,
) -> None:
    """Write a scenario's exact truth; needs no Blender."""
    truth.write(scenarios.load(scenario), out, calibration)


def main() -> None:
    """Run the command line; our own errors end with their message and exit code, without a traceback."""
    try:
        app()
    except EdgeSorterError as error:
        console.print(f"[red]error:[/red] {error}", highlight=False)
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
