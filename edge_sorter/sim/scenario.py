"""A scenario file describes one simulated clip: camera, belt and every parcel on it.

Contract: ``load`` reads and checks the file (all mistakes at once, a ``ConfigError``), ``expand`` turns it into parcels
with exact belt positions; the same file and seed give the same parcels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import cos, radians, sin, tan
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sorter.errors import ConfigError
from edge_sorter.sim.camera import PinholeCamera

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")
Kind = Literal["carton", "polybag", "mailer", "tube", "sack"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VideoSpec(_Section):
    """Picture size, rate and length of the clip."""

    width_px: int = Field(ge=64, le=4096, multiple_of=2)
    height_px: int = Field(ge=36, le=4096, multiple_of=2)
    fps: float = Field(gt=0, le=240)
    duration_s: float = Field(gt=0, le=3600)

    @property
    def frames(self) -> int:
        """Number of frames in the clip."""
        return round(self.duration_s * self.fps)


class CameraSpec(_Section):
    """Where the camera hangs, in belt-world millimetres, and how wide it sees."""

    position_mm: tuple[float, float, float]
    look_at_mm: tuple[float, float, float]
    horizontal_fov_deg: float = Field(gt=1, lt=170)


class BeltSpec(_Section):
    """The belt: its width, constant speed, what it looks like and where parcels are decided."""

    width_mm: float = Field(gt=50, le=5000)
    speed_mm_s: float = Field(gt=0, le=10_000)
    decision_line_mm: float
    material: Literal["black", "dark_grey", "green", "white", "beige"] = "dark_grey"
    seam_pitch_mm: float = Field(default=2300, gt=100)


class ParcelSpec(_Section):
    """One parcel; it lies ``gap_mm`` behind the one before it, or at ``start_mm`` (its centre at time zero)."""

    kind: Kind
    length_mm: float = Field(gt=20, le=2000)
    width_mm: float = Field(gt=20, le=2000)
    height_mm: float = Field(gt=2, le=1500)
    lateral_mm: float
    skew_deg: float = Field(default=0, ge=-90, le=90)
    gap_mm: float | None = Field(default=None, ge=0)
    start_mm: float | None = None
    label_code: str | None = None
    labelled: bool = True
    damaged: bool = False
    colour: str | None = None


class Scenario(_Section):
    """A whole scenario file."""

    schema_name: Literal["edge_sorter.scenario/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    seed: int = Field(ge=0)
    video: VideoSpec
    camera: CameraSpec
    belt: BeltSpec
    parcels: tuple[ParcelSpec, ...]

    def pinhole(self) -> PinholeCamera:
        """The camera that truth and renderer share."""
        focal_px = self.video.width_px / 2 / tan(radians(self.camera.horizontal_fov_deg) / 2)
        return PinholeCamera(
            self.camera.position_mm,
            self.camera.look_at_mm,
            focal_px,
            (self.video.width_px, self.video.height_px),
        )


@dataclass(frozen=True)
class PlacedParcel:
    """A parcel with its exact place: the footprint's centre is at ``start_mm`` at time zero."""

    id: int
    spec: ParcelSpec
    start_mm: float
    label_code: str | None
    seed: tuple[int, int]

    def centre_mm(self, time_s: float, speed_mm_s: float) -> float:
        """Where the footprint's centre is along the belt at a time."""
        return self.start_mm + speed_mm_s * time_s

    def footprint_mm(self) -> NDArray[np.float64]:
        """Corners of the footprint at time zero, shape (4, 2), belt millimetres."""
        half = np.array([self.spec.length_mm, self.spec.width_mm]) / 2
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        angle = radians(self.spec.skew_deg)
        turn = np.array([[cos(angle), sin(angle)], [-sin(angle), cos(angle)]])
        placed: NDArray[np.float64] = corners @ turn + [self.start_mm, self.spec.lateral_mm]
        return placed


