"""Hands of a scenario: an arm that reaches in from a side of the belt, stays for a while and goes back.

Contract: where a hand is, is a function of the scenario and the time alone; the renderer and the truth both take it
from here. It moves as people do (least jerk: speed and acceleration are nothing at both ends), never with the belt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from edge_sorter.sim import footprint, hand_shape
from edge_sorter.sim.camera import PinholeCamera
from edge_sorter.sim.footprint import Outline
from edge_sorter.sim.foreign_skins import GLOVE_COLOURS, SLEEVE_COLOURS
from edge_sorter.sim.shapes import Mesh

FloatArray = NDArray[np.float64]
SHADOW_MM = 250.0
"""A hand so far outside the picture throws no shadow into it that anybody sees."""
ARM_MM = 1500.0
"""What a camera may see of an arm beside the belt: further back there is a person, and nobody is drawn."""
STEP_S = 0.02
"""How closely a hand's way is looked at for what it meets."""


class HandSpec(BaseModel):
    """One hand; it begins to move at ``at_s`` and is out of sight again ``for_s`` later.

    Its fingertips come in at ``at_mm`` along the belt, reach ``reach_mm`` over it from its edge, go to ``to_mm`` while
    they are in, and stay ``height_mm`` above it. ``move_s`` is how long the way in takes, and the way out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    side: Literal["near", "far"] = "near"
    at_s: float = Field(ge=0, le=3600)
    for_s: float = Field(gt=0, le=3600)
    at_mm: float
    to_mm: float | None = None
    reach_mm: float = Field(gt=0, le=900)
    height_mm: float = Field(default=200, ge=0, le=1500)
    move_s: float = Field(default=0.8, ge=0.2, le=10)
    skew_deg: float = Field(default=0, ge=-50, le=50)
    glove: str | None = None
    sleeve: str | None = None


@dataclass(frozen=True)
class PlacedHand:
    """A hand on a certain belt before a certain camera.

    Attributes:
        id: its number in truth and masks.
        spec: what the file says.
        edge_mm: lateral place of the belt's edge it comes over.
        rest_mm: how far outside that edge its fingertips are before and after.
        arm_mm: length of hand and arm together.
        seed: of its sleeve's folds, its colours, and which hand it is.
    """

    id: int
    spec: HandSpec
    edge_mm: float
    rest_mm: float
    arm_mm: float
    seed: tuple[int, ...]

    @property
    def until_s(self) -> float:
        """When it is out of sight again."""
        return self.spec.at_s + self.spec.for_s

    @property
    def yaw_rad(self) -> float:
        """Which way the fingers point, from +x to +y."""
        return float(np.deg2rad((90.0 if self.spec.side == "near" else -90.0) + self.spec.skew_deg))

    def tip_mm(self, time_s: float) -> FloatArray:
        """Where the middle fingertip is, shape (3,), belt world."""
        spec = self.spec
        into = _smooth((time_s - spec.at_s) / spec.move_s)
        out = _smooth((self.until_s - time_s) / spec.move_s)
        over_mm = (self.rest_mm + spec.reach_mm) * min(into, out) - self.rest_mm
        stays_s = spec.for_s - 2.0 * spec.move_s
        along = _smooth((time_s - spec.at_s - spec.move_s) / stays_s) if stays_s > 0 else float(into >= 1.0)
        to_mm = spec.at_mm if spec.to_mm is None else spec.to_mm
        across = self.edge_mm + (over_mm if spec.side == "near" else -over_mm)
        return np.array([spec.at_mm + (to_mm - spec.at_mm) * along, across, spec.height_mm])

    def over_belt_s(self) -> tuple[float, float]:
        """From when until when its fingertips are over the belt."""
        spec = self.spec
        share = _share_of(self.rest_mm / (self.rest_mm + spec.reach_mm))
        return spec.at_s + share * spec.move_s, self.until_s - share * spec.move_s

    def before_s(self, at_mm: float) -> tuple[float, float] | None:
        """From when until when it is in a beam across the belt, or None if it never is."""
        begin, end = self.over_belt_s()
        half = hand_shape.WIDTH_MM / 2.0
        times = np.arange(begin, end, STEP_S / 4)
        within = [float(t) for t in times if abs(self.tip_mm(float(t))[0] - at_mm) < half]
        return (within[0], within[-1]) if within else None

    @cached_property
    def parts(self) -> tuple[Mesh, Mesh]:
        """Glove and sleeve, the fingertip at the origin, pointing along +x; a left hand for every other seed."""
        rng = np.random.default_rng([*self.seed, 11])
        meshes = hand_shape.glove(), hand_shape.sleeve(self.arm_mm, rng)
        return meshes if rng.random() < 0.5 else (_mirrored(meshes[0]), _mirrored(meshes[1]))

    @cached_property
    def vertices_mm(self) -> FloatArray:
        """Vertices of both, turned as it comes in, the fingertip at the origin, shape (n, 3)."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        x, y, z = np.concatenate([part.vertices_mm for part in self.parts]).T
        return np.column_stack([cos * x - sin * y, sin * x + cos * y, z])

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """Which vertices are joined, shape (m, 2)."""
        glove, sleeve = self.parts
        quads = np.concatenate([glove.quads, sleeve.quads + len(glove.vertices_mm)])
        sides = np.concatenate([quads[:, [k, (k + 1) % 4]] for k in range(4)])
        return np.unique(np.sort(sides, axis=1), axis=0)

    def covers_mm(self, time_s: float) -> Outline:
        """What hand and arm are above, shape (4, 2)."""
        behind = np.array([np.cos(self.yaw_rad), np.sin(self.yaw_rad)]) * self.arm_mm / 2.0
        x, y = self.tip_mm(time_s)[:2] - behind
        size = (self.arm_mm, hand_shape.WIDTH_MM)
        return footprint.corners_mm(size, skew_deg=float(np.rad2deg(self.yaw_rad)), at_mm=(float(x), float(y)))


