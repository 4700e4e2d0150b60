"""A model is accepted on the device it runs on: the same file can be right in one engine or CPU and wrong in the next.

Contract: `prove` runs a detector on the golden pictures that lie beside its model and compares boxes, classes and
scores with those of the float model in ONNX Runtime. The pictures and, for the model's own input size, the reference
boxes come with the model (`golden` in its manifest); for any other input size the reference is computed here. A proof
that passed is remembered for exactly this model, engine, processor and input size, so that a restart costs nothing.

Boxes are compared, not tensors: a wrong scale somewhere in the network moves scores by half and boxes by whole parcels,
while what rounding does to tensors says little about parcels.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_sorter.atomic import write_json
from edge_sorter.detect.engines import cache_folder
from edge_sorter.detect.manifest import Manifest, sha256_of
from edge_sorter.errors import ModelError
from edge_sorter.types import Detections, FloatArray, Frame

if TYPE_CHECKING:
    from edge_sorter.detect.detector import Detector

logger = logging.getLogger(__name__)

RULES = 2
"""Part of the key of remembered proofs: raise it when the comparison or its limits change."""
LOWEST_SCORE = 0.05
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Limits:
    """How far an engine may be from the reference.

    Attributes:
        iou: Lowest overlap of a box with the reference's.
        score: Largest difference of their confidences.
    """

    iou: float
    score: float


FLOAT_LIMITS = Limits(iou=0.9, score=0.05)
INT8_LIMITS = Limits(iou=0.75, score=0.15)
"""Right engines stay below half of these limits at a model's own size and six tenths at another, wrong ones were found
above the score's (weights/README.md)."""


@dataclass(frozen=True)
class Parity:
    """What the comparison found.

    Attributes:
        pictures: Golden pictures looked at.
        boxes: Reference boxes above the model's threshold in them.
        worst_iou: Smallest overlap among boxes that were found.
        worst_score: Largest difference of confidence among them.
        faults: What went beyond the limits, for humans; empty when the engine is accepted.
    """

    pictures: int
    boxes: int
    worst_iou: float
    worst_score: float
    faults: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether the engine may go live."""
        return not self.faults

    def __str__(self) -> str:
        text = (
            f"{self.boxes} boxes in {self.pictures} golden pictures, worst overlap {self.worst_iou:.2f}, "
            f"worst score difference {self.worst_score:.2f}"
        )
        return text if self.passed else f"{text}; {'; '.join(self.faults[:3])}"


def limits_for(manifest: Manifest) -> Limits:
    """Return what the arithmetic of a model excuses."""
    return INT8_LIMITS if manifest.precision.startswith("int8") else FLOAT_LIMITS


def golden_pictures(model: Path, manifest: Manifest) -> list[Picture]:
    """Read the golden pictures of a model: BGR uint8, at the model's own input size.

    Raises:
        ModelError: They are missing, changed or of another size.
    """
    golden = manifest.golden
    if golden is None:
        return []
    path = model.parent / golden.file
    if not path.is_file():
        raise ModelError(f"golden pictures {path} of model {model} are missing; copy them together with the model")
    if sha256_of(path) != golden.sha256:
        raise ModelError(
            f"golden pictures {path} were changed after the manifest of {model.name} was written; restore the file, or "
            "make them again: edge-sorter golden"
        )
    sheet = cv2.imread(str(path))
    count, size = len(golden.detections), (manifest.input.height_px, manifest.input.width_px)
    if sheet is None or sheet.shape[:2] != (count * size[0], size[1]):
        raise ModelError(f"golden pictures {path} are not {count} pictures of {size[1]}x{size[0]} one below the other")
    return [np.ascontiguousarray(part, np.uint8) for part in np.split(sheet, count)]


def look(detector: Detector, pictures: Sequence[Picture]) -> list[Detections]:
    """Run a detector on pictures."""
    return [detector.detect(Frame(index, index, picture)) for index, picture in enumerate(pictures)]


def stored_reference(manifest: Manifest) -> list[Detections]:
    """Return the float model's boxes as the manifest has them, for its own input size."""
    rows = [np.array(picture, np.float32).reshape(-1, 6) for picture in manifest.golden.detections]  # type: ignore[union-attr]
    return [
        Detections(index, table[:, :4], table[:, 4], table[:, 5].astype(np.int64)) for index, table in enumerate(rows)
    ]


