"""One model on one engine: letterbox, infer, decode.

Contract: `Detector.detect` returns every box with at least `low_confidence`, in pixels of the full picture, best first,
with its centre inside the mask.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import DetectSection, FractionPoint
from edge_sorter.detect import decode
from edge_sorter.detect.engines import Engine, Tensor
from edge_sorter.detect.letterbox import PAD_VALUE, Letterbox
from edge_sorter.detect.manifest import Manifest
from edge_sorter.errors import ConfigError, EngineError, ModelError
from edge_sorter.types import Detections, FloatArray, Frame, IntArray

if TYPE_CHECKING:
    from edge_sorter.detect.opening import Acceptance

Decode = Callable[[dict[str, Tensor]], decode.Boxes]


class Detector:
    """One model on one engine; runs once when made, so that a mismatch shows at the start and not at a parcel.

    Attributes:
        manifest: What the model is.
        classes: Its class names; `Detections.class_id` counts in them.
        high_confidence: Detections above this may start a track.
        input_size_px: Width and height the network runs at.
        acceptance: How it came to go live; None unless made by `open_detector`.
        stage_ns: Duration of the stages "preprocess", "infer" and "decode" in the latest call.
    """

    acceptance: Acceptance | None = None

    def __init__(
        self, section: DetectSection, *, manifest: Manifest, engine: Engine, input_size_px: tuple[int, int]
    ) -> None:
        self.manifest = manifest
        self.classes = manifest.classes
        self.high_confidence = manifest.confidence if section.confidence is None else section.confidence
        self.input_size_px = input_size_px
        self.stage_ns = {"preprocess": 0, "infer": 0, "decode": 0}
        if section.low_confidence > self.high_confidence:
            raise ConfigError(
                f"detect.low_confidence {section.low_confidence:g} is above the confidence {self.high_confidence:g} "
                f"({'manifest' if section.confidence is None else 'detect.confidence'}); lower it"
            )
        self._section = section
        self._engine = engine
        self._letterbox: Letterbox | None = None
        self._decode = _decoder(section, manifest, input_size_px)
        self._check()

    @property
    def description(self) -> str:
        """Model, engine, arithmetic and device, for humans."""
        engine, (width, height) = self._engine, self.input_size_px
        return (
            f"{self.manifest.name} {self.manifest.version} ({width}x{height}, {self.manifest.precision}) "
            f"on {engine.name}, {engine.precision}, {engine.device}"
        )

    def detect(self, frame: Frame) -> Detections:
        """Find what is in a frame.

        Raises:
            EngineError: The engine failed, or returned numbers that cannot be boxes.
        """
        started = stopwatch_ns()
        letterbox = self._letterbox_for(frame)
        tensor = letterbox(frame.image)
        prepared = stopwatch_ns()
        outputs = self._engine.infer(tensor)
        inferred = stopwatch_ns()
        boxes = self._decode(outputs)
        xyxy = letterbox.to_image(boxes.xyxy)
        keep = (xyxy[:, 0] < xyxy[:, 2]) & (xyxy[:, 1] < xyxy[:, 3])
        if self._section.mask:
            keep &= _inside(xyxy, self._section.mask, letterbox.image_size_px)
        corners = None if boxes.corners is None else letterbox.corners_to_image(boxes.corners)[keep]
        detections = Detections(frame.captured_ns, xyxy[keep], boxes.confidence[keep], boxes.class_id[keep], corners)
        decoded = stopwatch_ns()
        self.stage_ns = {"preprocess": prepared - started, "infer": inferred - prepared, "decode": decoded - inferred}
        return detections

    def _letterbox_for(self, frame: Frame) -> Letterbox:
        size_px = (frame.image.shape[1], frame.image.shape[0])
        if self._letterbox is None or self._letterbox.image_size_px != size_px:
            self._letterbox = self._make_letterbox(size_px, crop=self._section.crop)
        return self._letterbox

    def _make_letterbox(self, size_px: tuple[int, int], *, crop: tuple[float, float, float, float]) -> Letterbox:
        return Letterbox(
            image_size_px=size_px,
            crop=crop,
            input_size_px=self.input_size_px,
            layout=self._engine.layout,
            scale=self.manifest.input.scale,
        )

    def _check(self) -> None:
        """Run a grey picture through everything: checks names, shapes and values, and warms the engine up."""
        width, height = self.input_size_px
        grey = np.full((height, width, 3), PAD_VALUE, np.uint8)
        tensor = self._make_letterbox(self.input_size_px, crop=(0.0, 0.0, 1.0, 1.0))(grey)
        try:
            self._decode(self._engine.infer(tensor))
        except EngineError as error:
            raise EngineError(f"model {self._section.model} does not work with its manifest: {error}") from error

    def close(self) -> None:
        """Give the engine back."""
        self._engine.close()

    def __enter__(self) -> Detector:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def input_size_px(section: DetectSection, manifest: Manifest) -> tuple[int, int]:
    """Return the width and height the network runs at.

    Raises:
        ModelError: The configuration asks for a size the model cannot run at.
    """
    own = (manifest.input.width_px, manifest.input.height_px)
    wanted = section.input_px or own
    if wanted == own:
        return own
    if not manifest.input.dynamic:
        raise ModelError(
            f"model {section.model} runs only at {own[0]}x{own[1]}; remove detect.input_px {list(wanted)}, "
            "or export the model with a dynamic input"
        )
    if any(side % manifest.input.stride_px for side in wanted):
        raise ModelError(
            f"detect.input_px {list(wanted)} must be multiples of {manifest.input.stride_px} for this model"
        )
    return wanted


def allowed_classes(section: DetectSection, manifest: Manifest) -> IntArray | None:
    """Return the ids of the classes that occur on the line, ascending; None for all of the model's.

    Raises:
        ConfigError: `detect.classes` names a class that the model does not know, or the model gives no scores to choose
            from.
    """
    if not section.classes:
        return None
    for name in section.classes:
        if name not in manifest.classes:
            raise ConfigError(f"detect.classes: the model has no class {name!r}; it has {', '.join(manifest.classes)}")
    if manifest.outputs.scores is None:
        raise ConfigError(
            f"detect.classes: {section.model} has no output of scores to choose from; export its checkpoint again with "
            "`edge-sorter export`, or remove detect.classes"
        )
    return np.array(sorted({manifest.classes.index(name) for name in section.classes}), np.int64)


def _decoder(section: DetectSection, manifest: Manifest, input_size_px: tuple[int, int]) -> Decode:
    """Choose the decoder and bind what it needs; the grid is laid out once for this input size."""
    threshold, classes, outputs = section.low_confidence, len(manifest.classes), manifest.outputs
    allowed = allowed_classes(section, manifest)
    single = _output(outputs.output)
    if manifest.decode == "yolo11":
        return lambda tensors: decode.yolo11(single(tensors), classes=classes, threshold=threshold, iou=section.iou)
    if manifest.decode == "yolo26_e2e":
        return lambda tensors: decode.yolo26_e2e(single(tensors), classes=classes, threshold=threshold)
    boxes, scores, grid = _output(outputs.boxes), _scores(outputs.scores, allowed), decode.Grid.of(input_size_px)
    if manifest.decode == "yolo11_ltrb":
        return lambda tensors: decode.yolo11_ltrb(
            boxes(tensors), scores(tensors), classes=classes, grid=grid, threshold=threshold, iou=section.iou
        )
    if manifest.decode == "yolo26_obb":
        angles = _output(outputs.angles)
        return lambda tensors: decode.yolo26_obb(
            boxes(tensors), scores(tensors), angles(tensors), classes=classes, grid=grid, threshold=threshold
        )
    return lambda tensors: decode.yolo26_ltrb(
        boxes(tensors), scores(tensors), classes=classes, grid=grid, threshold=threshold
    )


def _output(name: str | None) -> Callable[[dict[str, Tensor]], Tensor]:
    def pick(tensors: dict[str, Tensor]) -> Tensor:
        if name not in tensors:
            raise EngineError(f"the engine returned {sorted(tensors)}, not {name!r}")
        return tensors[name]

    return pick


def _scores(name: str | None, allowed: IntArray | None) -> Callable[[dict[str, Tensor]], Tensor]:
    pick = _output(name)
    return pick if allowed is None else lambda tensors: decode.among(pick(tensors), allowed)


def _inside(xyxy: FloatArray, mask: tuple[FractionPoint, ...], image_size_px: tuple[int, int]) -> NDArray[np.bool_]:
    """Tell which boxes (n, 4) have their centre in the polygon.

    Even-odd rule: a point is inside if a ray from it crosses an odd number of edges.
    """
    corners = np.array(mask, np.float64) * image_size_px
    (x1, y1), (x2, y2) = corners.T[:, None], np.roll(corners, -1, axis=0).T[:, None]
    x, y = ((xyxy[:, :2] + xyxy[:, 2:]) / 2).astype(np.float64).T[:, :, None]
    straddles = (y1 > y) != (y2 > y)
    height = np.where(y1 == y2, 1.0, y2 - y1)
    crosses = straddles & (x < (y - y1) / height * (x2 - x1) + x1)
    return np.asarray(crosses.sum(axis=1) % 2 == 1)