def place(
    specs: Sequence[HandSpec], *, first_id: int, width_mm: float, camera: PinholeCamera, seed: int
) -> tuple[PlacedHand, ...]:
    """Put every hand beside the belt, so far out that the camera sees nothing of it before and after."""
    placed = []
    for index, spec in enumerate(specs):
        edge_mm = 0.0 if spec.side == "near" else width_mm
        hand = PlacedHand(first_id + index, spec, edge_mm, 0.0, spec.reach_mm + 300.0, (seed, index, 89))
        while hand.arm_mm < spec.reach_mm + ARM_MM and _shoulder_seen(hand, camera):
            hand = replace(hand, arm_mm=hand.arm_mm + 50.0)
        while hand.rest_mm < ARM_MM and _seen(hand, camera):
            hand = replace(hand, rest_mm=hand.rest_mm + 50.0)
        placed.append(replace(hand, rest_mm=hand.rest_mm + SHADOW_MM))
    return tuple(placed)


def frames_with(placed: Sequence[PlacedHand], *, fps: float, frames: int) -> list[int]:
    """Frames in which a hand is somewhere: no two of them have the same light."""
    return [n for n in range(frames) if any(hand.spec.at_s <= n / fps <= hand.until_s for hand in placed)]


def key_problems(specs: Sequence[HandSpec], *, duration_s: float) -> list[str]:
    """What single keys get wrong together; empty when nothing is."""
    found = []
    for index, spec in enumerate(specs):
        if spec.for_s < 2.0 * spec.move_s:
            found.append(
                f"hands[{index}].for_s: {spec.for_s:g} s is less than the way in and out, twice move_s {spec.move_s:g}"
            )
        if spec.at_s >= duration_s:
            found.append(f"hands[{index}].at_s: {spec.at_s:g} s is after the clip's end at {duration_s:g} s")
        for key, name, table in (("glove", spec.glove, GLOVE_COLOURS), ("sleeve", spec.sleeve, SLEEVE_COLOURS)):
            if name is not None and name not in table:
                found.append(f"hands[{index}].{key}: there is no {name}; choose one of {', '.join(table)}")
    return found


