"""What the page and evidence cost: the arithmetic of the verdict, and that the measurement itself runs."""

from __future__ import annotations

import random

import pytest
from test_line_status import MS, decision, step

from edge_sorter.clock import FileClock
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.replay import page_cost
from edge_sorter.replay.cost import (
    CostWatch,
    OnTheLoop,
    delays_nothing,
    on_a_free_machine,
    p99_difference,
    stays_below,
    summary,
    tell,
)


def watch_of(*, later_ms: float, rounds: int) -> CostWatch:
    """Rounds of 500 frames of 10 to 20 ms; with it, every one of them is later."""
    dice = random.Random(1)
    watch = CostWatch(FileClock())
    for _ in range(rounds):
        for side, more in (("without", 0.0), ("with", later_ms)):
            watch.latency_ms[side].append([dice.uniform(10, 20) + more for _ in range(500)])
    return watch


@pytest.mark.parametrize(
    ("later_ms", "rounds", "said"), [(0.0, 6, "yes"), (9.0, 6, "no"), (0.0, 3, "too short to say")]
)
def test_a_delay_is_found_and_none_is_none(later_ms, rounds, said):
    interval = p99_difference(watch_of(later_ms=later_ms, rounds=rounds))
    assert delays_nothing(interval) == said
    if interval is not None:
        assert interval[0] <= later_ms <= interval[1] + 0.2


def test_what_straddles_the_limit_is_not_called():
    assert delays_nothing((3.0, 7.0)) == "too short to say"


def test_one_round_above_the_limit_breaks_the_promise():
    assert stays_below([0.4, 0.5], 3.0) == "yes"
    assert stays_below([0.4, 3.1], 3.0) == "no"
    assert stays_below([], 3.0) == "too short to say"


def test_a_machine_that_is_busy_with_other_things_proves_nothing(capsys):
    promises = on_a_free_machine({"fast": "yes", "small": "no"}, {"fps": 25.0}, {"fps": 3.2})
    assert promises == {"fast": "too busy to say", "small": "too busy to say"}
    assert on_a_free_machine({"small": "no"}, {"fps": 25.0}, {"fps": 24.8}) == {"small": "no"}
    assert tell({}, promises) == 0
    assert tell({}, {"small": "no"}) == 1
    assert '"too busy to say"' in capsys.readouterr().out


def test_only_what_happens_in_a_stretch_is_counted():
    watch = CostWatch(FileClock())
    loop = OnTheLoop(watch)
    one = step(1, MS, decision(1, captured_ns=MS))
    loop.on_step(one, (PublishResult.SENT,), 0)
    watch.note("with", 0.0)
    watch.side = "with"
    loop.on_step(one, (PublishResult.LATE,), 0)
    loop.on_step(step(2, MS), (), 0)
    found = summary(watch, "with", seconds=1.0)
    assert (found["frames"], found["decided"], found["not_sent"]) == (2, 1, 1)
    assert summary(watch, "without", seconds=1.0) == {"frames": 0}
    assert watch.started.is_set()
    assert loop.spent_ns > 0


@pytest.mark.slow
def test_the_page_is_measured_with_viewers_that_come_and_go(monkeypatch):
    monkeypatch.setattr(page_cost, "SETTLE_S", 1.0)
    figures, promises = page_cost.measure(rounds=1, seconds=0.5, viewers=2)
    assert len(figures["page_cpu_percent_nobody_looking"]) == len(figures["page_cpu_percent_with_viewers"]) == 1
    assert set(promises.values()) <= {"yes", "too short to say", "too busy to say"}
