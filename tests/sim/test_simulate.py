"""The simulated line: its world keeps its promises, its truth is exact, and its verdict counts what happened."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edge_sorter.errors import ConfigError
from edge_sorter.sim.boxes import SEVERAL
from edge_sorter.sim.interval import clopper_pearson
from edge_sorter.sim.levels import LEVELS, BeltKnobs, CameraKnobs, DetectorKnobs, Level, ParcelKnobs
from edge_sorter.sim.line import BELT_WIDTH_MM, DOUBLE, JAMMED, SIDE_BY_SIDE, SINGLE, drive, lay, travel_needed_mm
from edge_sorter.sim.looks import CAMERA, IMAGE_PX
from edge_sorter.sim.measure import measure
from edge_sorter.sim.scenario import CLASSES
from edge_sorter.sim.simulate import LINE_MM, run_shard, simulate

PERFECT = Level("perfect", BeltKnobs(speed_mm_s=1000.0), ParcelKnobs(), CameraKnobs(fps=30.0), DetectorKnobs())


def generator(seed=1):
    return np.random.Generator(np.random.PCG64(seed))


def measured_line(level, *, count=60, seed=1):
    parcels = lay(generator(seed), level.parcels, count)
    ride = drive(generator(seed + 1), level.belt, travel_mm=travel_needed_mm(parcels))
    return parcels, ride, measure(generator(seed + 2), level, parcels, ride, line_mm=LINE_MM)


def test_parcels_lie_on_the_belt_and_not_in_one_another():
    parcels = lay(generator(), LEVELS["hard"].parcels, 3000)
    low, high = parcels.lateral_mm - parcels.reach_mm[:, 1], parcels.lateral_mm + parcels.reach_mm[:, 1]
    assert low.min() > 0.0
    assert high.max() < BELT_WIDTH_MM
    front, rear = parcels.start_mm + parcels.reach_mm[:, 0], parcels.start_mm - parcels.reach_mm[:, 0]
    for i in range(1, len(parcels)):
        beside = parcels.partner[i] == i - 1 and parcels.group[i] == SIDE_BY_SIDE
        if beside:
            assert high[i] < low[i - 1] or high[i - 1] < low[i]
        else:
            assert front[i] <= rear[:i].min() + 0.1  # also of the pair before it
    shares = np.bincount(parcels.group, minlength=3) / len(parcels)
    assert shares[DOUBLE] == pytest.approx(0.04, abs=0.012)
    assert shares[SIDE_BY_SIDE] == pytest.approx(0.04, abs=0.012)


def test_partners_are_mutual_and_touch():
    parcels = lay(generator(), LEVELS["hard"].parcels, 3000)
    for i in np.flatnonzero(parcels.group != SINGLE):
        assert parcels.partner[parcels.partner[i]] == i
    for i in np.flatnonzero((parcels.group == DOUBLE) & (parcels.partner < np.arange(3000))):
        gap = parcels.start_mm[i - 1] - parcels.reach_mm[i - 1, 0] - parcels.start_mm[i] - parcels.reach_mm[i, 0]
        assert -0.1 <= gap <= 8.1


ROUGH = ParcelKnobs(slides=0.3, jams=0.05, doubles=0.02, side_by_side=0.02)


def test_parcels_that_slide_or_stand_never_pass_through_another_nor_run_back():
    parcels = lay(generator(), ROUGH, 400)
    everybody = np.arange(400)
    begin, over, most = parcels.slip_mm.T
    stuck, slid = over <= most, (most > 0.0) & (over > most)
    assert stuck.sum() > 30
    assert slid.sum() > 60
    assert (parcels.group == JAMMED).sum() > 20
    assert ((parcels.start_mm + begin + over - most)[most > 0.0] < LINE_MM - 100.0).all()  # over before the line
    before, alone = None, parcels.group == SINGLE
    for travel in np.arange(0.0, travel_needed_mm(parcels), 20.0):
        place = parcels.start_mm + travel - parcels.slipped_mm(everybody, np.full(400, travel))
        apart = (place - parcels.reach_mm[:, 0])[:-1] - (place + parcels.reach_mm[:, 0])[1:]
        assert apart[(alone | (parcels.group == JAMMED))[1:]].min() > -0.1
        if before is not None:
            moved = place - before
            assert moved.min() > -0.1
            assert moved.max() < 20.1
        before = place
    touching = (parcels.group[:-1] == JAMMED) & (parcels.group[1:] == JAMMED) & stuck[1:] & stuck[:-1]
    assert np.median(apart[touching]) == pytest.approx(0.0, abs=0.1)


def test_a_line_without_slides_and_jams_is_the_line_it_was():
    calm, rough = lay(generator(), ParcelKnobs(), 50), lay(generator(), ParcelKnobs(slides=0.5, jams=0.1), 50)
    assert not calm.slip_mm[:, 2].any()
    assert rough.slip_mm[:, 2].any()
    assert (calm.start_mm == rough.start_mm).all()
    assert (calm.lateral_mm == rough.lateral_mm).all()
    digest = hashlib.sha256(np.concatenate((calm.start_mm, calm.lateral_mm, calm.size_mm.ravel())).tobytes())
    assert digest.hexdigest()[:16] == "138789291801e291"


@pytest.mark.parametrize(("knobs", "cause"), [(ParcelKnobs(slides=0.4), "slid"), (ParcelKnobs(jams=0.03), "jammed")])
def test_what_slides_or_stands_still_gets_one_decision_of_its_own(knobs, cause, monkeypatch):
    monkeypatch.setitem(LEVELS, "perfect", replace(PERFECT, parcels=knobs))
    tally = run_shard("perfect", 3, 0, 120)
    assert tally.by_cause[cause]["parcels"] > 8
    assert (tally.outcomes["none"], tally.outcomes["two"], tally.ghosts) == (0, 0, 0)
    assert tally.outcomes["right"] == 120


@pytest.mark.parametrize("profile", ["constant", "ramp", "stop-and-go"])
def test_travel_is_the_integral_of_speed(profile):
    ride = drive(generator(), BeltKnobs(2000.0, profile=profile, run_mm=(2000.0, 6000.0)), travel_mm=60_000.0)
    at_s = np.linspace(0.0, ride.end_s, 200_001)
    travel, speed = ride.travel_mm(at_s), np.interp(at_s, ride.at_s, ride.speed_mm_s)
    integral = np.concatenate(([0.0], np.cumsum((speed[1:] + speed[:-1]) / 2.0 * np.diff(at_s))))
    assert np.abs(travel - integral).max() < 1.0
    assert travel[-1] >= 60_000.0
    assert (np.diff(travel) >= -1e-9).all()
    assert bool(speed.min() < 1.0) is (profile == "stop-and-go")


def test_a_perfect_detector_gives_the_hull_of_the_parcel_in_every_frame():
    parcels, ride, seen = measured_line(PERFECT)
    rows = seen.rows
    for row in range(0, len(rows.frame), 37):
        i, frame = int(rows.source[row]), int(rows.frame[row])
        corners = parcels.corners_mm()[i]
        corners[:, 0] += ride.travel_mm(np.array([frame / 30.0]))
        hull = CAMERA.project(corners)
        expected = np.clip(np.concatenate((hull.min(axis=0), hull.max(axis=0))), 0.0, (*IMAGE_PX, *IMAGE_PX))
        assert rows.xyxy[row] == pytest.approx(expected, abs=0.04)
        assert rows.class_id[row] == parcels.class_id[i]
    assert not seen.causes[:, 2:].any()


def test_a_perfect_line_is_decided_perfectly(monkeypatch):
    monkeypatch.setitem(LEVELS, "perfect", PERFECT)
    tally = run_shard("perfect", 3, 0, 120)
    assert (tally.outcomes["right"], tally.decisions, tally.ghosts, tally.id_switches) == (120, 120, 0, 0)
    total, squares, most, count = tally.errors["centre_all"]
    assert abs(total / count) < 6.0
    assert most < 20.0
    assert squares > 0.0


def rates(knobs, **camera):
    level = replace(PERFECT, detector=knobs, camera=replace(PERFECT.camera, **camera))
    return measured_line(level, count=300), measured_line(PERFECT, count=300)


def test_misses_and_losses_are_as_many_as_asked():
    (_, _, missing), (_, _, full) = rates(DetectorKnobs(misses=0.1))
    assert len(missing.rows.frame) / len(full.rows.frame) == pytest.approx(0.9, abs=0.01)
    (_, _, losing), (_, _, full) = rates(DetectorKnobs(), lost=0.25, lost_in_a_row=1.5)
    assert len(losing.captured_ns) / len(full.captured_ns) == pytest.approx(0.75, abs=0.02)
    assert (np.diff(losing.captured_ns) > 0).all()


def test_low_confidences_and_wrong_classes_are_as_many_as_asked():
    (parcels, _, seen), _ = rates(DetectorKnobs(low=0.05, confused=0.1))
    assert (seen.rows.class_id != parcels.class_id[seen.rows.source]).mean() == pytest.approx(0.1, abs=0.01)
    assert 0.04 < (seen.rows.confidence < 0.5).mean() < 0.08


def test_a_cut_parcel_is_two_boxes_that_cover_it_and_a_melted_pair_is_one():
    (_, _, cut), (_, _, full) = rates(DetectorKnobs(splits_per_parcel=1.0))
    assert cut.causes[:, 2].mean() > 0.9
    assert len(cut.rows.frame) > len(full.rows.frame)
    (_, _, melted), _ = rates(DetectorKnobs(merges_per_pair=1.0, merge_gap_mm=600.0, episode_frames=8.0))
    assert (melted.rows.source == SEVERAL).sum() > 100
    assert melted.causes[:, 3].sum() > 50


def test_jitter_never_turns_time_back_and_late_frames_are_late():
    (_, _, seen), _ = rates(DetectorKnobs(), stamp_jitter_ms=30.0, late=0.1, latency_ms=(30.0, 70.0))
    assert (np.diff(seen.captured_ns) > 0).all()
    late_ms = (seen.delivered_ns - seen.captured_ns) / 1e6
    assert (late_ms >= 0.0).all()
    assert (late_ms > 99.0).mean() == pytest.approx(0.1, abs=0.02)


def test_the_same_seed_is_the_same_line_however_many_processes_share_it(tmp_path, monkeypatch):
    monkeypatch.setattr("edge_sorter.sim.simulate.SHARD", 40)
    one = simulate(80, "hard", seed=5, processes=1, out_dir=tmp_path / "one")
    again = simulate(80, "hard", seed=5, processes=1)
    other = simulate(80, "hard", seed=6, processes=1)
    assert one == again
    assert one != other
    assert json.loads((tmp_path / "one" / "report.json").read_text()) == one
    assert {"report.json", "failures.jsonl"} == {path.name for path in (tmp_path / "one").iterdir()}


@pytest.mark.slow
def test_two_processes_count_as_one_does():
    assert simulate(1500, "hard", seed=5, processes=2) == simulate(1500, "hard", seed=5, processes=1)


@pytest.mark.parametrize("level", ["easy", "normal"])
def test_every_parcel_of_a_good_line_gets_one_right_decision(level):
    report = simulate(150, level, seed=2, processes=1)
    counts = {name: rate["count"] for name, rate in report["per_million"].items()}
    assert (counts["none"], counts["two"], counts["wrong_silently"]) == (0, 0, 0)
    assert report["position_error_mm"]["centre_all"]["mean_and_sigma_3"] < 20.0


def test_a_hard_line_never_gives_two_decisions_and_says_why_it_doubts():
    report = simulate(300, "hard", seed=4, processes=1)
    counts = {name: rate["count"] for name, rate in report["per_million"].items()}
    assert counts["two"] == 0
    assert counts["wrong_silently"] <= 1
    assert set(report["exception_reasons"]) <= {"DOUBLE", "SIDE_BY_SIDE", "LOW_CONF", "TRACK_LOST"}


def test_errors_of_edges_that_stay_with_a_parcel_do_not_average_out():
    (_, _, seen), (_, _, full) = rates(DetectorKnobs(bias_px=3.0))
    whole = (full.rows.xyxy > 20.0).all(axis=1) & (full.rows.xyxy < (940.0, 520.0, 940.0, 520.0)).all(axis=1)
    errors = (seen.rows.xyxy - full.rows.xyxy)[whole]
    source = full.rows.source[whole]
    mine = np.array([errors[source == i].mean(axis=0) for i in np.unique(source)])
    assert mine.std() == pytest.approx(3.0, abs=0.3)
    assert max(errors[source == i].std(axis=0).max() for i in np.unique(source)) < 0.1


def test_soft_goods_are_taken_for_one_another_and_second_boxes_are_as_sure_as_asked():
    (parcels, _, seen), _ = rates(DetectorKnobs(confused_soft=0.2, doubled=0.1, doubled_sure=0.25))
    truth, given = parcels.class_id[seen.rows.source], seen.rows.class_id
    soft = np.isin(truth, (CLASSES.index("polybag"), CLASSES.index("mailer")))
    assert (truth[~soft] == given[~soft]).all()
    assert (truth[soft] != given[soft]).mean() == pytest.approx(0.2, abs=0.02)
    assert set(given[soft]) == {CLASSES.index("polybag"), CLASSES.index("mailer")}
    assert (seen.rows.confidence < 0.5).mean() == pytest.approx(0.1 * 0.75 / 1.1, abs=0.01)


def test_a_killed_simulation_leaves_nothing_half_written(tmp_path):
    out = tmp_path / "report"
    command = "import sys; from pathlib import Path; from edge_sorter.sim.simulate import simulate; "
    command += (
        "simulate(100_000, 'easy', processes=1, out_dir=Path(sys.argv[1]), progress=lambda *_: print(flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", command, str(out)], stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline()  # a stretch is done, the next one is on its way
        running.kill()
    assert not out.exists()


@pytest.mark.parametrize("place", ["report", "report/deeper"])
def test_a_report_that_could_not_be_written_is_refused_before_the_work(tmp_path, place):
    (tmp_path / "report").write_text("somebody's file")
    with pytest.raises(ConfigError, match="is a file; name a folder"):
        simulate(10**9, "normal", out_dir=tmp_path / place)


def test_no_parcels_are_refused():
    with pytest.raises(ConfigError, match="at least 1"):
        simulate(0, "easy")


def test_an_unknown_level_is_named():
    with pytest.raises(ConfigError, match=", ".join(LEVELS)):
        simulate(10, "brutal")


@pytest.mark.parametrize(
    ("count", "of", "low", "high"),
    [
        (0, 100, 0.0, 1.0 - 0.025 ** (1 / 100)),
        (100, 100, 0.025 ** (1 / 100), 1.0),
        (5, 50, 0.033275, 0.218135),  # tabulated
        (1, 10, 0.002529, 0.445016),
        (0, 100_000, 0.0, 1.0 - 0.025 ** (1 / 100_000)),
        (0, 0, 0.0, 1.0),
    ],
)
def test_intervals_are_those_of_clopper_and_pearson(count, of, low, high):
    assert clopper_pearson(count, of) == pytest.approx((low, high), abs=2e-6)


def test_intervals_agree_with_the_binomial_sum():
    low, high = clopper_pearson(7, 400)

    def at_least(k, p):
        return sum(math.comb(400, i) * p**i * (1 - p) ** (400 - i) for i in range(k, 401))

    assert at_least(7, low) == pytest.approx(0.025, abs=1e-6)
    assert 1.0 - at_least(8, high) == pytest.approx(0.025, abs=1e-6)
