"""Setting up a camera over its belt: four points, a decision line, a region, a speed, as a checked configuration.

Contract: `save` either leaves a configuration that `edge-sorter check` accepts, with the old one beside it, or leaves
everything as it was and says why. The page and the command line both end here.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Annotated, Any

from pydantic import Field
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from edge_sorter.atomic import write_text
from edge_sorter.belt import BeltMap, Calibration, open_belt
from edge_sorter.check import check_installation
from edge_sorter.config import Config, Fraction, load_config
from edge_sorter.errors import ConfigError
from edge_sorter.types import Box
from edge_sorter.yamlfile import Section

Place = tuple[int, Box]
"""When and where a track was seen: captured_ns, xyxy."""

FEWEST_PLACES = 5
SHORTEST_WAY_MM = 150.0
STRETCH_NS = 200_000_000
FEWEST_STRETCHES = 3
EDGE = 0.01
"""A box nearer to the picture's edge than this share of it may be cut off."""
COMMENT = "four points clicked on the camera's picture, and where they lie on the belt"


class Proposal(Section):
    """What a person wants the line to believe from now on.

    Attributes:
        calibration: Four points of the picture and of the belt.
        line_mm: Decision line, belt coordinate along travel.
        speed_mm_s: Belt speed, or None to leave what the configuration says.
        crop: Region of the picture to look at, as fractions, or None to leave it.
    """

    calibration: Calibration
    line_mm: float
    speed_mm_s: Annotated[float, Field(gt=0, le=10_000)] | None = None
    crop: tuple[Fraction, Fraction, Fraction, Fraction] | None = None

    def belt_map(self) -> BeltMap:
        """Return the map from picture to belt."""
        return BeltMap(self.calibration, image_size_px=self.calibration.image_size_px)


@dataclass(frozen=True, slots=True)
class SpeedEstimate:
    """Belt speed as the tracks show it.

    Attributes:
        mm_s: Median over tracks; negative means that they move against the belt coordinate x.
        spread_mm_s: Median distance of the tracks from it.
        tracks: How many tracks it is built on.
    """

    mm_s: float
    spread_mm_s: float
    tracks: int


@dataclass(frozen=True, slots=True)
class Saved:
    """What was written.

    Attributes:
        config: The configuration, now in force at the next start.
        backup: The configuration as it was.
        calibration: The new calibration file; the old one is untouched.
        facts: What the check of the new configuration found, by part.
    """

    config: Path
    backup: Path
    calibration: Path
    facts: dict[str, str]


def speed_of(tracks: Iterable[Sequence[Place]], belt_map: BeltMap, *, size_px: tuple[int, int]) -> SpeedEstimate | None:
    """Estimate the belt's speed from tracks that were seen whole for long and far enough; None when there is none.

    A box that is cut off by the picture's edge has its centre somewhere else, so it does not count. What is followed is
    the top of a parcel, which is nearer to the camera than the belt: speed comes out too high by H / (H - h) for a
    parcel of height h under a camera at height H. Flat parcels tell it best.
    """
    speeds: list[float] = []
    for seen in tracks:
        places = [place for place in seen if _whole(place[1], size_px)]
        if len(places) >= FEWEST_PLACES and (speed := _speed_of_one(places, belt_map)) is not None:
            speeds.append(speed)
    if not speeds:
        return None
    middle = median(speeds)
    return SpeedEstimate(
        round(middle, 1), round(median(abs(speed - middle) for speed in speeds), 1), tracks=len(speeds)
    )


def _speed_of_one(places: Sequence[Place], belt_map: BeltMap) -> float | None:
    """Return the median speed of the stretches in which a parcel moved; those in which the belt stood do not count."""
    x_mm = belt_map.centre_mm([box for _, box in places])[:, 0].tolist()
    if abs(x_mm[-1] - x_mm[0]) < SHORTEST_WAY_MM:
        return None
    speeds: list[float] = []
    start = 0
    for end, (at_ns, _) in enumerate(places):
        while start + 1 < end and at_ns - places[start + 1][0] >= STRETCH_NS:
            start += 1
        spent_ns = at_ns - places[start][0]
        if spent_ns >= STRETCH_NS:
            speeds.append((x_mm[end] - x_mm[start]) / spent_ns * 1e9)
    if len(speeds) < FEWEST_STRETCHES:
        return None
    fastest = sorted(map(abs, speeds))[int(0.9 * len(speeds))]
    return median(speed for speed in speeds if abs(speed) >= fastest / 2)


def _whole(box: Box, size_px: tuple[int, int]) -> bool:
    margin_x, margin_y = EDGE * size_px[0], EDGE * size_px[1]
    x1, y1, x2, y2 = box
    return x1 > margin_x and y1 > margin_y and x2 < size_px[0] - margin_x and y2 < size_px[1] - margin_y