def load(path: Path) -> Scenario:
    """Read and check a scenario file.

    Raises:
        ConfigError: the file is missing, is no YAML, or breaks a rule; all broken rules are listed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the scenario ({error.strerror}). Check the path.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: a scenario is a mapping with the keys {', '.join(_top_keys())}.")
    try:
        scenario = Scenario.model_validate(raw)
    except ValidationError as error:
        problems = tuple(_plain(item["loc"], item["msg"], item["type"]) for item in error.errors())
        raise ConfigError(f"{path}: the scenario has mistakes:", problems=problems) from error
    problems = tuple(_placement_problems(scenario))
    if problems:
        raise ConfigError(f"{path}: the scenario has mistakes:", problems=problems)
    return scenario


def _top_keys() -> list[str]:
    return [field.alias or name for name, field in Scenario.model_fields.items()]


def _plain(location: tuple[int | str, ...], message: str, kind: str) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".")
    return (
        f"{where}: unknown key, remove it or check its spelling" if kind == "extra_forbidden" else f"{where}: {message}"
    )


def expand(scenario: Scenario) -> tuple[PlacedParcel, ...]:
    """Place every parcel on the belt, in the order of the file, numbered from 1."""
    placed: list[PlacedParcel] = []
    rear_mm = scenario.belt.decision_line_mm
    for number, spec in enumerate(scenario.parcels, start=1):
        reach = _reach_mm(spec)
        start = spec.start_mm if spec.start_mm is not None else rear_mm - (spec.gap_mm or 0.0) - reach
        code = (spec.label_code or _made_up_code(scenario.seed, number)) if spec.labelled else None
        placed.append(PlacedParcel(number, spec, start, code, (scenario.seed, number)))
        rear_mm = start - reach
    return tuple(placed)


def _reach_mm(spec: ParcelSpec) -> float:
    """Half of a parcel's extent along the belt."""
    angle = radians(spec.skew_deg)
    return (abs(cos(angle)) * spec.length_mm + abs(sin(angle)) * spec.width_mm) / 2


def _made_up_code(seed: int, number: int) -> str:
    digits = np.random.default_rng([seed, number, 77]).integers(0, 10, size=12)
    return "JD" + "".join(str(digit) for digit in digits)


def _placement_problems(scenario: Scenario) -> list[str]:
    problems = [] if scenario.parcels else ["parcels: a scenario needs at least one parcel"]
    for index, spec in enumerate(scenario.parcels):
        if (spec.gap_mm is None) == (spec.start_mm is None):
            problems.append(f"parcels[{index}]: give exactly one of gap_mm and start_mm")
        if not spec.labelled and spec.label_code is not None:
            problems.append(f"parcels[{index}]: has a label_code but labelled is false")
    if problems:
        return problems
    placed = expand(scenario)
    for parcel in placed:
        lateral = parcel.footprint_mm()[:, 1]
        if lateral.min() < 0 or lateral.max() > scenario.belt.width_mm:
            problems.append(
                f"parcels[{parcel.id - 1}]: lies from {lateral.min():.0f} to {lateral.max():.0f} mm across a belt of "
                f"{scenario.belt.width_mm:.0f} mm; change lateral_mm or skew_deg"
            )
    codes = [parcel.label_code for parcel in placed if parcel.label_code]
    problems.extend(f"label_code {code} is used twice" for code in sorted({c for c in codes if codes.count(c) > 1}))
    ordered = sorted(placed, key=lambda parcel: -parcel.start_mm)
    for ahead, behind in combinations(ordered, 2):
        if _overlap(ahead.footprint_mm(), behind.footprint_mm()):
            problems.append(
                f"parcels[{behind.id - 1}] overlaps parcels[{ahead.id - 1}]; enlarge gap_mm or move start_mm"
            )
    return problems


def _overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> bool:
    """Whether two convex footprints share area (separating axis theorem)."""
    for corners in (first, second):
        for edge in np.roll(corners, -1, axis=0) - corners:
            normal = np.array([-edge[1], edge[0]])
            one, two = first @ normal, second @ normal
            if one.max() <= two.min() or two.max() <= one.min():
                return False
    return True
