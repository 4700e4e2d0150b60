"""Figures on pictures: worked by hand where they are small, held against the COCO evaluator where they are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_sorter.errors import ModelError
from edge_sorter.lifecycle.evaluation.compare import apart, compare
from edge_sorter.lifecycle.evaluation.curves import curve
from edge_sorter.lifecycle.evaluation.faults import confusion, faults_of
from edge_sorter.lifecycle.evaluation.labelled import Labelled
from edge_sorter.lifecycle.evaluation.match import match, overlaps, pair, without_classes
from edge_sorter.lifecycle.evaluation.measure import ALL, Looked, as_json, measure
from edge_sorter.lifecycle.evaluation.precision import Ranked, draws, figures, interval_95, rank
from edge_sorter.lifecycle.evaluation.reliability import reliability
from edge_sorter.types import Detections
from tests.lifecycle.coco_reference import coco_map

CLASSES = ("carton", "polybag")
A, B, C = [0, 0, 100, 100], [200, 0, 300, 100], [0, 200, 100, 300]
NOWHERE = [400, 400, 440, 440]


def labelled(boxes: list[list[float]], class_id: list[int], name: str = "a.png") -> Labelled:
    return Labelled(Path(name), np.array(boxes, np.float32).reshape(-1, 4), np.array(class_id, np.int64), (500, 500))


def found(*rows: tuple[list[float], float, int]) -> Detections:
    return Detections(0, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def test_average_precision_by_hand() -> None:
    """Right at 0.9, wrong at 0.8, right at 0.7, of three: precision 1 up to recall 1/3, 2/3 up to 2/3, then 0."""
    matches = match([labelled([A, B, C], [0, 0, 0])], [found((A, 0.9, 0), (NOWHERE, 0.8, 0), (B, 0.7, 0))])
    value = Ranked(matches).average_precision(np.ones(1))
    assert value is not None
    # 101 recalls: 0 to 0.33 are 34 of precision 1, 0.34 to 0.66 are 33 of precision 2/3
    assert value == pytest.approx(np.full(10, (34 + 33 * 2 / 3) / 101))


def random_set(seed: int, *, pictures: int = 30) -> Looked:
    """Boxes that crowd each other, with every kind of error, and equal confidences now and then."""
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for number in range(pictures):
        count = int(rng.integers(0, 6))
        low = rng.uniform(0, 300, (count, 2))
        xyxy = np.concatenate((low, low + rng.uniform(20, 150, (count, 2))), axis=1).astype(np.float32)
        class_id = rng.integers(0, 2, count)
        truths.append(labelled(xyxy.tolist(), class_id.tolist(), f"{number:03}.png"))
        seen = np.repeat(xyxy, 2, axis=0) + rng.normal(0, 8, (2 * count, 4)).astype(np.float32)
        extra = np.concatenate((low, low + 40), axis=1).astype(np.float32) + 60
        every = np.sort(np.concatenate((seen, extra)).reshape(-1, 2, 2), axis=1).reshape(-1, 4)
        kind = np.concatenate((np.repeat(class_id, 2), class_id))
        flip = rng.random(len(kind)) < 0.2
        confidence = rng.random(len(kind)).round(2)
        detections.append(Detections(0, every, confidence, np.where(flip, 1 - kind, kind)))
    return Looked(tuple(truths), tuple(detections), CLASSES)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_is_that_of_the_coco_evaluator(seed: int) -> None:
    looked = random_set(seed)
    wanted_50, wanted_50_95 = coco_map(looked.truths, looked.found, len(CLASSES))
    ours = figures(rank(match(looked.truths, looked.found), CLASSES), np.ones(len(looked.truths)), confidence=0.5)
    assert 0.1 < wanted_50_95 < 0.9
    assert ours["map50_95"] == pytest.approx(wanted_50_95, abs=1e-9)
    assert ours["map50"] == pytest.approx(wanted_50, abs=1e-9)


def test_a_weight_of_two_is_a_picture_taken_twice() -> None:
    looked = random_set(5, pictures=12)
    twice = [index for index in range(12) for _ in range(2 if index < 4 else 1)]
    longer = Looked(tuple(looked.truths[i] for i in twice), tuple(looked.found[i] for i in twice), CLASSES)
    weighted = figures(
        rank(match(looked.truths, looked.found), CLASSES), np.where(np.arange(12) < 4, 2.0, 1.0), confidence=0.3
    )
    plain = figures(rank(match(longer.truths, longer.found), CLASSES), np.ones(len(twice)), confidence=0.3)
    # boxes of equal confidence may come in another order, which moves AP by a little and counts not at all
    assert weighted == pytest.approx(plain, abs=0.01)
    assert (weighted["precision"], weighted["recall"]) == pytest.approx((plain["precision"], plain["recall"]))


def test_curve_best_threshold_and_wanted_recall() -> None:
    truth = [labelled([A, B, C], [0, 0, 0])]
    line = curve(match(truth, [found((A, 0.9, 0), (NOWHERE, 0.8, 0), (B, 0.6, 0), (C, 0.6, 0))]))
    assert line.confidence.tolist() == pytest.approx([0.9, 0.8, 0.6])  # equal confidences stand or fall together
    assert line.precision.tolist() == pytest.approx([1, 1 / 2, 3 / 4])
    assert line.recall.tolist() == pytest.approx([1 / 3, 1 / 3, 1])
    assert line.false_per_picture.tolist() == pytest.approx([0, 1, 1])
    assert line.best().confidence == pytest.approx(0.6, abs=1e-4)
    assert line.best().f1 == pytest.approx(6 / 7)
    assert line.at(0.85).precision == 1.0
    assert line.at(0.95).recall == 0.0
    wanted = line.for_recall(0.95)
    assert wanted is not None
    assert (wanted.recall, wanted.precision) == pytest.approx((1.0, 0.75))
    assert line.at(wanted.confidence) == wanted  # the threshold that is told gives what is told
    assert curve(match(truth, [found((A, 0.9, 0))])).for_recall(0.95) is None


def test_calibration_by_hand() -> None:
    """Four boxes of 0.75, one of them right, and one right box of 0.95."""
    truths = [labelled([A, B], [0, 0])]
    boxes = [
        (A, 0.95, 0),
        (B, 0.75, 0),
        (NOWHERE, 0.75, 0),
        ([300, 300, 340, 340], 0.75, 0),
        ([1, 400, 40, 440], 0.75, 0),
    ]
    value = reliability(match(truths, [found(*boxes)]))
    assert [(b.boxes, b.precision) for b in value.bins] == [(4, 0.25), (1, 1.0)]
    assert value.ece == pytest.approx(4 / 5 * 0.5 + 1 / 5 * 0.05, abs=1e-6)
    assert value.mce == 0.0  # no bin holds ten boxes
    assert reliability(match(truths, [found((A, 0.04, 0))])).boxes == 0


def test_every_error_has_one_name() -> None:
    truth = labelled([A, B, C, [200, 200, 300, 300]], [0, 0, 0, 1])
    seen = found(
        (A, 0.9, 1),  # confused
        ([5, 0, 105, 100], 0.8, 0),  # doubled: A has a better box
        ([260, 0, 360, 100], 0.7, 0),  # misplaced on B: overlap 0.25
        (NOWHERE, 0.6, 0),  # false
        (C, 0.2, 0),  # below the threshold: C is missed, but was seen
    )
    faults = {(f.kind, f.true_class, f.found_class): f for f in faults_of(0, truth, seen, confidence=0.25)}
    assert set(faults) == {
        ("confused", 0, 1),
        ("doubled", 0, 0),
        ("misplaced", 0, 0),
        ("false", None, 0),
        ("missed", 0, None),
        ("missed", 1, None),
    }
    assert faults["misplaced", 0, 0].overlap == pytest.approx(0.25)
    assert faults["missed", 0, None].confidence == pytest.approx(0.2)
    assert faults["missed", 1, None].confidence == 0.0
    table = confusion([truth], [seen], classes=2, confidence=0.25)
    assert table.tolist() == [[0, 1, 2], [0, 0, 1], [3, 0, 0]]


def test_pairs_are_one_to_one_and_best_first() -> None:
    truth = labelled([A, [40, 0, 140, 100]], [0, 0])
    seen = found(([35, 0, 135, 100], 0.5, 0), ([2, 0, 102, 100], 0.4, 1))
    assert [(row, column) for row, column, _ in pair(truth, seen)] == [(0, 1), (1, 0)]
    assert overlaps(truth.xyxy, seen.xyxy)[0, 0] == pytest.approx(65 / 135)


def test_slices_classes_and_plain_values() -> None:
    truth = labelled([[0, 0, 20, 20], A, [0, 200, 300, 480]], [0, 0, 1])
    looked = Looked((truth,), (found((A, 0.9, 0), ([0, 200, 300, 480], 0.8, 1)),), CLASSES)
    value = measure(looked, confidence=0.25, resamples=20)
    assert [(b.from_px, b.boxes, b.found) for b in value.sizes] == [(0, 1, 0), (64, 1, 1), (256, 1, 1)]
    assert list(value.per_class) == [ALL, "carton", "polybag"]
    assert value.per_class["carton"].working.recall == pytest.approx(0.5)
    assert value.per_class["carton"].target is None
    assert value.fault_counts() == {"missed": 1, "false": 0, "confused": 0, "misplaced": 0, "doubled": 0}
    plain = as_json(value)
    assert plain["per_class"]["polybag"]["target"]["recall"] == 1.0
    assert plain["confusion"]["names"] == ["carton", "polybag", "background"]


def test_positions_only() -> None:
    looked = random_set(1, pictures=4)
    truths, seen = without_classes(looked.truths, looked.found)
    assert all((item.class_id == 0).all() for item in (*truths, *seen))
    assert [len(item) for item in seen] == [len(item) for item in looked.found]


def test_intervals_of_a_share_are_those_of_theory() -> None:
    """Recall of 200 pictures with one box each, 80 % found: the binomial's 95 % interval is 0.8 ± 0.055."""
    truths = tuple(labelled([A], [0], f"{i}.png") for i in range(200))
    seen = tuple(found((A, 0.9, 0)) if i % 5 else Detections.empty(0) for i in range(200))
    value = measure(Looked(truths, seen, CLASSES), confidence=0.25, resamples=1000)
    low, high = value.intervals["recall"]
    assert low == pytest.approx(0.8 - 1.96 * np.sqrt(0.16 / 200), abs=0.012)
    assert high == pytest.approx(0.8 + 1.96 * np.sqrt(0.16 / 200), abs=0.012)