def compare(
    reference: Sequence[Detections], found: Sequence[Detections], *, confidence: float, limits: Limits
) -> Parity:
    """Compare boxes picture by picture.

    Every reference box of at least `confidence` must be found again; a box that is found must have been there before,
    unless both times its score is within the limit of `confidence`.

    Args:
        reference: What the float model sees, down to `LOWEST_SCORE`.
        found: What the engine under test sees, likewise.
        confidence: Threshold of the model.
        limits: How far apart they may be.
    """
    faults: list[str] = []
    shares, differences = [1.0], [0.0]
    for picture, (wanted, seen) in enumerate(zip(reference, found, strict=True), start=1):
        table = overlaps(wanted.xyxy, seen.xyxy)
        for row in np.flatnonzero(wanted.confidence >= confidence):
            score = float(wanted.confidence[row])
            best = int(table[row].argmax()) if len(seen) else -1
            if best < 0 or table[row, best] < 0.5:
                faults.append(f"picture {picture}: the box of score {score:.2f} is missing")
                continue
            shares.append(float(table[row, best]))
            differences.append(abs(score - float(seen.confidence[best])))
            if shares[-1] < limits.iou:
                faults.append(f"picture {picture}: a box overlaps its reference by {shares[-1]:.2f} < {limits.iou:g}")
            if differences[-1] > limits.score:
                faults.append(f"picture {picture}: score {seen.confidence[best]:.2f} instead of {score:.2f}")
            if score > confidence + limits.score and seen.class_id[best] != wanted.class_id[row]:
                faults.append(f"picture {picture}: the box of score {score:.2f} has another class")
        for column in np.flatnonzero(seen.confidence > confidence + limits.score):
            if not len(wanted) or table[:, column].max() < 0.5:
                faults.append(f"picture {picture}: a box of score {seen.confidence[column]:.2f} that nobody else sees")
    boxes = sum(int((wanted.confidence >= confidence).sum()) for wanted in reference)
    return Parity(len(reference), boxes, min(shares), max(differences), tuple(faults))


def prove(
    detector: Detector,
    pictures: Sequence[Picture],
    reference: Callable[[], Sequence[Detections]],
    *,
    anew: bool = False,
) -> Parity:
    """Compare a detector with the reference, or recall that it passed before.

    Args:
        detector: Opened without crop and mask, down to `LOWEST_SCORE`.
        pictures: The golden pictures.
        reference: Returns what the float model sees on them at this input size; not asked where a proof is remembered.
        anew: Look again even so.
    """
    path = _memory(detector)
    known = None if anew else _recall(path)
    if known is not None:
        return known
    parity = compare(
        reference(),
        look(detector, pictures),
        confidence=detector.manifest.confidence,
        limits=limits_for(detector.manifest),
    )
    if path is not None and parity.passed:
        try:
            write_json(path, asdict(parity))
        except OSError as error:
            logger.info("the proof of %s cannot be kept for the next start: %s", detector.description, error)
    return parity


def _memory(detector: Detector) -> Path | None:
    """Name the file of a proof after everything that it depends on."""
    folder = cache_folder()
    golden = detector.manifest.golden
    if folder is None or golden is None:
        return None
    digest = hashlib.sha256()
    parts = (RULES, detector.manifest.sha256, golden.sha256, golden.detections, detector.description, _processor())
    digest.update("|".join(str(part) for part in parts).encode())
    return folder / f"accepted-{digest.hexdigest()[:24]}.json"


def _recall(path: Path | None) -> Parity | None:
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        parity = Parity(**{**content, "faults": tuple(content["faults"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # a damaged note is no proof
    return parity if parity.passed else None


def _processor() -> str:
    """Name the processor and what it can do: a virtual machine may move to a host with other instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    wanted = ("model name", "flags", "Features", "CPU part")
    return "|".join(sorted({line for line in lines if line.startswith(wanted)}))


def overlaps(left: FloatArray, right: FloatArray) -> FloatArray:
    """Return the overlap (intersection over union) of every box (n, 4) with every box (m, 4)."""
    low = np.maximum(left[:, None, :2], right[None, :, :2])
    high = np.minimum(left[:, None, 2:], right[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (left, right)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float32)
