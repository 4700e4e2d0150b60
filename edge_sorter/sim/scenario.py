"""A scenario file describes one simulated clip: camera, belt and every parcel on it.

Contract: ``load`` reads and checks the file (all mistakes at once, a ``ConfigError``), ``expand`` turns it into parcels
with exact belt positions; the same file and seed give the same parcels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import radians, tan
from pathlib import Path
from typing import Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edge_sorter.errors import ConfigError
from edge_sorter.sim import footprint, foreign, hands, video_spec
from edge_sorter.sim import profile as profiles
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.foreign import ForeignSpec, PlacedForeign
from edge_sorter.sim.hands import HandSpec, PlacedHand
from edge_sorter.sim.profile import SpeedProfile
from edge_sorter.sim.video_spec import VideoSpec
from edge_sorter.sim.weight import weight_kg

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")
"""What the shipped model tells apart."""
OTHER_KINDS = ("tote", "irregular")
"""What travels on a line besides, and the model has no class for."""
KINDS = (*CLASSES, *OTHER_KINDS)
Kind = Literal["carton", "polybag", "mailer", "tube", "sack", "tote", "irregular"]
TOUCHING_MM = 15.0
"""Parcels with less clear belt between them touch: no photo-eye and no diverter can part them."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSpec(_Section):
    """Where the camera hangs, in belt-world millimetres, and how wide it sees."""

    position_mm: tuple[float, float, float]
    look_at_mm: tuple[float, float, float]
    horizontal_fov_deg: float = Field(gt=1, lt=170)


class EncoderSpec(_Section):
    """The encoder on the belt, recorded beside the clip: a 32-bit counter that wraps."""

    mm_per_count: float = Field(gt=0, le=100)
    first_count: int = Field(default=0, ge=0, lt=2**32)
    period_ms: float = Field(default=10, ge=1, le=1000)


class BeltSpec(_Section):
    """The belt: its width, motion, what it looks like and where parcels are decided.

    It moves either with `speed_mm_s` all the time or along `profile`: [time_s, speed_mm_s] with straight ramps between.
    """

    width_mm: float = Field(gt=50, le=5000)
    speed_mm_s: float | None = Field(default=None, gt=0, le=10_000)
    profile: tuple[tuple[float, float], ...] | None = None
    decision_line_mm: float
    material: Literal["black", "dark_grey", "green", "white", "beige"] = "dark_grey"
    seam_pitch_mm: float = Field(default=2300, gt=100)
    encoder: EncoderSpec | None = None

    @property
    def motion(self) -> SpeedProfile:
        """How the belt moves."""
        return SpeedProfile(self.profile) if self.profile else SpeedProfile.constant(self.speed_mm_s or 0.0)


class ParcelSpec(_Section):
    """One parcel.

    It lies ``gap_mm`` behind the one before it, or at ``start_mm`` (its centre at time zero), or ``beside`` the one
    before it: level with its leading edge, or that many millimetres behind it.
    """

    kind: Kind
    length_mm: float = Field(gt=20, le=2000)
    width_mm: float = Field(gt=20, le=2000)
    height_mm: float = Field(gt=2, le=1500)
    lateral_mm: float
    skew_deg: float = Field(default=0, ge=-90, le=90)
    gap_mm: float | None = Field(default=None, ge=0)
    start_mm: float | None = None
    beside_mm: float | None = Field(default=None, ge=0)
    label_code: str | None = None
    labelled: bool = True
    damaged: bool = False
    colour: str | None = None
    weight_kg: float | None = Field(default=None, gt=0, le=1000)


class Scenario(_Section):
    """A whole scenario file."""

    schema_name: Literal["edge_sorter.scenario/1"] = Field(alias="schema")
    name: str = Field(pattern=r"^[a-z0-9_-]+$")
    seed: int = Field(ge=0)
    video: VideoSpec
    camera: CameraSpec
    belt: BeltSpec
    parcels: tuple[ParcelSpec, ...]
    foreign: tuple[ForeignSpec, ...] = ()
    hands: tuple[HandSpec, ...] = ()

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
    """A parcel with its exact place: the footprint's centre is at ``start_mm`` when the belt has not moved yet."""

    id: int
    spec: ParcelSpec
    start_mm: float
    label_code: str | None
    weight_kg: float
    seed: tuple[int, int]

    def footprint_mm(self) -> NDArray[np.float64]:
        """Corners of the footprint before the belt moved, shape (4, 2), belt millimetres."""
        spec = self.spec
        size = (spec.length_mm, spec.width_mm)
        return footprint.corners_mm(size, skew_deg=spec.skew_deg, at_mm=(self.start_mm, spec.lateral_mm))


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
    rear_mm = front_mm = scenario.belt.decision_line_mm
    for number, spec in enumerate(scenario.parcels, start=1):
        reach = _reach_mm(spec)
        if spec.start_mm is not None:
            start = spec.start_mm
        elif spec.beside_mm is not None:
            start = front_mm - spec.beside_mm - reach
        else:
            start = rear_mm - (spec.gap_mm or 0.0) - reach
        code = (spec.label_code or _made_up_code(scenario.seed, number)) if spec.labelled else None
        placed.append(PlacedParcel(number, spec, start, code, _weight_kg(scenario, number), (scenario.seed, number)))
        rear_mm = min(rear_mm, start - reach) if spec.beside_mm is not None else start - reach
        front_mm = start + reach
    return tuple(placed)