def check_proposal(proposal: Proposal, config: Config) -> None:
    """Try a proposal on the belt geometry alone.

    Raises:
        ConfigError: The points are no map of the belt, or the decision line is not in the picture.
    """
    size_px = proposal.calibration.image_size_px
    belt_map = proposal.belt_map()
    crop = proposal.crop or config.detect.crop
    if crop[2] <= crop[0] or crop[3] <= crop[1]:
        raise ConfigError("the region must be x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    x_px, y_px = belt_map.point_px((proposal.line_mm, belt_map.middle_y_mm))
    if not (crop[0] * size_px[0] < x_px < crop[2] * size_px[0] and crop[1] * size_px[1] < y_px < crop[3] * size_px[1]):
        raise ConfigError(
            f"the decision line at {proposal.line_mm:g} mm is not in the part of the picture that is looked at; "
            "no parcel would be seen crossing it"
        )


def save(path: Path, proposal: Proposal, *, now: datetime) -> Saved:
    """Write a proposal into a configuration, if the result is sound.

    Args:
        path: The configuration to change; its comments and everything not concerned stay.
        proposal: What to write.
        now: Names the backup.

    Raises:
        ConfigError: The result would not pass `edge-sorter check`, or a file cannot be written; nothing has changed.
    """
    config = load_config(path)
    check_proposal(proposal, config)
    text = _calibration_text(proposal.calibration)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    calibration = path.with_name(f"{path.stem}.camera-{digest}.yaml")
    backup = path.with_name(f"{path.name}.{now:%Y%m%dT%H%M%SZ}.bak")
    candidate = path.with_name(f".{path.stem}.candidate.yaml")
    is_new = not calibration.exists()
    try:
        write_text(calibration, text)
        write_text(candidate, _changed(path, proposal, calibration.name))
        facts = _checked(candidate, proposal)
        write_text(backup, path.read_text(encoding="utf-8"))
        candidate.replace(path)
    except BaseException as error:
        if is_new:
            calibration.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ConfigError(f"configuration {path} cannot be changed: {error.strerror}; nothing was") from None
        raise
    finally:
        candidate.unlink(missing_ok=True)
    return Saved(path, backup, calibration, facts | {"configuration": str(path)})


def proposal_of(config: Config, *, size_px: tuple[int, int], calibration: Calibration | None) -> dict[str, Any]:
    """Return what is in force as the start of a new proposal; without a calibration, a rectangle to drag."""
    width, height = size_px
    if calibration is None:
        across, along = (0.25 * height, 0.75 * height), (0.25 * width, 0.75 * width)
        points_px = [(along[0], across[0]), (along[1], across[0]), (along[1], across[1]), (along[0], across[1])]
        points_mm = [(0.0, 500.0), (1000.0, 500.0), (1000.0, 0.0), (0.0, 0.0)]
    else:
        scale = (width / calibration.image_size_px[0], height / calibration.image_size_px[1])
        points_px = [(x * scale[0], y * scale[1]) for x, y in calibration.image_points_px]
        points_mm = list(calibration.belt_points_mm)
    line_mm = config.belt.decision_line.at_mm
    if line_mm is None:
        line_mm = round(sum(x for x, _ in points_mm) / 4, 1)
    return {
        "calibration": {
            "image_size_px": size_px,
            "image_points_px": [(round(x, 1), round(y, 1)) for x, y in points_px],
            "belt_points_mm": points_mm,
        },
        "line_mm": line_mm,
        "speed_mm_s": config.belt.speed_mm_s,
        "crop": config.detect.crop,
    }


def _checked(candidate: Path, proposal: Proposal) -> dict[str, str]:
    findings = check_installation(candidate)
    if findings.errors:
        raise ConfigError(
            "the new configuration would not be accepted; nothing was changed",
            problems=tuple(str(error) for error in findings.errors),
        )
    open_belt(load_config(candidate).belt, image_size_px=proposal.calibration.image_size_px)
    return findings.facts


def _calibration_text(calibration: Calibration) -> str:
    def points(values: Iterable[tuple[float, float]]) -> str:
        return "[" + ", ".join(f"[{x:g}, {y:g}]" for x, y in values) + "]"

    width, height = calibration.image_size_px
    rounded_px = [(round(x, 2), round(y, 2)) for x, y in calibration.image_points_px]
    return (
        f"image_size_px: [{width}, {height}]\n"
        f"image_points_px: {points(rounded_px)}\n"
        f"belt_points_mm: {points(calibration.belt_points_mm)}\n"
        f"note: {calibration.note.strip() or COMMENT}\n"
    )


def _changed(path: Path, proposal: Proposal, calibration: str) -> str:
    """Return the configuration's text with the proposal in it, comments and order kept."""
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    try:
        data = yaml.load(path.read_text(encoding="utf-8"))
    except YAMLError as error:
        raise ConfigError(f"configuration {path} cannot be changed: {error}") from None
    belt = data["belt"]
    belt["calibration"] = calibration
    belt.pop("direction", None)  # the calibration says it from now on
    line = belt["decision_line"]
    line.pop("points", None)
    line["at_mm"] = round(proposal.line_mm, 1)
    if proposal.speed_mm_s is not None:
        belt["speed_mm_s"] = round(proposal.speed_mm_s, 1)
    if proposal.crop is not None and (proposal.crop != (0.0, 0.0, 1.0, 1.0) or "crop" in data["detect"]):
        data["detect"]["crop"] = [round(v, 4) for v in proposal.crop]
    text = io.StringIO()
    yaml.dump(data, text)
    return text.getvalue()
