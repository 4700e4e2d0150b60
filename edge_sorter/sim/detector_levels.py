"""What the real detector does wrong, measured in the words of the levels: is the simulated line as bad as a real one?

Contract: the boxes come from the detector that ships, the truth from a file beside the pictures; every figure is named
as the knob of `levels.DetectorKnobs` it is to be compared with. Reads only.

    python -m edge_sorter.sim.detector_levels --clip configs/demo/demo.mp4 --truth configs/demo/truth_mot.txt
    python -m edge_sorter.sim.detector_levels --images DIR --labels DIR --classes carton,polybag
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from edge_sorter.clock import ReplayClock
from edge_sorter.config import VideoSection, load_config
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import ConfigError, EdgeSorterError
from edge_sorter.sim.detector_faults import Faults, Truth
from edge_sorter.types import Frame, Image
from edge_sorter.video import open_source

Floats = NDArray[np.float64]
HERE = Path(__file__).resolve().parents[2]
PICTURES = (".jpg", ".jpeg", ".png")

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Labelled(NamedTuple):
    """One picture with its truth."""

    image: Image
    truth: Truth


@app.command()
def measure(
    config: Annotated[Path, typer.Option(help="Configuration whose model and thresholds are measured")] = HERE
    / "configs/demo/line.yaml",
    clip: Annotated[Path | None, typer.Option(help="Clip whose truth is known")] = None,
    truth: Annotated[Path | None, typer.Option(help="Its boxes, MOT: frame,id,x,y,w,h,1,class,visibility")] = None,
    images: Annotated[Path | None, typer.Option(help="Or a folder of pictures")] = None,
    labels: Annotated[Path | None, typer.Option(help="and one of YOLO labels of the same names")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Our classes for the truth's, in its order; none: classes are not judged")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON")] = False,
) -> None:
    """Measure misses, noise, confidences, confusion, false boxes, splits and merges of the real detector."""
    try:
        faults = _faults(config, clip=clip, truth=truth, images=images, labels=labels, classes=classes)
    except EdgeSorterError as error:
        sys.stderr.write(f"error: {error}\n")
        raise typer.Exit(error.exit_code) from None
    result = faults.report()
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    width = max(map(len, result))
    for name, value in result.items():
        sys.stdout.write(f"{name:{width}}  {value}\n")


def _faults(
    config: Path,
    *,
    clip: Path | None,
    truth: Path | None,
    images: Path | None,
    labels: Path | None,
    classes: str | None,
) -> Faults:
    if (clip is None) == (images is None) or (clip is None) != (truth is None) or (images is None) != (labels is None):
        raise ConfigError("give either --clip and --truth, or --images and --labels")
    for path in (clip, truth, images, labels):
        if path is not None and not path.exists():
            raise ConfigError(f"{path} does not exist")
    section = load_config(config).detect
    with open_detector(section) as detector:
        ours = _class_ids(classes, detector)
        if clip is not None and truth is not None:
            looks = _clip(clip, truth, ours)
        else:
            assert images is not None and labels is not None
            looks = _pictures(images, labels, ours)
        faults = Faults(threshold=detector.high_confidence, classes=detector.classes, identified=clip is not None)
        for number, look in enumerate(looks):
            faults.see(detector.detect(Frame(number, number, look.image)), look.truth)
    return faults


def _class_ids(classes: str | None, detector: Detector) -> list[int]:
    """Return our class id for each of the truth's."""
    names = [] if classes is None else classes.split(",")
    for name in names:
        if name not in detector.classes:
            raise ConfigError(f"--classes: there is no class {name!r}; the model has {', '.join(detector.classes)}")
    return [detector.classes.index(name) for name in names]


def _clip(clip: Path, truth: Path, ours: list[int]) -> Iterator[Labelled]:
    """Yield the frames of a clip that the truth is about."""
    try:
        rows = np.loadtxt(truth, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ConfigError(f"truth {truth}: not a table of frame,id,x,y,w,h,1,class,visibility ({error})") from None
    if rows.shape[1] < 9:
        raise ConfigError(f"truth {truth}: rows have {rows.shape[1]} columns, not frame,id,x,y,w,h,1,class,visibility")
    with open_source(VideoSection(source=str(clip)), clock=ReplayClock()) as source:
        for item in source:
            if isinstance(item, Frame) and item.index < rows[:, 0].max():
                mine = rows[rows[:, 0] == item.index + 1]
                xyxy = np.concatenate((mine[:, 2:4], mine[:, 2:4] + mine[:, 4:6]), axis=1)
                kinds = [ours[int(k) - 1] if ours else -1 for k in mine[:, 7]]
                yield Labelled(item.image, Truth(xyxy, mine[:, 1].astype(int), np.array(kinds, int), mine[:, 8]))


def _pictures(images: Path, labels: Path, ours: list[int]) -> Iterator[Labelled]:
    """Yield the pictures of a folder with their YOLO labels."""
    found = sorted(path for path in images.iterdir() if path.suffix.lower() in PICTURES)
    if not found:
        raise ConfigError(f"{images} holds no pictures ({', '.join(PICTURES)})")
    for path in found:
        image = cv2.imread(str(path))
        label = labels / f"{path.stem}.txt"
        if image is None:
            raise ConfigError(f"{path} cannot be decoded as a picture")
        rows = (
            np.loadtxt(label, ndmin=2).reshape(-1, 5) if label.is_file() and label.stat().st_size else np.empty((0, 5))
        )
        scale = np.array([image.shape[1], image.shape[0]], float)
        centre, half = rows[:, 1:3] * scale, rows[:, 3:5] * scale / 2.0
        xyxy = np.concatenate((centre - half, centre + half), axis=1)
        inside = (xyxy > 2.0).all(axis=1) & (xyxy[:, 2:] < scale - 2.0).all(axis=1)
        kinds = np.array([ours[int(k)] if ours else -1 for k in rows[:, 0]], int)
        yield Labelled(image, Truth(xyxy, np.arange(len(rows)), kinds, np.where(inside, 1.0, 0.5)))


if __name__ == "__main__":
    app()
