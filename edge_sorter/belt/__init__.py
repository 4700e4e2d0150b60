"""Camera and belt: where a pixel is on the belt, how far the belt has moved, and when something crossed a line.

Contract: pixels and belt millimetres convert both ways through one calibration, belt travel is a function of time
that says None rather than guess, and a swept crossing never misses an object that jumps over the line.

Belt coordinates are millimetres on the belt surface: x along travel (growing downstream), y across it. An object of
height h seen from camera height H appears H / (H - h) further from the camera's foot point than it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_sorter.belt.line import Crossing, DecisionLine, unit_vector
from edge_sorter.belt.mapping import BeltMap, Calibration, Point, load_calibration
from edge_sorter.belt.motion import BeltMotion, EncoderMotion, SteadyMotion
from edge_sorter.belt.recorded import RecordedEncoder
from edge_sorter.belt.stop_watch import StopWatch
from edge_sorter.belt.watch import EncoderWatch
from edge_sorter.config import BeltSection
from edge_sorter.errors import ConfigError

__all__ = [
    "Belt",
    "BeltMap",
    "BeltMotion",
    "Calibration",
    "Crossing",
    "DecisionLine",
    "EncoderMotion",
    "EncoderWatch",
    "RecordedEncoder",
    "SteadyMotion",
    "StopWatch",
    "load_calibration",
    "open_belt",
    "watch_encoder",
]


@dataclass(frozen=True, slots=True)
class Belt:
    """Everything known about one belt: its map (if calibrated), motion, decision line, and travel in the picture.

    Attributes:
        direction: Unit vector of travel in the picture (x right, y down), at the decision line.
        camera_mm: The camera's place in belt coordinates and its height above the belt, where that is known.
    """

    map: BeltMap | None
    motion: BeltMotion
    line: DecisionLine
    direction: Point
    camera_mm: tuple[float, float, float] | None = None


def open_belt(section: BeltSection, *, image_size_px: tuple[int, int]) -> Belt:
    """Build the belt a configuration describes, for pictures of this size.

    Raises:
        ConfigError: The calibration or the decision line is wrong, or `direction` contradicts the calibration.
    """
    belt_map = None
    if section.calibration is not None:
        calibration = load_calibration(section.calibration)
        try:
            belt_map = BeltMap(calibration, image_size_px=image_size_px)
        except ConfigError as error:
            raise ConfigError(f"calibration {section.calibration}: {error}") from None
    line = DecisionLine(
        section.decision_line, belt_map=belt_map, image_size_px=image_size_px, direction=section.direction
    )
    travel = section.direction
    if belt_map is not None:
        (ax, ay), (bx, by) = line.ends_px
        x_mm, y_mm = belt_map.point_mm(((ax + bx) / 2.0, (ay + by) / 2.0))
        before, after = belt_map.point_px((x_mm - 10.0, y_mm)), belt_map.point_px((x_mm + 10.0, y_mm))
        travel = after[0] - before[0], after[1] - before[1]
        against = travel[0] * section.direction[0] + travel[1] * section.direction[1] < 0.0
        if against and "direction" in section.model_fields_set:
            raise ConfigError(
                f"belt.direction {section.direction} is against the calibration {section.calibration}, in which x "
                "grows the other way: turn belt_points_mm round, or leave direction out"
            )
    return Belt(belt_map, _motion(section), line, unit_vector(travel), section.camera_mm)


def watch_encoder(belt: Belt, section: BeltSection, *, image_size_px: tuple[int, int]) -> EncoderWatch | None:
    """Return who compares the belt's encoder with the picture, or None where there is no encoder."""
    if section.encoder is None or belt.map is None or not isinstance(belt.motion, EncoderMotion):
        return None
    foot_x_mm = None if belt.camera_mm is None else belt.camera_mm[0]
    return EncoderWatch(belt.motion, belt.map, image_size_px, foot_x_mm, section.encoder.mm_per_count)


def _motion(section: BeltSection) -> BeltMotion:
    encoder = section.encoder
    if encoder is None:
        return SteadyMotion(section.speed_mm_s)
    return EncoderMotion(mm_per_count=encoder.mm_per_count, bits=encoder.bits, fallback_mm_s=section.speed_mm_s)