def expand_foreign(scenario: Scenario) -> tuple[PlacedForeign, ...]:
    """Place every foreign object; their numbers go on after the parcels'."""
    belt, first_id = scenario.belt, len(scenario.parcels) + 1
    return foreign.place(
        scenario.foreign, first_id=first_id, line_mm=belt.decision_line_mm, motion=belt.motion, seed=scenario.seed
    )


def expand_hands(scenario: Scenario) -> tuple[PlacedHand, ...]:
    """Put every hand beside the belt; their numbers go on after the foreign objects'."""
    first_id = len(scenario.parcels) + len(scenario.foreign) + 1
    width_mm, camera = scenario.belt.width_mm, scenario.pinhole()
    return hands.place(scenario.hands, first_id=first_id, width_mm=width_mm, camera=camera, seed=scenario.seed)


def groups(placed: tuple[PlacedParcel, ...]) -> dict[int, tuple[str, tuple[int, ...]]]:
    """Which parcels no photo-eye can part: parcel id to SIDE_BY_SIDE or DOUBLE and all ids of its group.

    A group shows as one stretch of covered belt: neighbours along travel less than ``TOUCHING_MM`` apart. Two that
    share a stretch without sharing a place across the belt lie side by side; else one touches the other.
    """
    found: dict[int, tuple[str, tuple[int, ...]]] = {}
    run: list[PlacedParcel] = []
    for parcel in [*sorted(placed, key=lambda p: -_ends_mm(p)[1]), None]:
        if parcel and run and _ends_mm(parcel)[1] > min(_ends_mm(p)[0] for p in run) - TOUCHING_MM:
            run.append(parcel)
            continue
        if len(run) > 1:
            beside = any(_ends_mm(b)[1] - _ends_mm(a)[0] > TOUCHING_MM for a, b in combinations(run, 2))
            members = tuple(sorted(p.id for p in run))
            found |= {p.id: ("SIDE_BY_SIDE" if beside else "DOUBLE", members) for p in run}
        run = [parcel] if parcel else []
    return found


def _ends_mm(parcel: PlacedParcel) -> tuple[float, float]:
    """Trailing and leading end along the belt, before it moved."""
    reach = _reach_mm(parcel.spec)
    return parcel.start_mm - reach, parcel.start_mm + reach


def _reach_mm(spec: ParcelSpec) -> float:
    """Half of a parcel's extent along the belt."""
    return footprint.reach_mm((spec.length_mm, spec.width_mm), spec.skew_deg)


def _made_up_code(seed: int, number: int) -> str:
    """A carrier's own number, or for every third parcel an SSCC as GS1 writes it."""
    digits = "".join(str(d) for d in np.random.default_rng([seed, number, 77]).integers(0, 10, size=16))
    return f"(00){with_check_digit('3' + digits)}" if number % 3 == 0 else "JD" + digits[:12]


def _weight_kg(scenario: Scenario, number: int) -> float:
    """What the file says, or drawn for this parcel alone: no weight changes another."""
    spec = scenario.parcels[number - 1]
    share = float(np.random.default_rng([scenario.seed, number, 79]).random())
    drawn = weight_kg(spec.kind, (spec.length_mm, spec.width_mm, spec.height_mm), share)
    return drawn if spec.weight_kg is None else spec.weight_kg


def with_check_digit(digits: str) -> str:
    """Complete a GS1 key by its check digit (General Specifications 7.9: weights 3 and 1 from the right)."""
    weighted = sum(int(digit) * (1 if place % 2 else 3) for place, digit in enumerate(reversed(digits)))
    return f"{digits}{-weighted % 10}"


def _placement_problems(scenario: Scenario) -> list[str]:
    problems = video_spec.problems(scenario.video)
    if not scenario.parcels:
        problems.append("parcels: a scenario needs at least one parcel")
    if (scenario.belt.speed_mm_s is None) == (scenario.belt.profile is None):
        problems.append("belt: give exactly one of speed_mm_s and profile")
    elif scenario.belt.profile is not None:
        problems += profiles.problems(scenario.belt.profile)
    for index, spec in enumerate(scenario.parcels):
        if [spec.gap_mm, spec.start_mm, spec.beside_mm].count(None) != 2:
            problems.append(f"parcels[{index}]: give exactly one of gap_mm, start_mm and beside_mm")
        elif index == 0 and spec.beside_mm is not None:
            problems.append("parcels[0]: beside_mm needs a parcel before it")
        if not spec.labelled and spec.label_code is not None:
            problems.append(f"parcels[{index}]: has a label_code but labelled is false")
    problems += foreign.key_problems(scenario.foreign)
    problems += hands.key_problems(scenario.hands, duration_s=scenario.video.duration_s)
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
        if footprint.overlap(ahead.footprint_mm(), behind.footprint_mm()):
            problems.append(
                f"parcels[{behind.id - 1}] overlaps parcels[{ahead.id - 1}]; enlarge gap_mm or move start_mm"
            )
    return problems or _others_problems(scenario, placed)


def _others_problems(scenario: Scenario, parcels: tuple[PlacedParcel, ...]) -> list[str]:
    """What is wrong with foreign objects and hands where the parcels are right."""
    things, width_mm = expand_foreign(scenario), scenario.belt.width_mm
    problems = foreign.place_problems(things, [parcel.footprint_mm() for parcel in parcels], width_mm=width_mm)
    lying = [(f"parcels[{p.id - 1}]", p.footprint_mm(), p.spec.height_mm) for p in parcels]
    lying += [(f"foreign[{i}]", t.footprint_mm(), t.spec.size_mm[2]) for i, t in enumerate(things)]
    travel_mm = scenario.belt.motion.travel_mm
    return problems + hands.place_problems(expand_hands(scenario), lying, travel_mm, width_mm=width_mm)
