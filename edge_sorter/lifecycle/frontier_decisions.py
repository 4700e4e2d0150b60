"""What a model's accuracy is worth on a line: the same clip decided with every model and input size.

Contract: nothing of the replay is done anew: it is `edge-sorter replay` with another `detect.model` and `input_px`,
held against the clip's truth by the same verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_sorter.config import DetectSection, load_config
from edge_sorter.detect.manifest import load_manifest
from edge_sorter.errors import EngineError
from edge_sorter.replay import ReplayOptions, replay_clip


@dataclass(frozen=True)
class Line:
    """A clip with the line it is a clip of, and what really crossed."""

    clip: Path
    config: Path
    truth: Path


@dataclass(frozen=True)
class Decided:
    """A verdict in short.

    Attributes:
        parcels, decided, missed, extra: How many crossed, got a decision, got none, and decisions without a parcel.
        lane_right, lanes_judged: Right lanes, where the truth has classes.
        lane_right_95: 95 % Wilson interval of their share.
        crossing_error_ms: Median error of when parcels cross the line; at 1 m/s as many millimetres.
        size_error_mm: Median errors of length along travel and width across it, of parcels that lie alone.
    """

    parcels: int
    decided: int
    missed: int
    extra: int
    lane_right: int
    lanes_judged: int
    lane_right_95: tuple[float, float]
    crossing_error_ms: float | None
    size_error_mm: tuple[float, float] | None


def decide(line: Line, model: Path, size_px: tuple[int, int], engine: str) -> Decided:
    """Replay a line's clip with a model at an input size.

    Raises:
        EngineError: This machine would run another model in its place.
        EdgeSorterError: As `edge-sorter replay`.
    """
    config = load_config(line.config)
    changes = {"model": model.resolve(), "input_px": size_px, "engine": engine}
    detect = DetectSection.model_validate({**config.detect.model_dump(), **changes})
    options = ReplayOptions(out_dir=None, truth=line.truth, video=False)
    config = config.model_copy(update={"detect": detect})
    report = replay_clip(config, line.clip, config_name=str(line.config), options=options).report
    if not report["detector"].startswith(f"{load_manifest(model).name} "):
        raise EngineError(f"{model} was refused on this machine; {report['detector']} would run in its place")
    verdict = report["truth"]
    return Decided(
        **{name: verdict[name] for name in ("parcels", "decided", "missed", "extra", "lane_right", "lanes_judged")},
        lane_right_95=tuple(verdict["lane_right_95"]),
        crossing_error_ms=verdict["crossing_error_ms_median"],
        size_error_mm=verdict["size_error_mm_median"],
    )
