"""What scanners read belongs to the parcel that lay there, or to nobody."""

from __future__ import annotations

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from hypothesis import given
from hypothesis import strategies as st

from edge_sorter.belt import BeltMap, Calibration, EncoderMotion
from edge_sorter.belt.items import Span
from edge_sorter.clock import ReplayClock
from edge_sorter.config import IdentifySection
from edge_sorter.events import LineEvent, ScannerRead
from edge_sorter.identify import ScannerReads
from edge_sorter.identify.scanned import symbology_of
from edge_sorter.journal import decision_record
from edge_sorter.plc.encode import decision_message
from edge_sorter.types import Parcel, SortDecision, Track, TrackState

START = 2**32 - 3000
LINE_MM, SCANNER_MM = 1140.0, 200.0
FLAT = Calibration(  # 1 mm a pixel
    image_size_px=(2000, 1000),
    image_points_px=((0, 0), (2000, 0), (2000, 1000), (0, 1000)),
    belt_points_mm=((0, 0), (2000, 0), (2000, 1000), (0, 1000)),
)


def play(told: list[LineEvent], **identify: object) -> GoldenLine:
    config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM)
    section = IdentifySection.model_validate({"scanners": {"top1": {"at_mm": SCANNER_MM}}} | identify)
    config = config.model_copy(update={"identify": section})
    return GoldenLine(config).play([*encoder(lambda at_s: 1000.0 * at_s), *told])


def count_of(travel_mm: float) -> int:
    return (START + round(2 * travel_mm)) % 2**32


def trigger(decision: SortDecision, ahead_mm: float = 0.0) -> tuple[int, int]:
    """Count and time at which a parcel's middle was `ahead_mm` before the scanner's trigger, and its read arrived."""
    middle_mm = (decision.position.lead_mm + decision.position.trail_mm) / 2.0
    travel_mm = middle_mm - (LINE_MM - SCANNER_MM) - ahead_mm
    return count_of(travel_mm), round(travel_mm * 1e6) + 120_000_000


@pytest.fixture(scope="module")
def seen() -> list[SortDecision]:
    return [d for d in play([]).decisions if d.position.lead_mm - (LINE_MM - SCANNER_MM) > 100.0]


def test_every_parcel_gets_its_own_code_weight_and_height(seen: list[SortDecision]) -> None:
    told = []
    for i, decision in enumerate(seen):
        count, at_ns = trigger(decision, ahead_mm=(-1) ** i * 30.0)
        told.append(
            ScannerRead(at_ns, "top1", None, count, (("]C0", f"JD{i:010d}"),), 1000.0 + i, (300.0, 200.0, 90.0 + i))
        )
    line = play(told)
    of_track = {d.track_id: d for d in line.decisions}
    for i, decision in enumerate(seen):
        own = of_track[decision.track_id]
        assert [(c.symbology, c.text) for c in own.codes] == [("Code128", f"JD{i:010d}")]
        assert (own.weight_g, own.height_mm) == (1000.0 + i, 90.0 + i)
    assert line.pipeline.scanned is not None
    assert line.pipeline.scanned.unplaced == 0
    message = decision_message(
        of_track[seen[0].track_id], clock=ReplayClock(), published_ns=0, boot_id="B", model=None, replay=True
    )
    assert message.dim_mm is not None
    assert message.dim_mm.h == 90.0
    assert decision_record(of_track[seen[0].track_id])["weight_g"] == 1000.0


def test_two_carriers_on_one_parcel_contradict_each_other(seen: list[SortDecision]) -> None:
    count, at_ns = trigger(seen[3])
    told = [ScannerRead(at_ns + i, "top1", None, count, (("]C0", f"JD{i:010d}"),)) for i in range(2)]
    odd = [d for d in play(told).decisions if "CODE_CONFLICT" in d.flags]
    assert [d.track_id for d in odd] == [seen[3].track_id]


def test_a_code_that_does_not_look_like_ours_is_not_taken(seen: list[SortDecision]) -> None:
    count, at_ns = trigger(seen[3])
    told = [ScannerRead(at_ns, "top1", None, count, (("]C0", "https://x"), ("]C0", "JD0146000034")))]
    line = play(told, code_pattern="JD[0-9]{10}")
    codes = {d.track_id: d.codes for d in line.decisions}
    assert [code.text for code in codes[seen[3].track_id]] == ["JD0146000034"]


def test_conditions_and_a_wrong_check_digit_come_with_the_read(seen: list[SortDecision]) -> None:
    told = []
    for decision, flags, texts in (
        (seen[3], ("OPEN",), ("RR473124820DE",)),
        (seen[5], ("DG", "WET"), ("RR473124820DE", "RR473124829DE")),
    ):
        count, at_ns = trigger(decision)
        codes = tuple(("]C0", text) for text in texts)
        told.append(ScannerRead(at_ns, "top1", None, count, codes, None, None, flags))
    of_track = {d.track_id: d for d in play(told).decisions}
    assert of_track[seen[3].track_id].flags == ("CHECK_FAIL", "OPEN")
    assert of_track[seen[5].track_id].flags == ("DG", "WET")
    assert not {"DG", "OPEN"} & set(of_track[seen[7].track_id].flags)


