"""What accuracy costs: every model at every input size on every engine, measured side by side.

Contract: `measure` opens all of them in one process and times them in turns, one picture each, so that whatever else
the machine does hits all alike: medians are comparable, `ratio` (to the first point) even from one machine state to
another, processor time (`cpu_ms`) wherever nothing else is left to go by. Accuracy is mAP through the same detectors,
with an interval; with a line's clip, what it is worth stands beside it: the decisions. A point that the machine refuses
to run as asked (golden pictures, no engine) is listed with the reason and never measured as something else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_sorter.atomic import write_json
from edge_sorter.clock import processor_ns, stopwatch_ns
from edge_sorter.errors import EngineError, ModelError
from edge_sorter.lifecycle.frontier_decisions import Decided, Line, decide
from edge_sorter.lifecycle.plots import figure, save
from edge_sorter.types import Frame, Image

if TYPE_CHECKING:
    from edge_sorter.detect import Detector

WARM_UP = 5
RESAMPLES = 400


@dataclass(frozen=True)
class Point:
    """One model at one size on one engine.

    Attributes:
        model: Name of its file.
        size_px: Width and height of its input.
        engine: openvino, onnxruntime or tensorrt.
        running: What really ran; empty when refused.
        cpu_ms: Median of the processor time of `detect`, on all threads: other work on the machine hardly shows in it.
        fastest_ms: Fastest of all rounds of the whole `detect`, letterbox to boxes.
        median_ms: Median of them.
        p95_ms: 95 of 100 were faster.
        ratio: Median of the time divided by the first point's in the same round.
        map50: On the labelled pictures.
        map50_95: On the labelled pictures.
        map50_95_interval: Its 95 % interval, over pictures.
        decided: Verdict on a line's clip, where one was given.
        refused: Why it was not measured.
    """

    model: str
    size_px: tuple[int, int]
    engine: str
    running: str = ""
    cpu_ms: float = 0.0
    fastest_ms: float = 0.0
    median_ms: float = 0.0
    p95_ms: float = 0.0
    ratio: float = 0.0
    map50: float = 0.0
    map50_95: float = 0.0
    map50_95_interval: tuple[float, float] | None = None
    decided: Decided | None = None
    refused: str = ""

    @property
    def label(self) -> str:
        """Name it in a table or picture."""
        return f"{Path(self.model).stem} {self.size_px[0]}x{self.size_px[1]} {self.engine}"


@dataclass(frozen=True)
class Truth:
    """Labelled pictures: folders of images and YOLO labels, and how to read their classes."""

    images: Path
    labels: Path
    class_map: dict[int, int] | None = None
    any_class: bool = False


def measure(
    models: Sequence[Path],
    sizes_px: Sequence[tuple[int, int]],
    engines: Sequence[str],
    truth: Truth,
    *,
    line: Line | None = None,
    rounds: int = 60,
    threads: int = 0,
    on_progress: Callable[[str], None] | None = None,
) -> list[Point]:
    """Measure every combination; refused ones come last.

    Raises:
        ModelError: Nothing could be measured, or the labels do not fit.
    """
    from edge_sorter.lifecycle.evaluation.accuracy import accuracy_of

    wanted = [(model, size, engine) for model in models for size in sizes_px for engine in engines]
    points, refused, detectors = [], [], []
    with ExitStack() as stack:
        for model, size_px, engine in wanted:
            point = Point(model.name, size_px, engine)
            try:
                detector = stack.enter_context(_open(model, size_px, engine, threads))
            except EngineError as error:
                refused.append(replace(point, refused=str(error)))
                continue
            points.append(replace(point, running=detector.description))
            detectors.append(detector)
        if not points:
            raise ModelError(f"Nothing could be measured: {refused[0].refused}")
        if on_progress:
            on_progress(f"timing {len(points)} combinations in turns, {rounds} rounds")
        spent_ms, cpu_ms = _time(detectors, _picture(truth), rounds)
        for index, detector in enumerate(detectors):
            score = accuracy_of(
                detector,
                truth.images,
                truth.labels,
                class_map=truth.class_map,
                any_class=truth.any_class,
                resamples=RESAMPLES,
            )
            column = spent_ms[:, index]
            points[index] = replace(
                points[index],
                cpu_ms=round(float(np.median(cpu_ms[:, index])), 3),
                fastest_ms=round(float(column.min()), 3),
                median_ms=round(float(np.median(column)), 3),
                p95_ms=round(float(np.quantile(column, 0.95)), 3),
                ratio=round(float(np.median(column / spent_ms[:, 0])), 3),
                map50=round(score.map50, 4),
                map50_95=round(score.map50_95, 4),
                map50_95_interval=score.map50_95_interval,
            )
            if on_progress:
                on_progress(f"{points[index].label}: mAP50-95 {score.map50_95:.3f}")
    if line is not None:
        points = [_decided(point, line, models, on_progress) for point in points]
    return [*points, *refused]


def best(points: Sequence[Point]) -> list[Point]:
    """Return those that no other beats in both accuracy and time, the fastest first."""
    measured = sorted(
        (point for point in points if not point.refused), key=lambda point: (point.cpu_ms, -point.map50_95)
    )
    found: list[Point] = []
    for point in measured:
        if not found or point.map50_95 > found[-1].map50_95:
            found.append(point)
    return found


def write_report(points: Sequence[Point], folder: Path, *, about: dict[str, Any]) -> list[Path]:
    """Write `frontier.json`, and `frontier.png` where matplotlib is installed."""
    path = folder / "frontier.json"
    leading = {point.label for point in best(points)}
    rows = [{**asdict(point), "frontier": point.label in leading} for point in points]
    write_json(path, {**about, "points": rows})
    drawing = figure(width_px=1000, height_px=650)
    if drawing is None:
        return [path]
    axes = drawing.add_subplot()
    measured = [point for point in points if not point.refused]
    for model in dict.fromkeys(point.model for point in measured):
        own = [point for point in measured if point.model == model]
        times, heights = [point.cpu_ms for point in own], [point.map50_95 for point in own]
        spread = [point.map50_95_interval or (point.map50_95, point.map50_95) for point in own]
        reach = np.abs(np.array(spread) - np.array(heights)[:, None]).T
        axes.errorbar(times, heights, yerr=reach, fmt="o", capsize=2, elinewidth=0.6, label=model)
    for point in measured:
        axes.annotate(
            f"{point.size_px[0]}x{point.size_px[1]} {point.engine}",
            (point.cpu_ms, point.map50_95),
            xytext=(4, 4),
            textcoords="offset points",
            fontsize=7,
        )
    edge = best(points)
    axes.plot([point.cpu_ms for point in edge], [point.map50_95 for point in edge], color="#888888", linewidth=1)
    axes.set_xlabel("processor time of detect, letterbox to boxes, ms (median)")
    axes.set_ylabel("mAP50-95, with its 95 % interval")
    axes.legend()
    return [path, save(drawing, folder / "frontier.png")]


def _decided(point: Point, line: Line, models: Sequence[Path], on_progress: Callable[[str], None] | None) -> Point:
    model = next(path for path in models if path.name == point.model)
    decided = decide(line, model, point.size_px, point.engine)
    if on_progress:
        on_progress(f"{point.label}: {decided.lane_right} of {decided.lanes_judged} lanes right")
    return replace(point, decided=decided)


def _open(model: Path, size_px: tuple[int, int], engine: str, threads: int) -> Detector:
    from edge_sorter.config import DetectSection
    from edge_sorter.detect import open_detector
    from edge_sorter.lifecycle.evaluation.labelled import FLOOR_CONFIDENCE

    section = DetectSection.model_validate(
        {"model": model, "engine": engine, "threads": threads, "input_px": size_px, "low_confidence": FLOOR_CONFIDENCE}
    )
    detector = open_detector(section)
    refused = detector.acceptance.refused if detector.acceptance is not None else ()
    if refused:  # something else would be measured in its place
        detector.close()
        raise EngineError(refused[0])
    return detector


def _time(detectors: Sequence[Detector], picture: Image, rounds: int) -> Any:
    """Return milliseconds (rounds, detectors) on the clock, and of processor time."""
    frame = Frame(0, 0, picture)
    spent_ms = np.zeros((2, WARM_UP + rounds, len(detectors)))
    for turn in range(WARM_UP + rounds):
        for index, detector in enumerate(detectors):
            began = np.array((stopwatch_ns(), processor_ns()))
            detector.detect(frame)
            spent_ms[:, turn, index] = (np.array((stopwatch_ns(), processor_ns())) - began) / 1e6
    return spent_ms[:, WARM_UP:]


def _picture(truth: Truth) -> Image:
    from edge_sorter.lifecycle.evaluation.labelled import read_set

    for _, picture in read_set(truth.images, truth.labels, class_map=truth.class_map):
        return picture
    raise ModelError(f"No picture in {truth.images}.")
