"""Foreign objects of a scenario: what lies on the belt, travels with it and is no parcel.

Contract: `place` puts them where the file says, numbered on from the parcels; `problems` says what is wrong with them.
Nobody expects a decision of them: they are listed beside the parcels, never among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_sorter.sim import footprint, foreign_shapes
from edge_sorter.sim.footprint import Outline
from edge_sorter.sim.foreign_skins import COLOURS
from edge_sorter.sim.profile import SpeedProfile
from edge_sorter.sim.shapes import Mesh

Kind = Literal["bottle", "glove", "paper", "strap", "tape_roll"]
SIZES_MM: dict[str, tuple[float, float, float]] = {
    "bottle": (226.0, 66.0, 66.0),
    "glove": (240.0, 140.0, 34.0),
    "paper": (210.0, 148.0, 26.0),
    "strap": (420.0, 190.0, 34.0),
    "tape_roll": (118.0, 118.0, 48.0),
}
"""Length, width and height of each kind where the file says nothing."""
WEIGHTS_KG = {"bottle": 0.52, "glove": 0.06, "paper": 0.01, "strap": 0.05, "tape_roll": 0.25}
"""Chosen, not measured: what a scale under the belt would say."""
CLEAR_MM = 15.0
"""Belt that stays clear between a foreign object and a parcel: with less no photo-eye could part them."""


class ForeignSpec(BaseModel):
    """One foreign object; its centre is at ``start_mm`` at time zero, or crosses the decision line at ``crosses_s``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind
    lateral_mm: float
    start_mm: float | None = None
    crosses_s: float | None = Field(default=None, ge=0, le=3600)
    skew_deg: float = Field(default=0, ge=-180, le=180)
    length_mm: float | None = Field(default=None, gt=20, le=1000)
    width_mm: float | None = Field(default=None, gt=20, le=1000)
    height_mm: float | None = Field(default=None, gt=2, le=500)
    colour: str | None = None

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Length, width and height; what the file leaves out is its kind's."""
        length, width, height = SIZES_MM[self.kind]
        return self.length_mm or length, self.width_mm or width, self.height_mm or height


@dataclass(frozen=True)
class PlacedForeign:
    """A foreign object with its exact place: its centre is at ``start_mm`` when the belt has not moved yet."""

    id: int
    spec: ForeignSpec
    start_mm: float
    seed: tuple[int, ...]

    def footprint_mm(self) -> Outline:
        """Corners of its footprint before the belt moved, shape (4, 2), belt millimetres."""
        spec = self.spec
        return footprint.corners_mm(spec.size_mm[:2], skew_deg=spec.skew_deg, at_mm=(self.start_mm, spec.lateral_mm))

    @cached_property
    def mesh(self) -> Mesh:
        """Its shape, standing on z = 0 around the origin."""
        return foreign_shapes.mesh_of(self.spec.kind, self.spec.size_mm, np.random.default_rng([*self.seed, 11]))

    @cached_property
    def vertices_mm(self) -> NDArray[np.float64]:
        """Its mesh's vertices in the belt world at time zero, shape (n, 3)."""
        angle = np.deg2rad(self.spec.skew_deg)
        x, y, z = self.mesh.vertices_mm.T
        along = np.cos(angle) * x - np.sin(angle) * y + self.start_mm
        return np.column_stack([along, np.sin(angle) * x + np.cos(angle) * y + self.spec.lateral_mm, z])


def place(
    specs: Sequence[ForeignSpec], *, first_id: int, line_mm: float, motion: SpeedProfile, seed: int
) -> tuple[PlacedForeign, ...]:
    """Place every foreign object, in the order of the file."""
    return tuple(
        PlacedForeign(
            first_id + index,
            spec,
            line_mm - motion.travel_mm(spec.crosses_s or 0.0) if spec.start_mm is None else spec.start_mm,
            (seed, index, 83),
        )
        for index, spec in enumerate(specs)
    )


def key_problems(specs: Sequence[ForeignSpec]) -> list[str]:
    """What single keys get wrong together; empty when nothing is."""
    found = []
    for index, spec in enumerate(specs):
        if (spec.start_mm is None) == (spec.crosses_s is None):
            found.append(f"foreign[{index}]: give exactly one of start_mm and crosses_s")
        if spec.colour is not None and spec.colour not in COLOURS[spec.kind]:
            known = ", ".join(COLOURS[spec.kind])
            found.append(f"foreign[{index}].colour: no {spec.kind} is {spec.colour}; choose one of {known}")
    return found


def place_problems(placed: Sequence[PlacedForeign], parcels: Sequence[Outline], *, width_mm: float) -> list[str]:
    """What is wrong with their places on a belt of this width beside parcels of these footprints."""
    found = []
    for index, thing in enumerate(placed):
        own = thing.footprint_mm()
        along, across = own.T
        if across.min() < 0 or across.max() > width_mm:
            found.append(
                f"foreign[{index}]: lies from {across.min():.0f} to {across.max():.0f} mm across a belt of "
                f"{width_mm:.0f} mm; change lateral_mm or skew_deg"
            )
        found += [
            f"foreign[{index}]: less than {CLEAR_MM:g} mm of clear belt along travel to parcels[{number}], "
            "no photo-eye could part them; move it"
            for number, other in enumerate(parcels)
            if along.min() - CLEAR_MM < other[:, 0].max() and other[:, 0].min() < along.max() + CLEAR_MM
        ]
        found += [
            f"foreign[{index}] overlaps foreign[{other.id - placed[0].id}]; move it"
            for other in placed[:index]
            if footprint.overlap(own, other.footprint_mm())
        ]
    return found
