"""The model: is it the one its manifest describes, which engines are here, does the chosen one compute right and fast.

The chosen engine is compared with ONNX Runtime, the reference, on real pictures of this very camera: a driver, an
instruction set or a conversion that computes something else shows here and not at a parcel.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from statistics import quantiles

import numpy as np

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import Config, DetectSection
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import EdgeSorterError, EngineError
from edge_sorter.service.doctor.finding import Finding, fail, ok, warn
from edge_sorter.service.model_memory import ModelMemory, put_back
from edge_sorter.types import Detections, Frame

ENGINES = {"tensorrt": "tensorrt", "openvino": "openvino", "onnxruntime": "onnxruntime"}
RUNS, PATIENCE_MS = 100, 5000.0
SAME_IOU = 0.8
ALLOWED_SHARE = 0.05
UNSURE = 0.15
"""A box this close to the threshold may be on either side of it in another engine."""


def model(config: Config, pictures: list[Frame], *, fps: float | None) -> Iterator[Finding]:
    """Yield what there is to say about engines and model; `pictures` and `fps` are the camera's."""
    yield engines()
    try:
        memory = ModelMemory.of(config)
        section, instead = put_back(config.detect, memory)
        if instead is not None:
            yield warn("model", instead, f"put detect.model back; to start with it all the same, delete {memory.path}")
        with open_detector(section) as detector:
            yield acceptance(detector)
            looks = pictures or [_noise(detector)]
            yield speed(detector, looks, fps=fps)
            yield from parity(section, detector, looks)
    except EdgeSorterError as error:
        yield fail("engine", error)


def engines() -> Finding:
    """Say which inference libraries are installed."""
    found = []
    for name, package in ENGINES.items():
        for candidate in (package, f"{package}-gpu", f"{package}-cu12", f"{package}-cu13"):
            try:
                found.append(f"{name} {metadata.version(candidate)}")
            except metadata.PackageNotFoundError:
                continue
            break
    if not found:
        return warn("engines", "none installed", "pip install openvino onnxruntime, or on a Jetson use JetPack's own")
    return ok("engines", ", ".join(found))


def acceptance(detector: Detector) -> Finding:
    """Say which engine goes live, how it proved itself on the golden pictures, and which ones were refused."""
    proof = detector.acceptance
    fact = detector.description + (f"; {proof.parity}" if proof is not None and proof.parity is not None else "")
    if proof is None or not proof.refused:
        return ok("engine", fact)
    refused = "; ".join(line.splitlines()[0] for line in proof.refused)
    return warn("engine", fact, f"refused before it: {refused}. It runs, but maybe slower than planned")


def speed(detector: Detector, pictures: list[Frame], *, fps: float | None) -> Finding:
    """Time the detector on some pictures, over and over, and compare with the camera's pace."""
    part, spent_ms = "speed", list[float]()
    while len(spent_ms) < RUNS and (sum(spent_ms) < PATIENCE_MS or len(spent_ms) < 10):
        began_ns = stopwatch_ns()
        detector.detect(pictures[len(spent_ms) % len(pictures)])
        spent_ms.append((stopwatch_ns() - began_ns) / 1e6)
    cuts = quantiles(spent_ms, n=100)
    p50_ms, p99_ms = cuts[49], cuts[98]
    fact = f"one picture p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms ({len(spent_ms)} times)"
    if fps is None:
        return ok(part, fact)
    period_ms = 1000 / fps
    if p50_ms > period_ms:
        advice = "it cannot keep up, pictures will be dropped: smaller detect.input_px, detect.crop, or a GPU"
        return warn(part, f"{fact}; the camera sends one every {period_ms:.1f} ms", advice)
    if p99_ms > period_ms:
        advice = "now and then a picture will be dropped: what else runs here? set detect.threads"
        return warn(part, f"{fact}; the camera sends one every {period_ms:.1f} ms", advice)
    return ok(part, f"{fact}, {100 * p50_ms / period_ms:.0f} % of the time between pictures")


def parity(section: DetectSection, detector: Detector, pictures: list[Frame]) -> Iterator[Finding]:
    """Compare what the chosen engine sees with what ONNX Runtime sees."""
    part = "computes right"
    if "onnxruntime" in detector.description.lower().replace(" ", ""):
        return
    try:
        with open_detector(section.model_copy(update={"engine": "onnxruntime"})) as reference:
            seen = [(detector.detect(picture), reference.detect(picture)) for picture in pictures]
    except EngineError as error:
        yield warn(part, f"not compared: {error}", "pip install onnxruntime, the reference engine")
        return
    sure = detector.high_confidence + UNSURE
    boxes = sum(int((theirs.confidence >= sure).sum()) for _, theirs in seen)
    missed = sum(unmatched(theirs, ours, sure=sure) for ours, theirs in seen)
    invented = sum(unmatched(ours, theirs, sure=sure) for ours, theirs in seen)
    fact = f"on {len(seen)} pictures ONNX Runtime sees {boxes} sure boxes; here {missed} are missing, {invented} extra"
    if missed + invented > max(1, ALLOWED_SHARE * boxes):
        yield fail(part, fact, "this engine computes something else on this machine: set detect.engine to onnxruntime")
    elif not boxes:
        yield warn(part, fact, "nothing to compare: run this while parcels pass")
    else:
        yield ok(part, fact)


def unmatched(wanted: Detections, given: Detections, *, sure: float) -> int:
    """Count the sure boxes of one that the other lacks: same class, overlapping by `SAME_IOU`."""
    count, these = 0, wanted.confidence >= sure
    for box, class_id in zip(wanted.xyxy[these], wanted.class_id[these], strict=True):
        others = given.xyxy[given.class_id == class_id]
        corner, far = np.maximum(others[:, :2], box[:2]), np.minimum(others[:, 2:], box[2:])
        shared = np.clip(far - corner, 0, None).prod(axis=1)
        areas = (others[:, 2:] - others[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared
        count += not bool((shared >= SAME_IOU * areas).any())
    return count


def _noise(detector: Detector) -> Frame:
    width, height = detector.input_size_px
    return Frame(0, 0, np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
