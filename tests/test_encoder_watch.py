"""An encoder that fails, slips or lies is noticed, every decision is then an exception, and nothing is lost."""

from __future__ import annotations

import random

import pytest
from golden_line import CAMERA_MM, Count, GoldenLine, config_with, encoder

from edge_sorter.events import EncoderCount
from edge_sorter.types import Action, Reason

PARCELS = 33
S = 1_000_000_000
ENCODER = {"source": "mqtt", "mm_per_count": 0.5}


def play(count: Count, *, camera: bool = True, **belt: object) -> GoldenLine:
    camera_mm = {"camera_mm": CAMERA_MM} if camera else {}
    return GoldenLine(config_with(encoder=ENCODER, **camera_mm, **belt)).play(encoder(count))


def one_decision_each(line: GoldenLine) -> None:
    assert len(line.decisions) == PARCELS
    assert len({decision.track_id for decision in line.decisions}) == PARCELS


@pytest.mark.parametrize("camera", [True, False])
def test_a_good_encoder_is_believed(camera: bool) -> None:
    line = play(lambda at_s: 1000.0 * at_s, camera=camera)
    assert line.troubles == []
    one_decision_each(line)
    assert {decision.position.ref for decision in line.decisions} == {"ENC1"}


@pytest.mark.parametrize(
    ("share", "camera", "seen"),
    [
        (1.03, True, False),
        (0.97, True, False),
        (1.06, True, True),
        (0.94, True, True),
        (1.20, True, True),
        (0.88, True, True),
        (1.12, False, True),
        (0.80, False, True),
        (0.94, False, False),  # may as well be tall parcels, where nobody said where the camera hangs
    ],
)
def test_slip_against_the_picture_is_noticed_from_five_percent(share: float, camera: bool, seen: bool) -> None:
    line = play(lambda at_s: 1000.0 * at_s if at_s < 10 else 10_000 + share * 1000.0 * (at_s - 10), camera=camera)
    causes = {cause for _, cause in line.troubles} - {None}
    assert causes == ({"ENCODER_SLIP"} if seen else set())
    assert not seen or 11.0 <= line.troubles[0][0] <= 12.5
    one_decision_each(line)


@pytest.mark.parametrize(
    ("count", "cause", "within_s"),
    [
        (lambda at_s: None if 10 < at_s < 13 else 1000.0 * at_s, "ENCODER_LOST", 0.2),
        (lambda at_s: 1000.0 * at_s if at_s < 10 else 10_000.0, "ENCODER_LOST", 0.6),
        (lambda at_s: 1000.0 * at_s if at_s < 10 else 20_000.0 - 1000.0 * at_s, "ENCODER_REVERSED", 0.6),
        (lambda at_s: 1000.0 * at_s if at_s < 10 else 1e6 + 1000.0 * at_s, "ENCODER_LOST", 0.1),
    ],
    ids=["silent", "stuck", "reversed", "reset"],
)
def test_failure_makes_every_decision_an_exception(count: Count, cause: str, within_s: float) -> None:
    line = play(count)
    began_s, first = line.troubles[0]
    assert first == cause
    assert 10.0 <= began_s <= 10.0 + within_s
    one_decision_each(line)
    bad = [(a, b) for (a, why), b in zip(line.troubles, [*(at for at, _ in line.troubles[1:]), 99.0]) if why]  # noqa: B905
    for decision in line.decisions:
        doubtful = any(a <= decision.captured_ns / S < b for a, b in bad)
        assert (decision.reason is Reason.DEGRADED_MODE) == doubtful
        if doubtful:
            assert (decision.action, decision.lane, decision.alternates) == (Action.EXCEPTION, "HOSP", ())


def test_it_is_trusted_again_after_a_second_without_contradiction() -> None:
    line = play(lambda at_s: None if 10 < at_s < 12 else 1000.0 * at_s)
    assert line.troubles == [(10.12, "ENCODER_LOST"), (pytest.approx(13.0, abs=0.06), None)]


def test_while_it_is_silent_the_set_speed_stands_in_and_says_so() -> None:
    line = play(lambda at_s: None if 10 < at_s < 15 else 1000.0 * at_s, speed_mm_s=1000.0)
    one_decision_each(line)
    silent = [decision for decision in line.decisions if 10.2 < decision.crossed_ns / S < 14.9]
    assert len(silent) >= 4
    assert {decision.position.ref for decision in silent} == {"SPEED"}
    assert {(d.position.lead_count, d.deadline_count) for d in silent} == {(None, None)}
    after = [decision for decision in line.decisions if decision.crossed_ns / S > 15.0]
    assert {decision.position.ref for decision in after} == {"ENC1"}


def test_a_count_of_another_length_than_configured_is_noticed() -> None:
    events = [EncoderCount(e.at_ns, e.count, 0.25) for e in encoder(lambda at_s: 1000.0 * at_s)]
    line = GoldenLine(config_with(encoder=ENCODER)).play(events)
    assert line.troubles == [(0.0, "ENCODER_SCALE")]
    assert {decision.reason for decision in line.decisions} == {Reason.DEGRADED_MODE}


@pytest.mark.parametrize("seed", range(3))
def test_samples_late_by_up_to_30_ms_are_no_trouble(seed: int) -> None:
    rng = random.Random(seed)
    events = [
        EncoderCount(e.at_ns + rng.randrange(30_000_000), e.count) for e in encoder(lambda at_s: 1000.0 * at_s, hz=50)
    ]
    line = GoldenLine(config_with(encoder=ENCODER, camera_mm=CAMERA_MM)).play(events)
    assert line.troubles == []
    one_decision_each(line)
