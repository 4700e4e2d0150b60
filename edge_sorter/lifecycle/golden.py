"""Choose the golden pictures that an engine must prove itself on, and write down what the float model sees in them.

Contract: `write_golden` leaves one PNG beside the float model (pictures at its input size, one below the other) and
the reference boxes, made by ONNX Runtime in float32, in the manifest of every model given. Pictures come from a clip
made by this project, because they are shipped with the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from edge_sorter.config import DetectSection
from edge_sorter.detect import Detector
from edge_sorter.detect.acceptance import LOWEST_SCORE, look
from edge_sorter.detect.engines import EngineSpec, open_engine
from edge_sorter.detect.manifest import load_manifest, sha256_of
from edge_sorter.errors import ModelError, VideoError
from edge_sorter.lifecycle import manifest as manifests

Picture = npt.NDArray[np.uint8]


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
    pictures = pictures_of(clip, count=count, size_px=size_px)
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


def pictures_of(clip: Path, *, count: int, size_px: tuple[int, int]) -> list[Picture]:
    """Decode `count` frames of a clip, evenly over its length, scaled to `size_px`."""
    try:
        with av.open(str(clip)) as container:
            frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    except (OSError, av.error.FFmpegError) as error:
        raise VideoError(f"clip {clip} cannot be read: {error}") from None
    if len(frames) < count:
        raise VideoError(f"clip {clip} has {len(frames)} frames; {count} golden pictures are wanted")
    chosen = [frames[(2 * index + 1) * len(frames) // (2 * count)] for index in range(count)]
    return [np.asarray(cv2.resize(frame, size_px, interpolation=cv2.INTER_AREA), np.uint8) for frame in chosen]


def _reference(model: Path, pictures: Sequence[Picture]) -> dict[str, Any]:
    manifest = load_manifest(model)
    size_px = (manifest.input.width_px, manifest.input.height_px)
    section = DetectSection(model=model, engine="onnxruntime", confidence=None, low_confidence=LOWEST_SCORE)
    spec = EngineSpec(
        model=model,
        sha256=manifest.sha256,
        input_name=manifest.input.name,
        input_size_px=size_px,
        scale=manifest.input.scale,
        output_names=manifest.outputs.names(),
    )
    engine = open_engine("onnxruntime", spec)
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
