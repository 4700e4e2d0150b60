"""The PLC's items: an index for every parcel, and what does not add up, on the golden journal's boxes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from hypothesis import given
from hypothesis import strategies as st

from edge_sorter.belt import EncoderMotion
from edge_sorter.belt.items import ItemBook, Span
from edge_sorter.events import LineEvent, PlcItem
from edge_sorter.types import Action, Reason, SortDecision

START = 2**32 - 3000
"""Count of `golden_line.encoder` at travel 0."""
EYE_MM = 500.0
LINE_MM = 1140.0
FIRST_INDEX = 65_520
"""The index wraps at 16 bits after 15 parcels."""


def reference() -> list[SortDecision]:
    return GoldenLine(config_with(encoder={"source": "mqtt", "mm_per_count": 0.5})).play(counts()).decisions


def counts() -> list[LineEvent]:
    return list(encoder(lambda at_s: 1000.0 * at_s))


def items(seen: list[SortDecision], change: Callable[[int, PlcItem], PlcItem | None] = lambda _, item: item):
    """What the eye saw: each parcel's ends pass it before the line, a little noise, told 30 ms after the second."""
    told = []
    for i, decision in enumerate(seen):
        noise_mm = 7.0 * (-1) ** i
        lead_mm, trail_mm = (
            mm - (LINE_MM - EYE_MM) + noise_mm for mm in (decision.position.lead_mm, decision.position.trail_mm)
        )
        if lead_mm < 0.0:
            continue
        count = [(START + round(mm * 2)) % 2**32 for mm in (lead_mm, trail_mm)]
        item = change(i, PlcItem(round(trail_mm * 1e6) + 30_000_000, (FIRST_INDEX + i) % 2**16, *count))
        if item is not None:
            told.append(item)
    return told


def play(told: list[LineEvent], **photo_eye: object) -> GoldenLine:
    section = {"at_mm": EYE_MM} | photo_eye
    config = config_with(encoder={"source": "mqtt", "mm_per_count": 0.5}, camera_mm=CAMERA_MM, photo_eye=section)
    return GoldenLine(config).play([*counts(), *told])


@pytest.fixture(scope="module")
def seen() -> list[SortDecision]:
    return reference()


def test_every_parcel_gets_its_index_over_the_wrap(seen: list[SortDecision]) -> None:
    line = play(items(seen))
    known = [decision for decision in line.decisions if decision.plc_index is not None]
    assert [d.plc_index for d in known] == [item.plc_index for item in items(seen)]
    assert len(line.decisions) - len(known) <= 1, "only what had passed the eye before the start has none"
    assert {d.plc_index for d in known} >= {65_535, 0}
    assert not any("UNEXPECTED" in d.flags for d in known)
    assert line.pipeline.items is not None
    assert line.pipeline.items.missed == 0
    assert line.troubles == []


@pytest.mark.parametrize(("unexpected", "reason"), [("flag", Reason.PLAN_MATCH), ("exception", Reason.UNEXPECTED)])
def test_a_parcel_the_plc_does_not_know_is_unexpected(
    seen: list[SortDecision], unexpected: str, reason: Reason
) -> None:
    line = play(items(seen, lambda i, item: None if i == 11 else item), unexpected=unexpected)
    odd = [d for d in line.decisions if "UNEXPECTED" in d.flags and d.position.lead_mm > EYE_MM]
    assert [d.track_id for d in odd] == [seen[11].track_id]
    assert (odd[0].reason, odd[0].plc_index) == (reason, None)


@pytest.mark.parametrize("unseen", ["count", "exception"])
def test_an_item_no_camera_saw(seen: list[SortDecision], unseen: str) -> None:
    """A ghost of the PLC rides in the widest gap."""
    gaps = [(b.position.lead_mm - a.position.trail_mm, a) for a, b in itertools.pairwise(seen)]
    gap_mm, before = max(gaps, key=lambda gap: gap[0])
    assert gap_mm > 380
    lead_mm = before.position.trail_mm + gap_mm / 2 - 50.0 - (LINE_MM - EYE_MM)
    lead, trail = ((START + round(2 * mm)) % 2**32 for mm in (lead_mm, lead_mm + 100.0))
    ghost = PlcItem(round((lead_mm + 130.0) * 1e6), 777, lead, trail)
    line = play([*items(seen), ghost], unseen=unseen)
    assert line.pipeline.items is not None
    assert line.pipeline.items.missed == 1
    own = [d for d in line.decisions if d.plc_index == 777]
    assert len(own) == (unseen == "exception")
    assert len(line.decisions) == 33 + len(own)
    for decision in own:
        assert (decision.action, decision.lane, decision.reason) == (Action.EXCEPTION, "HOSP", Reason.TRACK_LOST)
        assert (decision.position.lead_count, decision.position.trail_count) == (
            (lead + 2 * 640) % 2**32,
            (trail + 2 * 640) % 2**32,
        )
        assert decision.deadline_ns > decision.captured_ns
        assert (decision.class_name, decision.codes) == ("", ())


