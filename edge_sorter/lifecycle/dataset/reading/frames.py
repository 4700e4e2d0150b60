"""Take single frames out of a video as PNG files.

Contract: lossless and named by frame number. The runtime's own decoder and scaler make the pictures.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import cv2

from edge_sorter.errors import DatasetError, VideoError
from edge_sorter.lifecycle.dataset.progress import Progress, silent
from edge_sorter.video.clip import Clip
from edge_sorter.video.picture import PictureMaker, upright_size


def take_frames(
    clip: Path,
    wanted: Collection[int],
    folder: Path,
    *,
    on_frame: Progress = silent,
    expected_ns: dict[int, int] | None = None,
) -> dict[int, Path]:
    """Write the wanted frames of a video and return where they are.

    Args:
        clip: The video.
        wanted: Frame numbers from 0.
        folder: Where `CLIP_000123.png` go.
        on_frame: Told frames decoded and the last one wanted.
        expected_ns: Presentation time that some frames must have, relative to each other.

    Raises:
        DatasetError: The video is missing, damaged, ends before, or is another one than expected.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = set(wanted)
    last = max(left, default=-1)
    taken: dict[int, Path] = {}
    times: dict[int, int] = {}
    try:
        video = Clip(clip)
        try:
            for index, (at_ns, raw) in enumerate(video.frames()):
                if index in left:
                    taken[index] = _write(folder / f"{clip.stem}_{index:06d}.png", raw)
                    times[index] = at_ns
                on_frame(index, last)
                if index >= last:
                    break
        finally:
            video.close()
    except VideoError as error:
        raise DatasetError(f"frames cannot be taken: {error}") from None
    missing = sorted(left - set(taken))
    if missing:
        raise DatasetError(f"{clip} ends before frame {missing[0]}: is it the clip that these labels were made on?")
    _refuse_another_clip(clip, times, expected_ns or {})
    return taken


def _write(path: Path, raw: object) -> Path:
    image = PictureMaker(upright_size(raw)).bgr(raw)
    if not cv2.imwrite(str(path), image):
        raise DatasetError(f"{path} cannot be written; is the disk full?")
    return path


def _refuse_another_clip(clip: Path, times: dict[int, int], expected: dict[int, int]) -> None:
    frames = sorted(times.keys() & expected.keys())
    for frame in frames[1:]:
        ours, theirs = times[frame] - times[frames[0]], expected[frame] - expected[frames[0]]
        if abs(ours - theirs) > 5_000_000:
            raise DatasetError(
                f"{clip} is not the clip of this journal: frame {frame} comes {ours / 1e9:.3f} s after frame "
                f"{frames[0]}, the journal says {theirs / 1e9:.3f} s"
            )
