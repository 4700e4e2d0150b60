"""Decisions of the measured line carried out: what lands where, and faults of belt, encoder and lanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.sim.counted_belt import CountedBelt, with_stops
from edge_sorter.sim.levels import LEVELS, BeltKnobs, CameraKnobs, DetectorKnobs, Level, ParcelKnobs
from edge_sorter.sim.line import drive
from edge_sorter.sim.simulate import run_shard, simulate
from edge_sorter.sim.twin.faults import FaultSection, parse_fault

PERFECT = Level(
    "perfect",
    BeltKnobs(speed_mm_s=2000.0),
    ParcelKnobs(gap_mm=(300.0, 400.0)),
    CameraKnobs(fps=20.0),
    DetectorKnobs(),
)
PARCELS = 40


def landed(monkeypatch, *faults, level=PERFECT):
    monkeypatch.setitem(LEVELS, "perfect", level)
    tally = run_shard("perfect", 3, 0, PARCELS, tuple(parse_fault(fault) for fault in faults))
    assert sum(tally.landed["lanes"].values()) == PARCELS
    return tally


def rides():
    rng = np.random.Generator(np.random.PCG64(1))
    return drive(rng, BeltKnobs(2000.0, profile="stop-and-go", run_mm=(2000.0, 6000.0)), travel_mm=60_000.0)


def test_without_faults_the_belt_is_the_ride():
    ride = rides()
    at_s = np.linspace(0.0, ride.end_s + 3.0, 5000)
    belt = CountedBelt.of(ride, [FaultSection(kind="lane_full", lane="L01"), FaultSection(kind="no_acks")])
    assert belt.ride is ride
    assert belt.counted_of(ride.travel_mm(at_s)) is not None
    np.testing.assert_array_equal(belt.counted_of(belt.travel_mm(at_s)), ride.travel_mm(at_s))


def test_an_emergency_stop_holds_the_belt_and_then_it_goes_on_as_it_would_have():
    ride = rides()
    stopped = with_stops(ride, [(7.3, 2.0), (20.0, 1.0)])
    at_s = np.linspace(0.0, ride.end_s - 0.1, 4000)
    wait_s = np.where(at_s < 7.3, 0.0, 2.0) + np.where(at_s < 18.0, 0.0, 1.0)
    late = stopped.travel_mm(at_s + wait_s)
    assert np.abs(late - ride.travel_mm(at_s)).max() < 0.05
    standing = stopped.travel_mm(np.array([7.3, 8.0, 9.29]))
    assert np.ptp(standing) < 0.01
    later = stopped.travel_mm(np.array([stopped.end_s, stopped.end_s + 1.0]))
    assert later[1] - later[0] == pytest.approx(ride.speed_mm_s[-1], abs=0.1)


def test_the_encoder_counts_its_share_and_nothing_while_it_is_lost():
    ride = rides()
    faults = [parse_fault("encoder_slip@5+4:0.1"), parse_fault("encoder_lost@7+1"), parse_fault("encoder_slip@20:0.5")]
    belt = CountedBelt.of(ride, faults)

    def counted(begin_s, end_s):
        went = belt.travel_mm(np.array([begin_s, end_s]))
        return np.diff(belt.counted_of(went))[0], np.diff(went)[0]

    for begin_s, end_s, share in ((0, 5, 1), (5, 7, 0.9), (7, 8, 0), (8, 9, 0.9), (9, 20, 1), (20, ride.end_s, 0.5)):
        got, went = counted(float(begin_s), float(end_s))
        assert got == pytest.approx(share * went, abs=1e-6)


def test_right_decisions_land_right(monkeypatch):
    tally = landed(monkeypatch)
    assert tally.outcomes["right"] == PARCELS
    assert tally.landed["outcomes"] == {"right": PARCELS}
    assert tally.landed["results"] == {"AS_DECIDED": PARCELS}


def test_parcels_closer_than_a_diverter_moves_go_straight_on(monkeypatch):
    fast = replace(PERFECT, belt=BeltKnobs(speed_mm_s=2500.0), parcels=ParcelKnobs(gap_mm=(70.0, 300.0)))
    tally = landed(monkeypatch, level=fast)
    assert tally.landed["results"]["ABORT_GAP"] > 2
    assert tally.landed["outcomes"].get("wrong", 0) == 0
    assert tally.landed["outcomes"]["safe"] >= tally.landed["results"]["ABORT_GAP"] - 3  # NR is where some belong


def test_a_full_lane_takes_nothing(monkeypatch):
    tally = landed(monkeypatch, "lane_full:L03")
    assert "L03" not in tally.landed["lanes"]
    assert tally.landed["results"]["ABORT_FULL"] > 6
    assert tally.outcomes["right"] == PARCELS, "the sorter is not told"


def test_an_emergency_stop_flushes_what_was_in_view(monkeypatch):
    tally = landed(monkeypatch, "e_stop@6+2")
    assert tally.exception_reasons["STOP_FLUSH"] >= 1
    assert tally.landed["outcomes"].get("wrong", 0) == 0
    assert (tally.outcomes["none"], tally.outcomes["two"]) == (0, 0)
    assert tally.outcomes["right"] + tally.outcomes["to_exception"] == PARCELS


def test_a_slipping_wheel_is_noticed_and_nothing_is_sorted_by_it_any_more(monkeypatch):
    tally = landed(monkeypatch, "encoder_slip@4:0.15")
    assert tally.exception_reasons["DEGRADED_MODE"] > 10
    assert tally.landed["results"].get("NOT_AS_DECIDED", 0) + tally.landed["results"].get("STRUCK", 0) > 0
    assert tally.outcomes["wrong_silently"] == 0


def test_a_lost_encoder_costs_the_few_that_were_on_the_belt(monkeypatch):
    tally = landed(monkeypatch, "encoder_lost@6+1")
    untrusted = sum(tally.landed["results"].get(name, 0) for name in ("FLUSHED", "NO_DECISION"))
    assert 2 <= untrusted < 0.3 * PARCELS
    assert tally.landed["outcomes"]["right"] >= PARCELS - untrusted
    assert tally.landed["outcomes"].get("wrong", 0) <= untrusted, "a diverter waits for counts that do not come"
    assert tally.outcomes["wrong_silently"] == 0


def test_the_report_has_shares_with_intervals_and_only_where_it_was_asked(monkeypatch):
    monkeypatch.setitem(LEVELS, "perfect", PERFECT)
    report = simulate(20, "perfect", processes=1, land_with=())
    assert report["landed"]["shares"]["right"] | {"low": 0} == {"count": 20, "share": 1.0, "low": 0, "high": 1.0}
    assert sum(counts["right"] for counts in report["landed"]["by_kind"].values()) == 20
    assert "landed" not in simulate(20, "perfect", processes=1)


@pytest.mark.parametrize(
    ("fault", "told"),
    [("no_acks", "nothing is sent here"), ("lane_full:L77", "lanes are L01"), ("e_stop@3", "e_stop needs for_s")],
)
def test_faults_that_make_no_sense_are_refused_before_the_work(fault, told):
    with pytest.raises(ConfigError, match=told):
        simulate(10, "easy", processes=1, land_with=[parse_fault(fault)])
