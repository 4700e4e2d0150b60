"""Key `belt`: calibration, motion, decision line, encoder and photo-eye."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_sorter.config.fraction import FractionPoint
from edge_sorter.yamlfile import Section


class DecisionLineSection(Section):
    """The line at which a parcel is decided: across the belt at `at_mm`, or between two points of the picture."""

    at_mm: float | None = Field(None, description="belt coordinate along travel; needs a calibration")
    points: tuple[FractionPoint, FractionPoint] | None = Field(None, description="two points, fractions of picture")
    anchor: Literal["center", "bottom_center"] = Field("center", description="point of the box that crosses")

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> DecisionLineSection:
        if (self.at_mm is None) == (self.points is None):
            raise ValueError("give either at_mm (calibrated belt) or points (two points of the picture)")
        return self


class EncoderSection(Section):
    """The belt's encoder, by which positions and deadlines count."""

    source: Literal["mqtt"] | Path = Field(
        description="`mqtt`: samples on plc/enc; or the record of a clip, CSV with the header captured_ns,count"
    )
    mm_per_count: float = Field(gt=0, le=100, description="belt travel of one count")
    bits: int = Field(32, ge=8, le=32, description="width of the counter, after which it wraps")


class PhotoEyeSection(Section):
    """The PLC's photo-eye, whose items (plc/item) give parcels the PLC's own index; needs an encoder."""

    at_mm: float = Field(description="belt coordinate of the eye along travel; best a parcel's length before the line")
    tolerance_mm: float = Field(50.0, gt=0, description="how far eye and camera may differ about one parcel")
    eye: str = Field("PE1", min_length=1, description="its name in the messages")
    unexpected: Literal["flag", "exception"] = Field(
        "flag", description="parcel the eye did not see: flag UNEXPECTED only, or exception lane"
    )
    unseen: Literal["count", "exception"] = Field(
        "count", description="item that no camera saw: counted only, or a decision of its own for the exception lane"
    )


class BeltSection(Section):
    """How the picture relates to the belt, and how the belt moves."""

    calibration: Path | None = Field(None, description="camera-to-belt calibration file")
    speed_mm_s: float | None = Field(
        None, gt=0, le=10_000, description="belt speed: constant, or while the encoder is silent; needs a calibration"
    )
    encoder: EncoderSection | None = None
    photo_eye: PhotoEyeSection | None = None
    camera_mm: tuple[float, float, float] | None = Field(
        None, description="the camera's place in belt coordinates: x along travel, y across, height above the belt"
    )
    direction: tuple[float, float] = Field((1.0, 0.0), description="travel in the picture (x right, y down)")
    decision_line: DecisionLineSection

    @model_validator(mode="after")
    def _calibration_is_there(self) -> BeltSection:
        if self.calibration is None and self.decision_line.at_mm is not None:
            raise ValueError("decision_line.at_mm needs belt.calibration; or give decision_line.points")
        if self.calibration is None and self.speed_mm_s is not None:
            raise ValueError("speed_mm_s needs belt.calibration, else millimetres mean nothing in the picture")
        if self.camera_mm is not None and (self.calibration is None or self.camera_mm[2] <= 0.0):
            raise ValueError("camera_mm needs belt.calibration and a height above 0")
        if self.photo_eye is not None and self.encoder is None:
            raise ValueError("photo_eye needs belt.encoder: its items are places by counts")
        if self.calibration is None and self.encoder is not None:
            raise ValueError("encoder needs belt.calibration, else millimetres mean nothing in the picture")
        if self.direction == (0.0, 0.0):
            raise ValueError("direction must not be (0, 0)")
        return self
