"""Reads barcodes on tracked parcels: the only part of identify that touches pixels.

Contract: `CodeReader.read` looks at the crops of at most `PARCELS_PER_FRAME` parcels and returns what it saw as
evidence, one `CodeRead` per code and frame; believing is the Identifier's job. It never raises on a picture.

Measured with zxing-cpp: linear codes decode up to 20 degrees of skew and not from 25 on, so the crop is also tried
turned by 30 and 60 degrees; below two pixels a module Code 128 begins to give *wrong* texts that pass their own
checksum, so such reads are thrown away.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import zxingcpp

from edge_sorter.config import IdentifySection
from edge_sorter.errors import ConfigError
from edge_sorter.identify.check_digit import plausible
from edge_sorter.types import CodeRead, Frame, Image, Track, TrackState

PARCELS_PER_FRAME = 2
ANGLES_DEG = (0.0, 30.0, 60.0)
MIN_PX_PER_MODULE = 1.9
"""Two, less what the estimate may be off by."""
CROP_MARGIN = 0.05
MIN_CROP_PX = 24
MAX_TEXT = 256


class Acceptance:
    """What a code must look like to count: the configured pattern, and its check digit where the format has one."""

    def __init__(self, section: IdentifySection) -> None:
        try:
            self._pattern = None if section.code_pattern is None else re.compile(section.code_pattern)
        except re.error as error:
            raise ConfigError(
                f"identify.code_pattern {section.code_pattern!r} is no regular expression: {error}"
            ) from None

    def __call__(self, symbology: str, text: str) -> bool:
        """Tell whether a read counts."""
        return self._fits(text) and plausible(symbology, text)

    def fails_check(self, symbology: str, text: str) -> bool:
        """Tell whether a read would count but for its check digit."""
        return self._fits(text) and not plausible(symbology, text)

    def _fits(self, text: str) -> bool:
        return self._pattern is None or self._pattern.fullmatch(text) is not None


@dataclass(slots=True)
class _Attempts:
    """How often one track was looked at, which turn of the crop gave a code, and what was read."""

    looked: int = 0
    turn: int = 0
    votes: Counter[tuple[str, str]] = field(default_factory=Counter)


class CodeReader:
    """Barcodes on parcels, a few crops a frame, and none any more once enough frames agreed on one."""

    def __init__(self, section: IdentifySection) -> None:
        self._on = section.codes
        self._enough = section.code_votes
        self._accepts = Acceptance(section)
        self._formats = _formats(section.symbologies) if section.codes else None
        self._attempts: dict[int, _Attempts] = {}

    def read(self, frame: Frame, tracks: tuple[Track, ...]) -> tuple[CodeRead, ...]:
        """Look for codes on the tracks that need it most: those looked at the least, oldest first."""
        if not self._on:
            return ()
        live = {track.track_id for track in tracks if track.state is not TrackState.ENDED}
        for track_id in [track_id for track_id in self._attempts if track_id not in live]:
            del self._attempts[track_id]
        open_tracks = [t for t in tracks if t.measured and t.track_id in live and not self._done(t.track_id)]
        open_tracks.sort(key=lambda t: (self._attempts.setdefault(t.track_id, _Attempts()).looked, t.track_id))
        reads: list[CodeRead] = []
        for track in open_tracks[:PARCELS_PER_FRAME]:
            reads += self._read_one(frame.image, track)
        return tuple(reads)

    def _done(self, track_id: int) -> bool:
        attempts = self._attempts.get(track_id)
        return attempts is not None and any(votes >= self._enough for votes in attempts.votes.values())

    def _read_one(self, image: Image, track: Track) -> list[CodeRead]:
        attempts = self._attempts[track.track_id]
        attempts.looked += 1
        crop = _crop(image, track.xyxy)
        if crop is None:
            return []
        for turn in sorted(range(len(ANGLES_DEG)), key=lambda turn: (turn != attempts.turn, turn)):
            found = self._decode(_turned(crop, ANGLES_DEG[turn]))
            if found:
                attempts.turn = turn
                attempts.votes.update(read for read in found if self._accepts(*read))
                return [CodeRead(track.track_id, symbology, text) for symbology, text in found]
        return []

    def _decode(self, grey: Image) -> list[tuple[str, str]]:
        try:
            barcodes = zxingcpp.read_barcodes(grey, formats=self._formats, text_mode=zxingcpp.TextMode.Plain)
        except (ValueError, RuntimeError):  # a crop zxing cannot take is a crop without a code
            return []
        found = {
            (_symbology(barcode), barcode.text)
            for barcode in barcodes
            if barcode.valid and 0 < len(barcode.text) <= MAX_TEXT and _sharp_enough(barcode)
        }
        return sorted(found)


def _formats(names: tuple[str, ...]) -> Any:
    """Translate format names, naming the nearest known one for a typo."""
    known = [name for name in dir(zxingcpp.BarcodeFormat) if name[0].isupper() and name not in ("NONE", "All")]
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise ConfigError(f"identify.symbologies: {name!r} is not a barcode format; {hint}")
    return zxingcpp.barcode_formats_from_str(",".join(names))


def _symbology(barcode: Any) -> str:
    """Name the format; a symbol that carries GS1 data says so, because its text is a list of application ids."""
    name = str(barcode.format.name)
    if barcode.content_type != zxingcpp.ContentType.GS1:
        return name
    return "GS1-128" if name == "Code128" else f"GS1-{name}"


def _sharp_enough(barcode: Any) -> bool:
    """Whether a Code 128 spans enough pixels for its length; matrix codes correct their own errors."""
    if barcode.format.name != "Code128":
        return True
    corners = barcode.position
    width_px = float(np.hypot(corners.top_right.x - corners.top_left.x, corners.top_right.y - corners.top_left.y))
    return width_px / code128_modules(barcode.text) >= MIN_PX_PER_MODULE


def code128_modules(text: str) -> int:
    """Return about how many modules wide a Code 128 of this text is: pairs of digits share one symbol of 11."""
    symbols = 2  # start and check
    for run in re.finditer(r"[0-9]+|[^0-9]+", text):
        length = run.end() - run.start()
        if run.group()[0].isdigit() and length >= 4:
            symbols += length // 2 + length % 2 + (run.start() > 0)  # and one symbol to change the code set
        else:
            symbols += length
    return 11 * symbols + 13


def _crop(image: Image, xyxy: tuple[float, float, float, float]) -> Image | None:
    """Cut the parcel out in grey, with a margin; None where too little of it is in the picture."""
    height, width = image.shape[:2]
    if not np.isfinite(xyxy).all():
        return None
    margin_x, margin_y = (CROP_MARGIN * (xyxy[i + 2] - xyxy[i]) for i in (0, 1))
    x1, x2 = (int(min(max(x, 0.0), width)) for x in (xyxy[0] - margin_x, xyxy[2] + margin_x))
    y1, y2 = (int(min(max(y, 0.0), height)) for y in (xyxy[1] - margin_y, xyxy[3] + margin_y))
    if x2 - x1 < MIN_CROP_PX or y2 - y1 < MIN_CROP_PX:
        return None
    grey: Image = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
    return grey


def _turned(grey: Image, angle_deg: float) -> Image:
    """Turn a picture about its middle onto a canvas that holds all of it."""
    if angle_deg == 0.0:
        return grey
    height, width = grey.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle_deg, 1.0)
    cos, sin = abs(matrix[0, 0]), abs(matrix[0, 1])
    new_width, new_height = int(height * sin + width * cos), int(height * cos + width * sin)
    matrix[:, 2] += ((new_width - width) / 2, (new_height - height) / 2)
    turned: Image = cv2.warpAffine(
        grey, matrix, (new_width, new_height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return turned
