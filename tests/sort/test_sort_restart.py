"""Parcels in view at the start: the exception lane, unless the PLC's index and a code say that nobody decided them."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from sorting_world import feed, make_belt, make_router, parcel

from edge_sorter.config import IdentifySection
from edge_sorter.event_record import event_from, event_record
from edge_sorter.events import DecidedBefore, LineEvent, PlcItem, ScannerRead
from edge_sorter.types import Reason, SortDecision

START = 2**32 - 3000
"""Count of `golden_line.encoder` at travel 0."""
EYE_MM, LINE_MM = 500.0, 1140.0
FRAMES = 60
NOTHING = DecidedBefore(0)


def play(*told: LineEvent, unseen: str = "count") -> list[SortDecision]:
    """Let a line start with parcels in view; return what it decides about those."""
    config = config_with(
        encoder={"source": "mqtt", "mm_per_count": 0.5},
        camera_mm=CAMERA_MM,
        photo_eye={"at_mm": EYE_MM, "unseen": unseen},
    )
    sort = config.sort.model_copy(update={"at_start": "flush"})
    identify = IdentifySection.model_validate({"scanners": {"top1": {"at_mm": 200.0}}})
    line = GoldenLine(config.model_copy(update={"sort": sort, "identify": identify}))
    line.frames = line.frames[:FRAMES]
    samples = encoder(lambda at_s: 1000.0 * at_s, seconds=FRAMES / 25 + 0.1)
    decisions = line.play([*samples, *told]).decisions
    first = {p.track.track_id for step in line.steps for p in step.parcels if p.track.in_view_at_start}
    return [decision for decision in decisions if decision.track_id in first or not decision.track_id]


def item(seen: SortDecision, index: int, *, at_s: float = 0.06, off_mm: float = 0.0, longer_mm: float = 0.0) -> PlcItem:
    """What a PLC tells again when it hears of the new run: where the parcel passed its eye."""
    assert seen.position.lead_mm is not None
    assert seen.position.trail_mm is not None
    at_eye = [mm - (LINE_MM - EYE_MM) for mm in (seen.position.lead_mm - longer_mm, seen.position.trail_mm + longer_mm)]
    lead, trail = ((START + round(2 * (mm + off_mm))) % 2**32 for mm in at_eye)
    return PlcItem(round(at_s * 1e9), index, lead, trail)


def read(index: int, text: str) -> ScannerRead:
    return ScannerRead(70_000_000, "side", index, None, (("]C0", text),))


@pytest.fixture(scope="module")
def seen() -> list[SortDecision]:
    return play(NOTHING)


def reasons(decisions: Iterable[SortDecision]) -> list[Reason]:
    return [decision.reason for decision in decisions]


def test_without_the_plc_all_of_them_go_to_the_exception_lane(seen: list[SortDecision]) -> None:
    assert len(seen) >= 2
    assert set(reasons(seen)) == {Reason.RESTART_FLUSH}


def test_index_and_code_together_make_a_parcel_known_again(seen: list[SortDecision]) -> None:
    both, only_index = play(NOTHING, item(seen[0], 65_535), item(seen[1], 0), read(65_535, "JD0146"))[:2]
    assert (both.reason, both.plc_index, both.codes[0].text) == (Reason.PLAN_MATCH, 65_535, "JD0146")
    assert (only_index.reason, only_index.plc_index) == (Reason.RESTART_FLUSH, 0)


@pytest.mark.parametrize(
    "told",
    [
        [],
        [DecidedBefore(0, (7,))],
        [DecidedBefore(0, (), ("JD0146",))],
    ],
    ids=["nobody kept what was decided before", "the index was decided before", "the code was decided before"],
)
def test_who_may_have_been_decided_before_is_not_known(seen: list[SortDecision], told: list[LineEvent]) -> None:
    first = play(*told, item(seen[0], 7), read(7, "JD0146"))[0]
    assert (first.reason, first.plc_index) == (Reason.RESTART_FLUSH, 7)


@pytest.mark.parametrize(
    ("change", "index"), [({"off_mm": 60.0}, None), ({"off_mm": 40.0}, 7), ({"off_mm": 40.0, "longer_mm": 60.0}, 7)]
)
def test_an_item_that_lies_elsewhere_or_is_longer_makes_nobody_known(
    seen: list[SortDecision], change: dict[str, float], index: int | None
) -> None:
    first = play(NOTHING, item(seen[0], 7, **change), read(7, "JD0146"))[0]
    known = index is not None and "longer_mm" not in change
    assert first.plc_index == index
    assert (first.reason is Reason.RESTART_FLUSH) is not known


def test_two_items_where_one_parcel_lies_make_nobody_known(seen: list[SortDecision]) -> None:
    first = play(NOTHING, item(seen[0], 7), item(seen[0], 8, off_mm=15.0), read(7, "JD0146"))[0]
    assert (first.reason, first.plc_index) == (Reason.RESTART_FLUSH, None)


def test_items_told_before_the_first_sample_of_the_encoder_wait_for_it(seen: list[SortDecision]) -> None:
    first = play(NOTHING, item(seen[0], 7, at_s=-0.5), read(7, "JD0146"))[0]
    assert (first.reason, first.plc_index) == (Reason.PLAN_MATCH, 7)


def test_what_the_plc_tells_again_of_parcels_past_the_line_is_nobodys_miss(seen: list[SortDecision]) -> None:
    """The run before decided them; their items must not make exceptions of them now."""
    past = item(seen[0], 9, off_mm=-1300.0)
    told = play(NOTHING, past, unseen="exception")
    assert [decision.plc_index for decision in told if not decision.track_id] == []


def test_what_was_decided_before_stays_as_it_is_in_a_journal() -> None:
    event = DecidedBefore(5, (1, 65_535), ("a", "b"))
    assert event_from(event_record(event)) == event
    assert event_from(event_record(DecidedBefore(5))) == DecidedBefore(5)


def test_a_parcel_the_model_missed_in_the_first_pictures_was_in_view_all_the_same() -> None:
    belt = make_belt()
    router = make_router(belt, flush_at_start=True)
    feed(router, belt, 0.0)
    decisions = []
    for step in range(5, 50):
        at_s, moved_mm = step * 0.04, step * 40.0
        there, entered = parcel(1, at_s, 700.0 + moved_mm), parcel(2, at_s, 10.0 + moved_mm - 200.0)
        past = parcel(3, at_s, 1150.0 + moved_mm)
        decisions += feed(router, belt, at_s, there, entered, past)
    assert [(d.track_id, d.reason) for d in decisions] == [(1, Reason.RESTART_FLUSH), (2, Reason.PLAN_MATCH)]
    assert router.counts.unseen == 0, "what was past the line before it was first seen belongs to the run before"


def test_after_a_while_nothing_was_in_view_at_the_start() -> None:
    belt = make_belt()
    router = make_router(belt, flush_at_start=True)
    feed(router, belt, 0.0)
    decisions = [
        d for step in range(20) for d in feed(router, belt, 60.0 + step * 0.04, parcel(1, 60.0, 900.0 + step * 40))
    ]
    assert [d.reason for d in decisions] == [Reason.PLAN_MATCH]
