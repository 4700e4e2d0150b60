"""The values that walk through the product: Frame, Detections, Track, Parcel, SortDecision, Step.

They are frozen, their arrays are checked once and set read-only, and nothing here imports another of our modules, so
a stage can be understood, tested and replayed from its input and output values alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
Image = NDArray[np.uint8]

Box = tuple[float, float, float, float]
"""One axis-aligned box, xyxy in image pixels."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and when it was taken.

    Attributes:
        index: Number of the frame in its source, from 0; gaps are dropped frames.
        captured_ns: Exposure time on the source's own clock (monotonic for cameras, presentation time for files).
        image: uint8 of shape (height_px, width_px, 3), BGR.
    """

    index: int
    captured_ns: int
    image: Image

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(f"image must be uint8 (h, w, 3), got {self.image.dtype} {self.image.shape}")


@dataclass(frozen=True, slots=True)
class Blind:
    """No usable picture at this time: sources and health checks yield this instead of a made-up frame.

    Attributes:
        at_ns: When this was noticed, on the axis of `captured_ns`.
        reason: "CAM_LOST" (silent), "CAM_FROZEN", "CAM_DARK" or "CAM_STALE" (frames arrive, but old ones).
    """

    at_ns: int
    reason: str


@dataclass(frozen=True, slots=True)
class Detections:
    """What the detector saw in one frame, as columns of equal length n.

    Attributes:
        captured_ns: Copied from the frame.
        xyxy: float32 (n, 4), image pixels.
        confidence: float32 (n,), 0..1.
        class_id: int64 (n,), index into the model's class list.
        corners: float32 (n, 4, 2), image pixels, in order around each box, from models of oriented boxes, whose `xyxy`
            is the hull; else None. For who measures models: no decision reads it, and no journal keeps it.
    """

    captured_ns: int
    xyxy: FloatArray
    confidence: FloatArray
    class_id: IntArray
    corners: FloatArray | None = None

    def __post_init__(self) -> None:
        xyxy = np.array(self.xyxy, dtype=np.float32).reshape(-1, 4)
        confidence = np.array(self.confidence, dtype=np.float32).reshape(-1)
        class_id = np.array(self.class_id, dtype=np.int64).reshape(-1)
        if not len(xyxy) == len(confidence) == len(class_id):
            raise ValueError(
                f"columns differ in length: xyxy {len(xyxy)}, confidence {len(confidence)}, class_id {len(class_id)}"
            )
        if not np.isfinite(xyxy).all() or not np.isfinite(confidence).all():
            raise ValueError("boxes and confidences must be finite")
        for name, column in (("xyxy", xyxy), ("confidence", confidence), ("class_id", class_id)):
            column.setflags(write=False)
            object.__setattr__(self, name, column)
        if self.corners is not None:
            corners = np.array(self.corners, dtype=np.float32).reshape(len(xyxy), 4, 2)
            corners.setflags(write=False)
            object.__setattr__(self, "corners", corners)

    def __len__(self) -> int:
        return len(self.xyxy)

    def where(self, mask: NDArray[np.bool_] | IntArray) -> Detections:
        """Return the rows picked by a boolean mask (n,) or an index array."""
        corners = None if self.corners is None else self.corners[mask]
        return Detections(self.captured_ns, self.xyxy[mask], self.confidence[mask], self.class_id[mask], corners)

    @staticmethod
    def empty(captured_ns: int) -> Detections:
        """Return detections of a frame in which nothing was found."""
        return Detections(captured_ns, np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64))


class TrackState(str, Enum):
    """Life of a track: TENTATIVE until confirmed, LOST while unseen (still predicted), ENDED once and last."""

    TENTATIVE = "TENTATIVE"
    CONFIRMED = "CONFIRMED"
    LOST = "LOST"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Track:
    """One physical object followed over time, as known at `captured_ns`.

    Attributes:
        track_id: Unique within one tracker, from 1, never reused.
        state: Life state.
        captured_ns: Time this state describes.
        xyxy: Estimated box in image pixels at `captured_ns`: filtered when `measured`, else predicted.
        velocity_px_s: Estimated centre velocity (x, y).
        measured: Whether a detection was matched in this very frame.
        confidence: Confidence of the latest matched detection.
        class_id: Class of the latest matched detection.
        hits: Number of detections matched so far.
        first_seen_ns, last_seen_ns: Times of the first and the latest matched detection.
        in_view_at_start: Seen in the first frame the tracker ever got (its past is unknown).
        seen_xyxy: Box of the latest matched detection as it was measured; what is measured on a parcel (its size, its
            ends, whether it is cut off) is better off without the memory of a filter. None: not told, take `xyxy`.
    """

    track_id: int
    state: TrackState
    captured_ns: int
    xyxy: Box
    velocity_px_s: tuple[float, float]
    measured: bool
    confidence: float
    class_id: int
    hits: int
    first_seen_ns: int
    last_seen_ns: int
    in_view_at_start: bool = False
    seen_xyxy: Box | None = None

    @property
    def looked_xyxy(self) -> Box:
        """The box as it was last measured, or where that was not told, the estimated one."""
        return self.xyxy if self.seen_xyxy is None else self.seen_xyxy


@dataclass(frozen=True, slots=True)
class CodeRead:
    """One barcode seen on one track in one frame; evidence, not yet believed."""

    track_id: int
    symbology: str
    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """One barcode read from a parcel: symbology, text, and how many frames agreed on it."""

    symbology: str
    text: str
    frames: int = 1


PARCEL_FLAGS = {
    "CHECK_FAIL": "a code was read whose check digit is wrong, and none that is right",
    "CODE_CONFLICT": "two different codes of one symbology",
    "DAMAGED": "crushed or torn",
    "DG": "dangerous goods: a label was seen, in however few pictures, or somebody says so",
    "NON_CONVEYABLE": "rolls or hangs over",
    "NO_PICTURE": "no picture came in time to show it at the line: the belt's motion says that it crossed",
    "OPEN": "flaps or bag open",
    "OVERSIZE": "longer or wider than the line takes",
    "OVER_HEIGHT": "higher than the line takes",
    "TOUCHES_EDGE": "the newest look cut it off at the edge of the view",
    "UNEXPECTED": "the PLC's photo-eye did not see it",
    "WET": "wet or leaking",
}
"""Every flag a parcel may carry and what it means; sort plans are checked against it."""

CONDITIONS = ("DAMAGED", "DG", "NON_CONVEYABLE", "OPEN", "OVERSIZE", "OVER_HEIGHT", "WET")
"""Flags about the parcel itself: a class of the model stands for one, or a scanner or the host says so."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A track with everything known about the parcel it follows.

    Attributes:
        track: The track at this time.
        class_name: Class with the most evidence so far.
        class_confidence: Share of that class in all evidence, 0..1.
        size_mm: Length along travel and width across it, or None without calibration or before it was fully in view.
        codes: Codes accepted so far.
        flags: Conditions out of `PARCEL_FLAGS`; sorted, for stable output.
        height_mm, weight_g: From a dimensioner or scale, or None.
    """

    track: Track
    class_name: str
    class_confidence: float
    size_mm: tuple[float, float] | None = None
    codes: tuple[Code, ...] = ()
    flags: tuple[str, ...] = ()
    height_mm: float | None = None
    weight_g: float | None = None


class Action(str, Enum):
    """What the PLC is asked to do with a parcel."""

    DIVERT = "DIVERT"
    PASS = "PASS"
    RECIRC = "RECIRC"
    EXCEPTION = "EXCEPTION"
    CANCEL = "CANCEL"


class Reason(str, Enum):
    """Why a decision is what it is."""

    PLAN_MATCH = "PLAN_MATCH"
    ALT_LANE_FULL = "ALT_LANE_FULL"
    OVERFLOW = "OVERFLOW"
    DEFAULT = "DEFAULT"
    LOW_CONF = "LOW_CONF"
    NO_READ = "NO_READ"
    MULTI_LABEL_CONFLICT = "MULTI_LABEL_CONFLICT"
    CHECK_FAIL = "CHECK_FAIL"
    NO_DATA = "NO_DATA"
    UNKNOWN_DEST = "UNKNOWN_DEST"
    DG = "DG"
    DAMAGED = "DAMAGED"
    NON_CONVEYABLE = "NON_CONVEYABLE"
    OVERSIZE = "OVERSIZE"
    DOUBLE = "DOUBLE"
    SIDE_BY_SIDE = "SIDE_BY_SIDE"
    GAP_VIOLATION = "GAP_VIOLATION"
    TRACK_LOST = "TRACK_LOST"
    UNEXPECTED = "UNEXPECTED"
    RECIRC_LIMIT = "RECIRC_LIMIT"
    CUTOFF_PASSED = "CUTOFF_PASSED"
    STOP_FLUSH = "STOP_FLUSH"
    MISMATCH_FLUSH = "MISMATCH_FLUSH"
    RESTART_FLUSH = "RESTART_FLUSH"
    LATE = "LATE"
    DEGRADED_MODE = "DEGRADED_MODE"
    MANUAL = "MANUAL"


@dataclass(frozen=True, slots=True)
class BeltPosition:
    """Where a parcel was on the belt when it crossed the decision line.

    Attributes:
        ref: "ENC1" (encoder), "SPEED" (belt speed times time) or "TIME" (no belt motion known).
        lead_mm, trail_mm: Belt travel (mm since start) at which the parcel's leading and trailing edge are at the
            decision line; None when the belt is not calibrated.
        lateral_mm: Offset of the centre across the belt from its middle line; None when not calibrated.
        center_px: Interpolated centre in the image at the crossing.
        lead_count, trail_count: The encoder's counts at that travel, wrapped as the encoder wraps; None without one.
    """

    ref: str
    lead_mm: float | None
    trail_mm: float | None
    lateral_mm: float | None
    center_px: tuple[float, float]
    lead_count: int | None = None
    trail_count: int | None = None


@dataclass(frozen=True, slots=True)
class SortDecision:
    """The one decision for one parcel.

    Attributes:
        parcel_uid: "<boot id>-<number>", unique over restarts.
        seq: Message number of this boot, from 1.
        rev: Revision for the same parcel, from 0.
        lane: Lane the parcel should go to.
        alternates: Lanes to use in this order when `lane` cannot take it.
        action, reason: What to do and why.
        rule: Id of the sort-plan rule that matched, or None for default and exception.
        plan: "<plan id>#<hash>" of the plan that decided.
        track_id, class_name, confidence, size_mm, codes, flags: The evidence.
        position: Where it was when it crossed.
        crossed_ns: Interpolated time of the crossing on the source's clock.
        captured_ns: Time of the frame that completed the crossing; with NO_PICTURE, when it was decided without one.
        deadline_ns: Latest time a divert may still be sent, on the source's clock.
        deadline_count: The same as the encoder's count, which a standing belt does not reach; None without one.
        plc_index: The PLC's own number of the parcel, or None.
        height_mm, weight_g: From a dimensioner or scale, or None.
        rounds: How often it was seen before on its way round the loop.
    """

    parcel_uid: str
    seq: int
    rev: int
    lane: str
    alternates: tuple[str, ...]
    action: Action
    reason: Reason
    rule: str | None
    plan: str
    track_id: int
    class_name: str
    confidence: float
    size_mm: tuple[float, float] | None
    codes: tuple[Code, ...]
    flags: tuple[str, ...]
    position: BeltPosition
    crossed_ns: int
    captured_ns: int
    deadline_ns: int
    deadline_count: int | None = None
    plc_index: int | None = None
    height_mm: float | None = None
    weight_g: float | None = None
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """Everything one frame led to; the journal writes it and a replay compares it.

    `stage_ns` maps a stage name to the time it took. It is measurement, not decision: journals keep it apart.
    """

    frame_index: int
    captured_ns: int
    travel_mm: float | None
    detections: Detections
    reads: tuple[CodeRead, ...]
    tracks: tuple[Track, ...]
    parcels: tuple[Parcel, ...]
    decisions: tuple[SortDecision, ...]
    stage_ns: dict[str, int] = field(default_factory=dict)
