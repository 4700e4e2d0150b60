"""Choose the golden pictures that an engine must prove itself on, and write down what the float model sees in them.

Contract: `write_golden` leaves one PNG beside the float model (pictures at its input size, one below the other) and
the reference boxes, made by ONNX Runtime in float32, in the manifest of every model given. Pictures come from a clip
made by this project, because they are shipped with the model. Pictures in which a box has two classes of nearly the
same score are passed over: right engines disagree there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector
from edge_sorter.detect.acceptance import INT8_LIMITS, LOWEST_SCORE, look
from edge_sorter.detect.engines import EngineSpec, open_engine
from edge_sorter.detect.letterbox import Letterbox
from edge_sorter.detect.manifest import Manifest, load_manifest, sha256_of
from edge_sorter.errors import ModelError, VideoError
from edge_sorter.lifecycle import manifest as manifests

Picture = npt.NDArray[np.uint8]
CANDIDATES = 15
"""Frames of each part of the clip that may be looked at."""


def write_golden(model: Path, *, also: Sequence[Path], clip: Path, count: int = 3) -> Path:
    """Write golden pictures and reference boxes of a float model, and make it the fallback of its int8 forms.

    Args:
        model: The float ONNX file, with its manifest.
        also: int8 files made from it, in the same folder.
        clip: Video to take pictures from, evenly over its length.
        count: How many.

    Raises:
        ModelError: A model is not float, or lies in another folder.
        VideoError: The clip cannot be read.
    """
    manifest = load_manifest(model)
    if manifest.precision.startswith("int8"):
        raise ModelError(f"{model} is int8; golden boxes come from the float model")
    strangers = [path for path in also if path.resolve().parent != model.resolve().parent]
    if strangers:
        raise ModelError(f"{strangers[0]} must lie beside {model}, its fallback")
    size_px = (manifest.input.width_px, manifest.input.height_px)
    pictures = _surest(model, candidates_of(clip, count=count, size_px=size_px))
    sheet = model.with_suffix(".golden.png")
    partial = sheet.with_name(f".part-{sheet.name}")
    if not cv2.imwrite(str(partial), np.concatenate(pictures)):
        raise ModelError(f"{partial} cannot be written; is the disk full or the folder read-only?")
    partial.replace(sheet)
    golden = {
        "file": sheet.name,
        "sha256": sha256_of(sheet),
        "float_sha256": manifest.sha256,
        **_reference(model, pictures),
    }
    for path in (model, *also):
        content = manifests.load(path)
        content["golden"] = golden
        if path != model:
            content["fallback"] = model.name
        manifests.save(path, content)
        load_manifest(path)  # what was written must be what the runtime believes
    return sheet


def candidates_of(clip: Path, *, count: int, size_px: tuple[int, int]) -> list[list[Picture]]:
    """Decode a clip and return, for each of `count` equal parts, frames scaled to `size_px`, from its middle outwards.

    Raises:
        VideoError: The clip cannot be read, or is shorter than that.
    """
    try:
        with av.open(str(clip)) as container:
            frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    except (OSError, av.error.FFmpegError) as error:
        raise VideoError(f"clip {clip} cannot be read: {error}") from None
    if len(frames) < count:
        raise VideoError(f"clip {clip} has {len(frames)} frames; {count} golden pictures are wanted")
    step = max(1, len(frames) // (count * CANDIDATES))
    reach = CANDIDATES // 2
    outwards = sorted(range(-reach, reach + 1), key=abs)
    middles = [(2 * index + 1) * len(frames) // (2 * count) for index in range(count)]
    chosen = [
        [frames[middle + step * offset] for offset in outwards if 0 <= middle + step * offset < len(frames)]
        for middle in middles
    ]
    return [
        [np.asarray(cv2.resize(frame, size_px, interpolation=cv2.INTER_AREA), np.uint8) for frame in part]
        for part in chosen
    ]


def _surest(model: Path, candidates: Sequence[Sequence[Picture]]) -> list[Picture]:
    """Take of each part the first picture whose classes are beyond doubt, or else the one with the least."""
    manifest = load_manifest(model)
    if manifest.outputs.scores is None:
        return [part[0] for part in candidates]
    size_px = (manifest.input.width_px, manifest.input.height_px)
    chosen = []
    with closing(open_engine("onnxruntime", _spec(model, manifest))) as engine:
        tensor_of = Letterbox(
            image_size_px=size_px,
            crop=(0.0, 0.0, 1.0, 1.0),
            input_size_px=size_px,
            layout=engine.layout,
            scale=manifest.input.scale,
        )
        for part in candidates:
            margins = []
            for picture in part:
                scores = engine.infer(tensor_of(picture))[manifest.outputs.scores][0]
                margins.append(_margin(scores, manifest.confidence))
                if margins[-1] > INT8_LIMITS.score:
                    break
            chosen.append(part[int(np.argmax(margins))])
    return chosen


def _margin(scores: npt.NDArray[np.float32], confidence: float) -> float:
    """Return how far the two best classes (classes, cells) are apart at least, over the cells that see something."""
    if len(scores) < 2:
        return 1.0
    second, best = np.sort(scores, axis=0)[-2:]
    seen = best >= confidence
    return float((best - second)[seen].min()) if seen.any() else 0.0


def _reference(model: Path, pictures: Sequence[Picture]) -> dict[str, Any]:
    manifest = load_manifest(model)
    size_px = (manifest.input.width_px, manifest.input.height_px)
    section = DetectSection(model=model, engine="onnxruntime", confidence=None, low_confidence=LOWEST_SCORE)
    engine = open_engine("onnxruntime", _spec(model, manifest))
    with Detector(section, manifest=manifest, engine=engine, input_size_px=size_px) as detector:
        seen = look(detector, pictures)
        rows = [
            [
                [*(round(float(side), 2) for side in box), round(float(score), 4), int(kind)]
                for box, score, kind in zip(item.xyxy, item.confidence, item.class_id, strict=True)
            ]
            for item in seen
        ]
        return {"made_by": f"{engine.name}, {engine.precision}, {engine.device}", "detections": rows}


def _spec(model: Path, manifest: Manifest) -> EngineSpec:
    return EngineSpec(
        model=model,
        sha256=manifest.sha256,
        input_name=manifest.input.name,
        input_size_px=(manifest.input.width_px, manifest.input.height_px),
        scale=manifest.input.scale,
        output_names=manifest.outputs.names(),
    )
