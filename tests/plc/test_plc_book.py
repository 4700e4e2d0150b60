"""The book of stories: every parcel ends exactly once, whatever is answered, however often, in whatever order."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.plc.book import DeliveryBook, Expects, Outcome, Story
from edge_sorter.plc.inbound import AckMessage, AckResult, ConfirmMessage, ConfirmResult
from edge_sorter.plc.lane_trust import LaneTrust
from edge_sorter.types import Action, BeltPosition, Reason, SortDecision

MS = 1_000_000
ALL = Expects(acks=True, confirms=True)


def decision(number: int = 1, *, rev: int = 0, at_ms: int = 0, left_ms: int = 1000, lane: str = "L1") -> SortDecision:
    return SortDecision(
        parcel_uid=f"B-{number:07d}",
        seq=number,
        rev=rev,
        lane=lane,
        alternates=("L2",),
        action=Action.DIVERT,
        reason=Reason.PLAN_MATCH,
        rule=None,
        plan="p#1",
        track_id=number,
        class_name="carton",
        confidence=1.0,
        size_mm=None,
        codes=(),
        flags=(),
        position=BeltPosition("TIME", None, None, None, (0.0, 0.0)),
        crossed_ns=at_ms * MS,
        captured_ns=at_ms * MS,
        deadline_ns=(at_ms + left_ms) * MS,
    )


def ack(number: int = 1, result: AckResult = AckResult.ACCEPTED, *, rev: int = 0, seq: int | None = None) -> AckMessage:
    return AckMessage(boot_id="B", seq=seq or number, parcel_uid=f"B-{number:07d}", rev=rev, result=result)


def confirm(number: int = 1, result: ConfirmResult = ConfirmResult.VERIFIED, **fields) -> ConfirmMessage:
    return ConfirmMessage(parcel_uid=f"B-{number:07d}", result=result, **fields)


def opened(expects: Expects = ALL, **changes) -> DeliveryBook:
    book = DeliveryBook(expects)
    book.sent(decision(**changes), b"payload", seq=1, at_ns=0)
    return book


def ends(book: DeliveryBook) -> list[Outcome | None]:
    return [story.outcome for story in book.finished]


def test_acknowledged_and_verified():
    book = opened()
    book.ack(ack(), at_ns=20 * MS)
    assert not book.finished
    book.confirm(confirm(lane_act="L1"), at_ns=900 * MS)
    (story,) = book.finished
    assert (story.outcome, story.ack, story.ack_ns, story.lane_act) == (
        Outcome.VERIFIED,
        AckResult.ACCEPTED,
        20 * MS,
        "L1",
    )
    assert len(book) == 0


def test_row_15_no_answer_is_asked_for_once_more_with_the_same_bytes_and_then_missed():
    book = opened()
    assert book.due(100 * MS) == []
    (again,) = book.due(101 * MS)
    assert again.payload == b"payload"
    assert book.due(150 * MS) == []
    assert not book.missing
    assert book.due(250 * MS) == []
    assert [story.uid for story in book.missing] == ["B-0000001"]
    for at_ms in (300, 500, 999):
        assert book.due(at_ms * MS) == []
    assert len(book.missing) == 1
    book.due(10_000 * MS)
    assert ends(book) == [Outcome.NO_ACK]


@pytest.mark.parametrize(("left_ms", "due_ms"), [(1000, 100), (300, 60), (100, 30)])
def test_the_wait_for_an_answer_is_a_fifth_of_the_time_left_at_most_100_ms(left_ms, due_ms):
    book = opened(left_ms=left_ms)
    assert book.due(due_ms * MS) == []
    assert len(book.due(due_ms * MS + 1)) == 1


def test_after_the_deadline_nothing_is_sent_again():
    book = opened(left_ms=40)
    assert book.due(41 * MS) == []
    assert len(book.missing) == 1


def test_an_answer_to_the_repetition_saves_it_and_only_the_first_answer_counts():
    book = opened(Expects(acks=True))
    book.due(101 * MS)
    book.ack(ack(), at_ns=130 * MS)
    book.ack(ack(result=AckResult.DUPLICATE), at_ns=131 * MS)
    assert ends(book) == [Outcome.ACCEPTED]
    assert book.counts == {"ACCEPTED": 1, "AFTER_END": 1}


def test_duplicate_as_first_answer_means_that_the_answer_before_was_lost():
    book = opened(Expects(acks=True))
    book.ack(ack(result=AckResult.DUPLICATE), at_ns=1)
    assert ends(book) == [Outcome.ACCEPTED]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (AckResult.LATE, Outcome.LATE),
        (AckResult.LANE_UNAVAILABLE, Outcome.REFUSED),
        (AckResult.STALE_BOOT, Outcome.REFUSED),
        (AckResult.REJECTED, Outcome.REFUSED),
    ],
)
def test_a_refusal_ends_the_story(result, outcome):
    book = opened()
    book.ack(ack(result=result), at_ns=1)
    assert ends(book) == [outcome]
    assert len(book.conflicts) == (result is AckResult.REJECTED)


def test_row_16_no_confirmation_is_unverified_after_the_travel_and_a_fifth():
    book = opened()
    book.ack(ack(), at_ns=1)
    book.due(2200 * MS)
    assert not book.finished
    book.due(2201 * MS)
    assert ends(book) == [Outcome.UNVERIFIED]


def test_a_configured_time_counts_and_a_standing_belt_extends_it():
    book = opened(Expects(acks=True, confirms=True, confirm_after_s={"L1": 3.0}))
    book.ack(ack(), at_ns=1)
    book.stand(5000 * MS)
    book.due(7999 * MS)
    assert not book.finished
    book.due(8001 * MS)
    assert ends(book) == [Outcome.UNVERIFIED]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"lane_act": "L1"}, Outcome.VERIFIED),
        ({"lane_cmd": "L2", "lane_act": "L2"}, Outcome.VERIFIED),  # the alternate, because the first was full
        ({"lane_act": "L9"}, Outcome.MISSORT),  # says all is well, and names another lane
        ({"lane_cmd": "L9", "lane_act": "L9"}, Outcome.MISSORT),
        ({}, Outcome.VERIFIED),
    ],
)
def test_row_17_verified_in_another_lane_is_a_missort(fields, outcome):
    book = opened()
    book.confirm(confirm(**fields), at_ns=1)
    assert ends(book) == [outcome]


def test_a_revision_carries_the_story_on_and_its_refusal_leaves_the_one_before():
    book = opened()
    book.ack(ack(), at_ns=1)
    book.sent(decision(rev=1, lane="OVF"), b"p1", seq=2, at_ns=2)
    book.ack(ack(rev=1, seq=2, result=AckResult.LATE), at_ns=3)
    assert not book.finished
    book.confirm(confirm(lane_act="L1"), at_ns=4)
    (story,) = book.finished
    assert (story.decision.rev, story.outcome) == (0, Outcome.VERIFIED)


def test_a_revision_that_could_not_be_sent_leaves_the_one_before():
    book = opened()
    book.unsent(decision(rev=1), Outcome.LATE)
    assert not book.finished
    assert len(book) == 1


def test_what_was_not_sent_ends_at_once_and_once():
    book = DeliveryBook(ALL)
    book.unsent(decision(), Outcome.LATE)
    book.unsent(decision(rev=1), Outcome.NOT_SENT)
    assert ends(book) == [Outcome.LATE]


def test_where_nobody_answers_the_story_ends_at_the_deadline_as_sent():
    book = opened(Expects())
    book.due(1000 * MS)
    assert not book.finished
    book.due(1001 * MS)
    assert ends(book) == [Outcome.SENT]


def test_answers_to_nothing_are_counted():
    book = opened()
    book.ack(ack(9), at_ns=1)
    book.confirm(confirm(9), at_ns=1)
    book.ack(ack(seq=5), at_ns=1)
    assert book.counts == {"UNKNOWN": 3}


def test_closing_ends_everything():
    book = opened()
    book.sent(decision(2), b"", seq=2, at_ns=0)
    book.close()
    assert ends(book) == [Outcome.UNFINISHED] * 2


steps = st.lists(
    st.tuples(
        st.sampled_from(["sent", "unsent", "ack", "confirm", "due", "stand"]),
        st.integers(1, 4),
        st.integers(0, 2),
        st.sampled_from(list(AckResult)),
        st.sampled_from(list(ConfirmResult)),
        st.integers(0, 900),
    ),
    max_size=40,
)


@settings(max_examples=400, deadline=None)
@given(steps=steps, acks=st.booleans(), confirms=st.booleans())
def test_every_parcel_ends_exactly_once(steps, acks, confirms):
    book = DeliveryBook(Expects(acks=acks, confirms=confirms))
    at_ms, seq, told = 0, 0, set()
    for what, number, rev, answer, seen, wait_ms in steps:
        at_ms += wait_ms
        one = decision(number, rev=rev, at_ms=at_ms)
        if what == "sent":
            seq += 1
            book.sent(one, b"", seq=seq, at_ns=at_ms * MS)
            told.add(one.parcel_uid)
        elif what == "unsent":
            book.unsent(one, Outcome.NOT_SENT)
            told.add(one.parcel_uid)
        elif what == "ack":
            book.ack(ack(number, answer, rev=rev, seq=max(1, seq)), at_ns=at_ms * MS)
        elif what == "confirm":
            book.confirm(confirm(number, seen), at_ns=at_ms * MS)
        elif what == "stand":
            book.stand(wait_ms * MS)
        for story in book.due(at_ms * MS):
            assert at_ms * MS <= story.decision.deadline_ns
    book.close()
    uids = [story.uid for story in book.finished]
    assert sorted(uids) == sorted(told)
    assert all(story.outcome is not None for story in book.finished)
    assert len(book) == 0


def story(outcome: Outcome, *, lane: str = "L1") -> Story:
    seen = None if outcome is Outcome.UNVERIFIED else 5
    return replace(Story(decision(lane=lane)), outcome=outcome, confirm_ns=seen)


def test_three_unverified_in_a_row_make_a_lane_suspect_and_one_confirmation_clears_it():
    trust = LaneTrust()
    for _ in range(2):
        trust.note(story(Outcome.UNVERIFIED))
    trust.note(story(Outcome.UNVERIFIED, lane="L2"))
    assert not trust.unverified
    trust.note(story(Outcome.UNVERIFIED))
    assert trust.unverified == {"L1"}
    trust.note(story(Outcome.VERIFIED))
    assert not trust.unverified


def test_two_missorts_in_a_row_or_three_of_a_hundred_are_too_many():
    trust = LaneTrust()
    trust.note(story(Outcome.MISSORT))
    for _ in range(40):
        trust.note(story(Outcome.VERIFIED))
    trust.note(story(Outcome.MISSORT))
    assert not trust.missorting
    for _ in range(30):
        trust.note(story(Outcome.VERIFIED))
    trust.note(story(Outcome.MISSORT))
    assert trust.missorting == {"L1"}
    trust.reset("L1")
    trust.note(story(Outcome.MISSORT))
    assert not trust.missorting
    trust.note(story(Outcome.MISSORT))
    assert trust.missorting == {"L1"}