def place_problems(
    placed: Sequence[PlacedHand],
    things: Sequence[tuple[str, Outline, float]],
    travel_mm: Callable[[float], float],
    *,
    width_mm: float,
) -> list[str]:
    """What is wrong with their places: beyond the belt, through something on it, or too far from the camera's edge.

    Args:
        placed: the hands.
        things: name, footprint before the belt moved, and height of all that lies on it.
        travel_mm: the belt's travel at a time.
        width_mm: the belt's width.
    """
    found = []
    for index, hand in enumerate(placed):
        spec = hand.spec
        if spec.reach_mm > width_mm:
            found.append(f"hands[{index}].reach_mm: {spec.reach_mm:g} mm is beyond a belt of {width_mm:g} mm")
        if hand.arm_mm >= spec.reach_mm + ARM_MM:
            found.append(
                f"hands[{index}].side: the camera sees more than {ARM_MM:g} mm beside the belt, where a person would "
                "stand that nobody draws; choose the other side, or a camera that sees less"
            )
        met = _met(hand, [thing for thing in things if thing[2] > spec.height_mm], travel_mm)
        if met is not None:
            (name, _, height_mm), at_s = met
            found.append(
                f"hands[{index}]: at {at_s:.2f} s it goes through {name}, {height_mm:g} mm high; raise height_mm "
                f"from {spec.height_mm:g}, or move it"
            )
    return found


def _met(
    hand: PlacedHand, things: Sequence[tuple[str, Outline, float]], travel_mm: Callable[[float], float]
) -> tuple[tuple[str, Outline, float], float] | None:
    """The first thing that the hand meets, and when."""
    begin, end = hand.over_belt_s()
    for at_s in np.arange(begin, end, STEP_S).tolist() if things else ():
        below, moved = hand.covers_mm(at_s), np.array([travel_mm(at_s), 0.0])
        for thing in things:
            if footprint.overlap(below, thing[1] + moved):
                return thing, at_s
    return None


def _smooth(share: float) -> float:
    """How much of its way a limb has gone after this share of the time (Flash and Hogan 1985)."""
    u = min(max(share, 0.0), 1.0)
    return u * u * u * (10.0 + u * (6.0 * u - 15.0))


def _share_of(way: float) -> float:
    """After which share of the time a limb has gone this share of its way."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2.0
        low, high = (middle, high) if _smooth(middle) < way else (low, middle)
    return high


def _shoulder_seen(hand: PlacedHand, camera: PinholeCamera) -> bool:
    """Whether the camera sees where the drawn arm ends while it reaches furthest."""
    spec, along = hand.spec, np.array([np.cos(hand.yaw_rad), np.sin(hand.yaw_rad)])
    across = hand.edge_mm + (spec.reach_mm if spec.side == "near" else -spec.reach_mm)
    ends = [np.array([x, across]) - along * hand.arm_mm for x in _entries(spec)]
    rise = hand.arm_mm * np.tan(np.deg2rad(hand_shape.RISE_DEG)) + spec.height_mm
    round_mm = [(dx, dy, dz) for dx in (-90, 90) for dy in (-90, 90) for dz in (-60, 120)]
    return any(_in_picture(np.array([[*end, rise]]) + np.array(round_mm), camera) for end in ends)


def _seen(hand: PlacedHand, camera: PinholeCamera) -> bool:
    """Whether the camera sees anything of the hand before it moves, or after."""
    tips = [np.array([x, hand.tip_mm(0.0)[1], hand.spec.height_mm]) for x in _entries(hand.spec)]
    return any(_in_picture(hand.vertices_mm + tip, camera) for tip in tips)


def _entries(spec: HandSpec) -> tuple[float, ...]:
    return (spec.at_mm,) if spec.to_mm is None else (spec.at_mm, spec.to_mm)


def _in_picture(points_mm: FloatArray, camera: PinholeCamera) -> bool:
    pixels = camera.project(points_mm)
    low, high = np.nanmin(pixels, axis=0), np.nanmax(pixels, axis=0)
    return bool((low < camera.image_px).all() and (high > 0).all())


def _mirrored(mesh: Mesh) -> Mesh:
    """The other hand."""
    return Mesh(mesh.vertices_mm * [1.0, -1.0, 1.0], mesh.quads[:, ::-1], mesh.uv[:, ::-1])