def test_a_read_without_a_place_is_counted() -> None:
    line = play(
        [ScannerRead(10, "top1", None, None, (("]C1", "1"),)), ScannerRead(11, "who", None, 5, (("]C1", "1"),))]
    )
    assert line.pipeline.scanned is not None
    assert line.pipeline.scanned.unplaced == 2
    assert not any(d.codes for d in line.decisions)


@pytest.mark.parametrize(
    ("aim", "name"),
    [
        ("]C1", "GS1-128"),
        ("]C0", "Code128"),
        ("]d2", "GS1-DataMatrix"),
        ("]Q1", "QRCode"),
        ("Code128", "Code128"),
        ("", "unknown"),
    ],
)
def test_names_of_symbologies(aim: str, name: str) -> None:
    assert symbology_of(aim) == name


# --- whose it is ---------------------------------------------------------------------------------------------------


def parcel(
    track_id: int, x1: float, x2: float, *, y: float = 500.0, state: TrackState = TrackState.CONFIRMED
) -> Parcel:
    box = (x1, y - 100.0, x2, y + 100.0)
    return Parcel(Track(track_id, state, 0, box, (0.0, 0.0), True, 0.9, 0, 5, 0, 0), "carton", 1.0)


def owners(reads: list[ScannerRead], *parcels: Parcel, window_mm: float = 100.0, items: dict[int, Span] | None = None):
    motion = EncoderMotion(mm_per_count=1.0)
    motion.feed(0, 0)
    motion.feed(10**9, 1000)
    section = IdentifySection.model_validate({"scanners": {"s": {"at_mm": 0.0, "window_mm": window_mm}}})
    belt_map = BeltMap(FLAT, image_size_px=(2000, 1000))
    scanned = ScannerReads(section, motion=motion, belt_map=belt_map, span_of=None if items is None else items.get)
    for read in reads:
        scanned.hear(read)
    return [p.track.track_id for p in scanned.give(parcels, travel_mm=1000.0) if p.codes]


def read_at(x_now_mm: float, plc_index: int | None = None) -> ScannerRead:
    """A read of what is now, at travel 1000, at this belt coordinate; the trigger is at 0."""
    return ScannerRead(10**9, "s", plc_index, round(1000.0 - x_now_mm), (("]C0", "A"),))


@pytest.mark.parametrize(
    ("x_mm", "whose"),
    [
        (600.0, [1]),  # in it
        (420.0, [1]),  # 80 before it
        (390.0, []),  # 110 before it
        (830.0, [1]),  # in the gap of 80, nearer to 1
        (850.0, [2]),  # nearer to 2
        (840.0, []),  # in the very middle
        (1290.0, [2]),
        (1310.0, []),
    ],
)
def test_nearest_within_the_window_and_half_the_gap(x_mm: float, whose: list[int]) -> None:
    assert owners([read_at(x_mm)], parcel(1, 500.0, 800.0), parcel(2, 880.0, 1200.0)) == whose


def test_side_by_side_it_is_nobodys() -> None:
    assert owners([read_at(700.0)], parcel(1, 600.0, 900.0, y=300.0), parcel(2, 650.0, 950.0, y=700.0)) == []
    assert owners([read_at(620.0)], parcel(1, 600.0, 900.0, y=300.0), parcel(2, 650.0, 950.0, y=700.0)) == [1]


def test_what_is_not_believed_yet_takes_no_read_and_stands_in_nobodys_way() -> None:
    doubtful = parcel(2, 650.0, 950.0, state=TrackState.TENTATIVE)
    assert owners([read_at(700.0)], parcel(1, 600.0, 900.0), doubtful) == [1]


def test_the_index_of_the_plc_says_whose_it_is() -> None:
    items = {7: Span(-400.0, -200.0)}  # now from 600 to 800
    assert owners([ScannerRead(10**9, "far", 7, None, (("]C0", "A"),))], parcel(1, 600.0, 800.0), items=items) == [1]
    assert owners([ScannerRead(10**9, "far", 8, None, (("]C0", "A"),))], parcel(1, 600.0, 800.0), items=items) == []
    assert owners([read_at(1500.0, 7)], parcel(1, 600.0, 800.0), parcel(2, 1400.0, 1600.0), items=items) == [1]


@given(
    st.lists(st.tuples(st.integers(0, 2**32 - 1), st.none() | st.integers(0, 3)), max_size=30),
    st.lists(st.tuples(st.floats(0, 1500), st.floats(10, 500)), max_size=6),
)
def test_no_read_has_two_owners(heard, laid) -> None:
    items = {1: Span(-400.0, -200.0)}
    parcels = [parcel(i, x, x + w) for i, (x, w) in enumerate(laid, start=1)]
    for count, index in heard:
        assert len(owners([ScannerRead(10**9, "s", index, count, (("]C0", "A"),))], *parcels, items=items)) <= 1