def test_pictures_of_a_group_come_together_and_widen_the_interval() -> None:
    groups = np.repeat(np.arange(10), 20)
    assert all((w.reshape(10, 20) == w.reshape(10, 20)[:, :1]).all() for w in draws(200, groups, resamples=5, seed=1))
    truths = tuple(labelled([A], [0], f"{i}.png") for i in range(200))
    seen = tuple(found((A, 0.9, 0)) if i // 20 % 5 else Detections.empty(0) for i in range(200))
    looked = Looked(truths, seen, CLASSES)
    alone, together = (
        np.diff(measure(looked, confidence=0.25, groups=g, resamples=300).intervals["recall"]) for g in (None, groups)
    )
    assert together > 3 * alone
    assert interval_95(np.array([1.0, np.nan, 1.0])) == (1.0, 1.0)


def worse(looked: Looked, pictures: int) -> Looked:
    """Return the same boxes, with nothing found in the first pictures."""
    rest = looked.found[pictures:]
    return Looked(looked.truths, (*[Detections.empty(0)] * pictures, *rest), looked.classes)


def test_a_real_difference_is_found_and_none_is_made_up() -> None:
    good = random_set(3, pictures=60)
    bad = worse(good, 20)
    found_bad = {d.name: d for d in compare(good, bad, confidence_a=0.3, confidence_b=0.3, resamples=300)}
    assert found_bad["map50_95"].verdict == "A better"
    assert found_bad["recall"].verdict == "A better"
    other_way = {d.name: d for d in compare(bad, good, confidence_a=0.3, confidence_b=0.3, resamples=300)}
    assert other_way["map50_95"].verdict == "B better"
    assert other_way["map50_95"].low == pytest.approx(-found_bad["map50_95"].high)
    same = compare(good, good, confidence_a=0.3, confidence_b=0.3, resamples=50)
    assert {d.verdict for d in same} == {"no significant difference"}
    assert all((d.low, d.high) == (0.0, 0.0) for d in same)
    spots = apart(measure(good, confidence=0.3, resamples=20), measure(bad, confidence=0.3, resamples=20), count=5)
    assert len(spots) == 5
    assert all(spot.picture < 20 for spot in spots)


def test_only_like_is_compared_with_like() -> None:
    looked = random_set(2, pictures=3)
    with pytest.raises(ModelError, match="different classes"):
        compare(looked, Looked(looked.truths, looked.found, ("sack",)), confidence_a=0.3, confidence_b=0.3)
    with pytest.raises(ModelError, match="different pictures"):
        compare(looked, random_set(2, pictures=4), confidence_a=0.3, confidence_b=0.3)
