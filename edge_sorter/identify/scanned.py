"""What scanners, scales and dimensioners said, given to the parcel that lay there: by place on the belt, never by time.

Contract: a read belongs to the parcel it lies in, or to the nearest one within the scanner's window and nearer than
half the gap; where two parcels would fit, it is nobody's. Who that is, is asked anew with every frame until the parcel
is decided, because a neighbour may come into view. Memory is bounded by `KEPT` reads and `REACH_MM` of belt.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from edge_sorter.belt import BeltMap, EncoderMotion
from edge_sorter.belt.items import Span
from edge_sorter.config import IdentifySection
from edge_sorter.events import ScannerRead
from edge_sorter.identify.codes import Acceptance
from edge_sorter.types import Code, Parcel, TrackState

KEPT = 256
REACH_MM = 20_000.0
"""A read is forgotten when the belt has moved so far since: nothing in view can be its parcel any more."""
INDEX_WINDOW_MM = 100.0
"""Window of a read that names the PLC's index, about the middle of that item."""
CODES_KEPT = 16

AIM = {
    "]A": "Code39",
    "]C": "Code128",
    "]E": "EAN13",
    "]F": "Codabar",
    "]G": "Code93",
    "]I": "ITF",
    "]L": "PDF417",
    "]Q": "QRCode",
    "]U": "MaxiCode",
    "]d": "DataMatrix",
    "]e": "DataBar",
    "]z": "Aztec",
}
GS1 = {"]C1": "GS1-128", "]d2": "GS1-DataMatrix", "]Q3": "GS1-QRCode"}

SpanOf = Callable[[int], "Span | None"]


def symbology_of(aim: str) -> str:
    """Return the name the camera's reader has for what a scanner calls "]C1"; other names are taken as they are."""
    return GS1.get(aim[:3]) or AIM.get(aim[:2]) or aim or "unknown"


@dataclass(frozen=True, slots=True)
class _Placed:
    """One read, where it was triggered (unless only the PLC's index tells) and how far it reaches."""

    read: ScannerRead
    at_mm: float | None
    window_mm: float
    travel_mm: float


class ScannerReads:
    """Reads of one line that wait for their parcels.

    Args:
        section: Where the scanners are, and what makes a code count.
        motion: Translates counts into travel.
        belt_map: Of the camera.
        span_of: Where an item of the PLC rides, by index; None without a photo-eye.

    Attributes:
        unplaced: Reads that named no place: no count of a known scanner and no index.
    """

    def __init__(
        self, section: IdentifySection, *, motion: EncoderMotion, belt_map: BeltMap, span_of: SpanOf | None
    ) -> None:
        self.unplaced = 0
        self._scanners = section.scanners
        self._accepts = Acceptance(section)
        self._motion = motion
        self._belt_map = belt_map
        self._span_of = span_of
        self._reads: deque[_Placed] = deque(maxlen=KEPT)

    def hear(self, read: ScannerRead) -> None:
        """Take a read."""
        scanner = self._scanners.get(read.scanner)
        travel_mm = None if read.count is None else self._motion.travel_of(read.count)
        by_index = self._span_of is not None and read.plc_index is not None
        now_mm = self._motion.travel_mm(read.at_ns)
        if scanner is not None and travel_mm is not None:
            self._reads.append(_Placed(read, scanner.at_mm - travel_mm, scanner.window_mm, travel_mm))
        elif by_index and now_mm is not None:
            self._reads.append(_Placed(read, None, INDEX_WINDOW_MM, now_mm))
        else:
            self.unplaced += 1

    def give(self, parcels: Sequence[Parcel], *, travel_mm: float | None) -> tuple[Parcel, ...]:
        """Return the parcels of one frame with what was read on them.

        Args:
            parcels: As the camera alone knows them.
            travel_mm: Belt travel at the frame; unknown, nothing is given.
        """
        if not self._reads or travel_mm is None:
            return tuple(parcels)
        while self._reads and travel_mm - self._reads[0].travel_mm > REACH_MM:
            self._reads.popleft()
        spans = {
            parcel.track.track_id: self._span(parcel, travel_mm)
            for parcel in parcels
            if parcel.track.state in (TrackState.CONFIRMED, TrackState.LOST)
        }
        given: dict[int, list[ScannerRead]] = {}
        for placed in self._reads:
            track_id = self._whose(placed, spans)
            if track_id is not None:
                given.setdefault(track_id, []).append(placed.read)
        return tuple(self._with(parcel, given.get(parcel.track.track_id, ())) for parcel in parcels)

    def _span(self, parcel: Parcel, travel_mm: float) -> Span:
        track = parcel.track
        x1, y1, x2, y2 = track.looked_xyxy if track.measured else track.xyxy
        x, y = (x1 + x2) / 2.0, (y1 + y2) / 2.0
        along = [self._belt_map.point_mm(point)[0] for point in ((x1, y), (x2, y), (x, y1), (x, y2))]
        return Span(min(along) - travel_mm, max(along) - travel_mm)

    def _whose(self, placed: _Placed, spans: dict[int, Span]) -> int | None:
        at_mm = placed.at_mm
        if placed.read.plc_index is not None and self._span_of is not None:
            item = self._span_of(placed.read.plc_index)
            at_mm = at_mm if item is None else item.middle_mm
        if at_mm is None:
            return None
        away = sorted((max(span.trail_mm - at_mm, at_mm - span.lead_mm, 0.0), id_) for id_, span in spans.items())
        if not away or away[0][0] > placed.window_mm or (len(away) > 1 and away[1][0] <= away[0][0]):
            return None
        return away[0][1]

    def _with(self, parcel: Parcel, reads: Sequence[ScannerRead]) -> Parcel:
        if not reads:
            return parcel
        known = {(code.symbology, code.text) for code in parcel.codes}
        codes, flags = list(parcel.codes), set(parcel.flags)
        weight_g, height_mm = parcel.weight_g, parcel.height_mm
        for read in reads:
            weight_g = weight_g if read.weight_g is None else read.weight_g
            height_mm = height_mm if read.dim_mm is None else read.dim_mm[2]
            flags.update(read.flags)
            for aim, text in read.codes:
                code = (symbology_of(aim), text)
                if self._accepts.fails_check(*code):
                    flags.add("CHECK_FAIL")
                if code not in known and len(codes) < CODES_KEPT and self._accepts(*code):
                    known.add(code)
                    codes.append(Code(*code))
        if codes:
            flags.discard("CHECK_FAIL")
        if len(codes) > len({code.symbology for code in codes}):
            flags.add("CODE_CONFLICT")
        return replace(parcel, codes=tuple(codes), flags=tuple(sorted(flags)), weight_g=weight_g, height_mm=height_mm)
