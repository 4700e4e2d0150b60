"""The PLC's own numbers of parcels, over MQTT: which decision carries which, what does not match, and a restart.

The line is real from the tracker on (`journal_line`), the broker too; judged by the messages the PLC side saw.
"""

from __future__ import annotations

import itertools

import pytest
from golden_line import CAMERA_MM, GoldenLine, config_with, encoder
from journal_line import EYE_MM, LINE_MM, Belt, Eye, Span, playing, spans_of
from mosquitto import wait_until
from plc_side import PlcSide

from edge_sorter.config import Config, PlcSection

pytestmark = [pytest.mark.broker, pytest.mark.slow]

TO_LINE = round(2 * (LINE_MM - EYE_MM))
"""Counts from the eye to the decision line."""
GHOSTS = 40_000
"""First index of items that are nothing."""
TOLERANCE = 2 * 50 + 2
"""Counts: 50 mm, and what rounding adds."""


@pytest.fixture(scope="module")
def spans() -> list[Span]:
    """Where the journal's parcels lie."""
    steady = encoder(lambda at_s: 1000.0 * at_s)
    return spans_of(GoldenLine(config_with(encoder={"source": "mqtt", "mm_per_count": 0.5})).play(steady).decisions)


def config_of(**changes: object) -> Config:
    config = config_with(
        encoder={"source": "mqtt", "mm_per_count": 0.5},
        camera_mm=CAMERA_MM,
        photo_eye={"at_mm": EYE_MM, "unexpected": "exception", "unseen": "exception"},
    )
    return config.model_copy(update=changes)


def decided(plc: PlcSide) -> list[dict]:
    return [decision for _, decision in plc.decisions if decision["rev"] == 0]


def apart(decision: dict, said: tuple[int, int]) -> int:
    """How many counts the middles of a decided parcel and of an item lie apart at the line."""
    ends = (decision["pos"]["lead_cnt"] - said[0] - TO_LINE, decision["pos"]["trail_cnt"] - said[1] - TO_LINE)
    return abs(sum((end + 2**31) % 2**32 - 2**31 for end in ends)) // 2


def test_each_decision_carries_the_index_of_the_item_that_lies_there(broker, spans) -> None:
    middles = [((a[1] + b[0]) / 2, b[0] - a[1]) for a, b in itertools.pairwise(spans)]
    gaps = [(middle_mm - 50, middle_mm + 50) for middle_mm, gap_mm in middles if gap_mm > 300]
    with playing(broker, config_of()) as (plc, _, zero_s):
        eye = Eye(plc, spans, zero_s, first_index=2**16 - 6)
        ghosts = Eye(plc, gaps, zero_s, first_index=GHOSTS)

        def look() -> None:
            eye.look()
            ghosts.look()

        def until(condition, what: str) -> None:
            wait_until(condition, timeout_s=90, what=what, meanwhile=look)

        def matched() -> list[dict]:
            return [decision for decision in decided(plc) if decision.get("plc_index") is not None]

        until(lambda: any(d["plc_index"] >= 2**16 - 6 for d in matched()), "an index before the wrap")
        until(lambda: any(d["plc_index"] < 100 for d in matched()), "one after it")
        eye.shift_mm = 80.0

        def odd(reason: str) -> list[dict]:
            return [d for d in decided(plc) if d["reason"] == reason]

        until(lambda: odd("UNEXPECTED"), "a parcel that has no item within 50 mm")
        until(lambda: odd("TRACK_LOST"), "an item that has no parcel within 50 mm")
    said = eye.said | ghosts.said
    assert len(matched()) == len({d["plc_index"] for d in matched()}), "each index once"
    for decision in matched():
        assert apart(decision, said[decision["plc_index"]]) <= TOLERANCE
    for decision in (*odd("UNEXPECTED"), *odd("TRACK_LOST")):
        assert (decision["action"], decision["lane"]) == ("EXCEPTION", "HOSP")
    assert all("plc_index" not in d for d in odd("UNEXPECTED"))
    assert all("plc_index" in d for d in odd("TRACK_LOST"))
    assert set(plc.actions.values()) == {1}
    assert plc.acted_late == 0


def test_row_07_index_and_code_make_a_parcel_in_view_at_a_restart_known_again(broker, spans, tmp_path) -> None:
    """Runs of one sorter follow each other; each finds parcels in view, which the PLC tells again, one with a code.

    On a busy machine that word may come after the parcel has crossed: then it is flushed, and the next run tries.
    """
    section = PlcSection.model_validate({"gateway": "required", "outbox": {"path": tmp_path / "outbox.sqlite"}})
    base = config_of()
    config = base.model_copy(update={"plc": section, "sort": base.sort.model_copy(update={"at_start": "flush"})})
    in_view, next_one = (spans[1], spans[0]), spans[2]

    def start(number: int, index: int, code: str) -> list[dict]:
        """Let one run decide the two parcels it found in view, and the next; return the decisions on those two."""
        with playing(broker, config, boot_id=f"01JD5Z{number:04d}", live=True) as (plc, _, zero_s):
            eye = Eye(plc, spans, zero_s)
            for place, (lead_mm, trail_mm) in enumerate(in_view):
                eye.tell(index + place, lead_mm, trail_mm)
            plc.say("scan/read", {"scanner": "side", "plc_index": index, "codes": [{"aim": "]C0", "text": code}]})
            behind = Belt.count(zero_s + (next_one[0] - TOLERANCE) / 1000)
            wait_until(lambda: any(_past(d, behind) for d in decided(plc)), timeout_s=60, what="the parcels in view")
            assert set(plc.actions.values()) == {1}
            return [d for d in decided(plc) if not _past(d, behind)]

    assert {d["action"] for d in start(0, 100, "JD0000")} <= {"EXCEPTION"}, "no record of before: nothing is known"
    for attempt in range(1, 9):
        index, code = 100 + 10 * attempt, f"JD{attempt:04d}"
        found = start(attempt, index, code)
        known = [d for d in found if d["action"] != "EXCEPTION"]
        assert [(d.get("plc_index"), d["codes"][0]["text"]) for d in known] in ([], [(index, code)])
        if known:
            break
    else:
        pytest.fail("no parcel was known again in eight starts")
    again = start(99, index, code)
    assert {d["action"] for d in again} <= {"EXCEPTION"}, "the run before decided this index and this code"


def _past(decision: dict, count: int) -> bool:
    """Tell whether a decided parcel reaches the line later than a count; without a counted place it is taken to."""
    return "lead_cnt" not in decision["pos"] or (decision["pos"]["lead_cnt"] - count) % 2**32 < 2**31
