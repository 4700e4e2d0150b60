"""When the inference engine fails while running: the next one takes over, and the PLC learns what it can still hold.

Contract: a frame that an engine failed on is looked at again by the next one, so no parcel loses its track; the order
is TensorRT, OpenVINO, ONNX Runtime, and there is no way back before a restart, so nothing flaps. When none is left
the error goes on, the process ends, and systemd starts afresh.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from statistics import median

import numpy as np

from edge_sorter.belt import Belt
from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import EngineError
from edge_sorter.types import Frame

log = logging.getLogger(__name__)

ORDER = {"TensorRT": "tensorrt", "OpenVINO": "openvino", "ONNX Runtime": "onnxruntime"}
"""Engine by the name it gives itself, in the order they are tried."""
LOOKS = 5
"""So often a parcel must be seen in view before it is decided."""
TRIALS = 5
STEP_MM, FARTHEST_MM = 10, 20_000

Open = Callable[[DetectSection], Detector]


class Standby:
    """Opens the next engine when one fails.

    Args:
        section: What the detector was opened with.
        belt: Where parcels are seen, for the speed that can still be held.
        size_px: Width and height of the pictures.
        fps: Nominal rate of the camera, or None.
        adopt: Given the new detector and a sentence about it, as soon as it works.
        open_with: Opens a detector.

    Attributes:
        section: The same; whoever changes the model changes it.
    """

    def __init__(
        self,
        section: DetectSection,
        *,
        belt: Belt,
        size_px: tuple[int, int],
        fps: float | None,
        adopt: Callable[[Detector, str], None],
        open_with: Open = open_detector,
    ) -> None:
        self.section = section
        self._belt, self._size_px, self._fps = belt, size_px, fps
        self._adopt, self._open = adopt, open_with

    def __call__(self, failed: Detector, error: EngineError) -> Detector:
        """Return a detector that works.

        Raises:
            EngineError: The error itself, when no engine is left.
        """
        log.error("inference failed on %s: %s", failed.description, error)
        with suppress(Exception):  # a broken driver may not even let go of its memory
            failed.close()
        for other in _after(failed):
            try:
                detector = self._open(self.section.model_copy(update={"engine": other}))
            except EngineError as refusal:
                log.warning("engine %s cannot take over: %s", other, refusal)
                continue
            sentence = self._sentence(detector)
            log.error("%s; restart when it is mended", sentence)
            self._adopt(detector, sentence)
            return detector
        raise error

    def _sentence(self, detector: Detector) -> str:
        spent_s = median(self._time_one(detector) for _ in range(TRIALS))
        fps = min(1 / spent_s, self._fps or 1e9)
        engine = detector.description.split(" on ", 1)[-1].split(",", 1)[0]
        speed_mm_s = holdable_mm_s(self._belt, self._size_px, fps=fps)
        holds = f"{fps:.0f} frames/s" + (f", belt up to {speed_mm_s:.0f} mm/s" if speed_mm_s else "")
        return f"ENGINE_FALLBACK to {engine}: {holds}"

    def _time_one(self, detector: Detector) -> float:
        width, height = self._size_px
        grey = np.full((height, width, 3), 114, np.uint8)
        began_ns = stopwatch_ns()
        detector.detect(Frame(0, 0, grey))
        return max(stopwatch_ns() - began_ns, 1) / 1e9


def _after(failed: Detector) -> tuple[str, ...]:
    kinds = tuple(ORDER.values())
    own = next((place for place, name in enumerate(ORDER) if f" on {name}" in failed.description), len(kinds))
    return kinds[own + 1 :]


def holdable_mm_s(belt: Belt, size_px: tuple[int, int], *, fps: float) -> float | None:
    """Return the belt speed at which a parcel is still seen `LOOKS` times between coming into view and being decided.

    None without a calibration, where millimetres mean nothing.
    """
    view_mm = view_before_line_mm(belt, size_px)
    return None if view_mm is None else view_mm * fps / LOOKS


def view_before_line_mm(belt: Belt, size_px: tuple[int, int]) -> float | None:
    """Return how much of the belt the camera sees upstream of the middle of the decision line."""
    if belt.map is None:
        return None
    (ax, ay), (bx, by) = belt.line.ends_px
    x_mm, y_mm = belt.map.point_mm(((ax + bx) / 2, (ay + by) / 2))
    for seen_mm in range(0, FARTHEST_MM, STEP_MM):
        x_px, y_px = belt.map.point_px((x_mm - seen_mm - STEP_MM, y_mm))
        if not (0 <= x_px < size_px[0] and 0 <= y_px < size_px[1]):
            return float(seen_mm)
    return float(FARTHEST_MM)
