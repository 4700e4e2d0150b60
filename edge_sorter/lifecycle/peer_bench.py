"""Measure what people use today, `yolo track` on its OpenVINO export, on the clip that we are measured on.

Contract: `export_peer` writes the OpenVINO export of our own checkpoint as ultralytics makes it, `track_fps` runs its
tracker over every frame of a clip and returns frames per second; nothing of ours runs in between.

Same checkpoint, same clip, every frame, nothing drawn, saved or printed: the comparison is about the software around
the network. Run both sides on an idle machine, one after the other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_sorter.clock import stopwatch_ns
from edge_sorter.errors import ModelError, VideoError
from edge_sorter.lifecycle.isolate import isolate_ultralytics


def export_peer(checkpoint: Path, out: Path, *, imgsz: int = 640, int8_data: Path | None = None) -> Path:
    """Export a checkpoint to OpenVINO with ultralytics and return the folder it made inside `out`.

    Args:
        checkpoint: `last.pt` of a training run.
        out: folder to export into; the checkpoint is copied there, because the export lands beside it.
        imgsz: input side in px; ultralytics letterboxes into a square of it when exporting.
        int8_data: `data.yaml` to calibrate an int8 export with; None exports float.
    """
    if not checkpoint.is_file():
        raise ModelError(f"No checkpoint at {checkpoint}.")
    isolate_ultralytics()
    from ultralytics import YOLO

    out.mkdir(parents=True, exist_ok=True)
    copy = out / "peer.pt"
    copy.write_bytes(checkpoint.read_bytes())
    options: dict[str, Any] = {"format": "openvino", "imgsz": imgsz}
    if int8_data is not None:
        options |= {"int8": True, "data": str(int8_data)}
    return Path(YOLO(str(copy), task="detect").export(**options))


def track_fps(
    model: Path, clip: Path, *, imgsz: int = 640, confidence: float = 0.25, warm_up: int = 20
) -> dict[str, float]:
    """Run `yolo track` over a clip and return frames, seconds and frames per second, without the first frames.

    Args:
        model: exported model folder (or checkpoint).
        clip: video file.
        imgsz: input side in px.
        confidence: lowest confidence.
        warm_up: frames before the stopwatch starts; loading and compiling are not measured.
    """
    if not clip.is_file():
        raise VideoError(f"No clip at {clip}.")
    isolate_ultralytics()
    from ultralytics import YOLO

    stream = YOLO(str(model), task="detect").track(
        str(clip), imgsz=imgsz, conf=confidence, device="cpu", stream=True, verbose=False, save=False
    )
    frames, started = 0, 0
    for frames, _ in enumerate(stream, start=1):
        if frames == warm_up:
            started = stopwatch_ns()
    if frames <= warm_up:
        raise VideoError(f"{clip} has {frames} frames; the measurement starts after {warm_up}.")
    seconds = (stopwatch_ns() - started) / 1e9
    return {"frames": frames - warm_up, "seconds": seconds, "fps": (frames - warm_up) / seconds}