def test_two_lengths_in_a_row_that_differ_flush_and_one_that_agrees_ends_it(seen: list[SortDecision]) -> None:
    def longer(i: int, item: PlcItem) -> PlcItem:
        if i not in (10, 11):
            return item
        lead, trail = ((item.lead_count - 120) % 2**32, (item.trail_count + 120) % 2**32)
        return PlcItem(item.at_ns + 60_000_000, item.plc_index, lead, trail)

    line = play(items(seen, longer))
    causes = [cause for _, cause in line.troubles]
    assert causes == ["MISMATCH_FLUSH", None]
    flushed = [d for d in line.decisions if d.reason is Reason.MISMATCH_FLUSH]
    assert flushed
    assert all(d.action is Action.EXCEPTION for d in flushed)
    assert {d.rev for d in flushed} >= {1}, "those still ahead of their diverter are decided anew"
    assert len({d.parcel_uid for d in line.decisions}) == 33
    after = [d for d in line.decisions if d.captured_ns > line.troubles[1][0] * 1e9 + 2e9]
    assert after
    assert Reason.MISMATCH_FLUSH not in {d.reason for d in after}


# --- the book ------------------------------------------------------------------------------------------------------


def book(tolerance_mm: float = 50.0) -> tuple[ItemBook, EncoderMotion]:
    motion = EncoderMotion(mm_per_count=1.0)
    motion.feed(0, 0)
    motion.feed(10**9, 1000)
    return ItemBook(motion, at_mm=0.0, line_mm=0.0, tolerance_mm=tolerance_mm, eye="PE1"), motion


def claim(items_: ItemBook, lead_mm: float, length_mm: float = 200.0, travel_mm: float = 1000.0):
    return items_.claim(Span(-lead_mm - length_mm, -lead_mm), travel_mm=travel_mm, speed_mm_s=1000.0)


def test_only_one_parcel_gets_an_item_and_two_that_fit_nobody() -> None:
    items_, _ = book()
    items_.hear(PlcItem(0, 1, 100, 300))
    items_.hear(PlcItem(0, 2, 140, 340))
    assert claim(items_, 120.0) == (None, False, None, False), "both fit"
    items_.hear(PlcItem(0, 3, 500, 700))
    assert claim(items_, 530.0).plc_index == 3
    assert claim(items_, 530.0).plc_index is None
    items_.hear(PlcItem(0, 4, 100, 300, "PE2"))
    assert items_.span_of(4) is None, "another eye"


def test_the_eye_is_given_time_to_speak() -> None:
    items_, _ = book()
    assert not claim(items_, 700.0, travel_mm=1000.0).unexpected, "its end passed at 900, plus 50 mm, plus 200 ms"
    assert claim(items_, 700.0, travel_mm=1151.0).unexpected


def test_the_second_edge_completes_an_item_and_a_wrapped_index_replaces_it() -> None:
    items_, _ = book()
    items_.hear(PlcItem(0, 9, 100))
    assert items_.span_of(9) is None
    assert claim(items_, 130.0, 40.0) == (9, False, None, False)
    items_.hear(PlcItem(0, 9, 100, 320))
    assert items_.span_of(9) == (-320.0, -100.0)
    items_.hear(PlcItem(0, 9, 900, 1100))
    assert claim(items_, 905.0).plc_index == 9


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 2**32 - 1), st.none() | st.integers(0, 2**32 - 1)), max_size=40
    ),
    st.lists(st.tuples(st.floats(-5000, 5000), st.floats(0, 900)), max_size=20),
)
def test_any_items_in_any_order_give_each_index_once(heard, parcels) -> None:
    items_, _ = book()
    for index, lead, trail in heard:
        items_.hear(PlcItem(0, index, lead, trail))
    claimed = [
        found.plc_index for lead, length in parcels if (found := claim(items_, lead, length)).plc_index is not None
    ]
    overdue = [item.plc_index for item in items_.overdue(1e12)]
    assert len(claimed + overdue) == len(set(claimed + overdue)) <= 21
