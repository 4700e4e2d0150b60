"""Key `detect`: the model, its engine, the part of the picture it sees, and how another takes over."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from edge_sorter.config.fraction import Fraction, FractionPoint
from edge_sorter.yamlfile import Section


class SwapSection(Section):
    """How another model takes over while the line runs (`reload`, or the command `model`)."""

    wait_s: float = Field(
        10.0, ge=0, description="wait so long for a moment without undecided parcels; then it takes over between them"
    )
    probation_s: float = Field(60.0, ge=0, description="the new model is watched for at least so long, and")
    probation_parcels: int = Field(20, ge=0, description="until it has decided so many parcels")
    most_different: Fraction = Field(
        0.1, description="share of boxes missed, invented or of another class, against the old model, that is too much"
    )


class DetectSection(Section):
    """Which model looks at the picture, where, and with which engine."""

    model: Path = Field(description="ONNX model; its manifest <same name>.json lies beside it")
    engine: Literal["auto", "openvino", "onnxruntime", "tensorrt"] = Field(
        "auto", description="auto: TensorRT where there is a GPU, else OpenVINO, else ONNX Runtime"
    )
    threads: int = Field(0, ge=0, description="CPU threads of the engine; 0 lets it choose")
    input_px: tuple[int, int] | None = Field(None, description="network width and height; default: the manifest's")
    confidence: Fraction | None = Field(None, description="detections above this start tracks; default: manifest")
    classes: tuple[str, ...] = Field(
        (),
        description="classes that occur on this line; what looks like another gets the likeliest of these; empty: all",
    )
    low_confidence: Fraction = Field(0.1, description="detections above this may continue a track")
    crop: tuple[Fraction, Fraction, Fraction, Fraction] = Field(
        (0.0, 0.0, 1.0, 1.0), description="x1, y1, x2, y2 of the belt region, as fractions of the picture"
    )
    mask: tuple[FractionPoint, ...] = Field((), description="polygon; a box whose centre is outside is ignored")
    iou: Fraction = Field(0.6, description="non-maximum suppression threshold, for models that need it")
    swap: SwapSection = SwapSection()

    @field_validator("crop")
    @classmethod
    def _crop_has_area(cls, crop: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        if crop[2] <= crop[0] or crop[3] <= crop[1]:
            raise ValueError("crop must be x1, y1, x2, y2 with x1 < x2 and y1 < y2")
        return crop

    @field_validator("mask")
    @classmethod
    def _mask_is_a_polygon(cls, mask: tuple[FractionPoint, ...]) -> tuple[FractionPoint, ...]:
        if mask and len(mask) < 3:
            raise ValueError("a mask polygon needs at least three points")
        return mask

    @field_validator("input_px")
    @classmethod
    def _input_fits_stride(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size and any(side < 32 or side % 32 for side in size):
            raise ValueError("width and height must be multiples of 32")
        return size
