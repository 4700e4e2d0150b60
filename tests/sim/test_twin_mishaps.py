"""The simulated line where things go wrong on the belt: slides, jams, foreign objects, hands; and parcels' weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from edge_sorter.errors import ConfigError
from edge_sorter.plc.inbound import ConfirmResult
from edge_sorter.sim.scenario import CLASSES, expand, load
from edge_sorter.sim.truth import truth
from edge_sorter.sim.twin.faults import FaultSection, parse_fault
from edge_sorter.sim.twin.items import Way
from edge_sorter.sim.twin.layout import SimPlcConfig, load_layout
from edge_sorter.sim.twin.mishaps import Slip
from edge_sorter.sim.twin.plant import Plant
from edge_sorter.sim.twin.report import make_report
from edge_sorter.sim.twin.scale import Scale
from edge_sorter.sim.twin.traffic import make_traffic
from edge_sorter.sim.twin.world import FLOOR
from edge_sorter.sim.weight import DENSITY_KG_L, weight_kg
from edge_sorter.sort import load_plan

SCAN_S = 0.01
PER_COUNT_MM = 0.5


class Belt:
    """A line without a sorter: world and program, moved by hand."""

    def __init__(self, root: Path, *faults: str, slips: tuple[Slip, ...] = (), **traffic: object) -> None:
        config, self.plan = load_layout(root / "configs/demo/sim_line.yaml")
        values = config.model_dump(by_alias=True)
        values["traffic"] = {"parcels": 6, "per_hour": 6000, "speed_mm_s": 2000} | traffic
        values["faults"] = [parse_fault(fault).model_dump() for fault in faults]
        self.config = SimPlcConfig.model_validate(values)
        made = make_traffic(self.config, self.plan)
        self.traffic = replace(made, slips=slips or made.slips)
        self.plant = Plant(self.config, self.traffic)
        self.world, self.program, self.falls = self.plant.world, self.plant.program, self.plant.world.falls
        self.overdue: list[int] = []
        self.cycles = 0

    def run(self, until=lambda: False, each=lambda: None) -> dict:
        while not self.world.over and not until():
            self.cycles += 1
            _, _, overdue = self.plant.cycle(self.cycles * SCAN_S)
            self.overdue += [item.plc_index for item in overdue]
            each()
        return make_report(self.world, self.program, self.plan)

    def item(self, i: int):
        return self.program.items[self.world.stretch_by_parcel[i]]

    def laid_counts(self, i: int) -> tuple[int, int]:
        """Counts at which a parcel's ends would pass the eye."""
        ends = self.traffic.parcels[i].lead_mm, self.traffic.parcels[i].trail_mm
        lead, trail = (round((self.config.photo_eye.at_mm - end_mm) / PER_COUNT_MM) for end_mm in ends)
        return lead, trail


# Without mishaps.


@pytest.mark.parametrize("shares", [{}, {"doubles": 0.2}, {"side_by_side": 0.1, "stacked": 0.2}])
def test_without_mishaps_the_eye_sees_what_was_laid(root, shares):
    belt = Belt(root, parcels=120, per_hour=5000, profile="stop-and-go", **shares)
    belt.run()
    stretches = belt.traffic.stretches
    assert (len(stretches) < 120) == bool(shares)
    assert {n: belt.world.stretch_by_parcel[i] for n, s in enumerate(stretches) for i in s.parcels} == {
        n: n for n in range(len(stretches))
    }
    for number, stretch in enumerate(stretches):
        item = belt.program.items[number]
        for end_mm, count in ((stretch.lead_mm, item.lead_count), (stretch.trail_mm, item.trail_count)):
            assert count == pytest.approx((belt.config.photo_eye.at_mm - end_mm) / PER_COUNT_MM, abs=1.01)
    assert not belt.falls.mishaps
    assert not belt.overdue


def test_mishaps_leave_the_parcels_where_they_were_laid(root):
    calm = Belt(root, parcels=200).traffic
    rough = Belt(root, parcels=200, slides=0.2, jams=0.05, foreign=0.3, hands_per_h=600).traffic
    assert tuple(parcel for parcel in rough.parcels if not parcel.foreign) == calm.parcels
    assert len(rough.parcels) > 230
    assert rough.slips
    assert rough.hands
    again = Belt(root, parcels=200, slides=0.2, jams=0.05, foreign=0.3, hands_per_h=600).traffic
    assert (again.parcels, again.slips, again.hands) == (rough.parcels, rough.slips, rough.hands)


# Slides.


def test_who_slides_before_the_eye_is_seen_later_and_is_still_where_the_plc_thinks(root):
    belt = Belt(root, slips=(Slip(2, 0.0, 100.0, 0.5),))
    belt.run(until=lambda: 2 in belt.world.stretch_by_parcel and belt.item(2).trail_count is not None)
    assert belt.item(2).lead_count == pytest.approx(belt.laid_counts(2)[0] + 200, abs=1)
    assert belt.item(2).trail_count == pytest.approx(belt.laid_counts(2)[1] + 200, abs=1)
    row = belt.run()["rows"][2]
    assert [one["what"] for one in row["mishaps"]] == ["slid"]
    assert (row["mishaps"][0]["by_mm"], row["mishaps"][0]["at_mm"]) == (100, pytest.approx(0, abs=21))


def test_who_slides_behind_the_eye_is_elsewhere_than_the_plc_thinks(root):
    belt = Belt(root, slips=(Slip(1, 2000.0, 150.0, 0.4),))
    lead_mm = belt.traffic.parcels[1].lead_mm
    belt.run(until=lambda: belt.falls.middles(1)[1] > 3000.0)
    assert (belt.item(1).lead_count, belt.item(1).trail_count) == pytest.approx(belt.laid_counts(1), abs=1)
    assert belt.falls.ends(1)[1] == pytest.approx(lead_mm + belt.world.travel_mm - 150.0, abs=1e-6)


# Jams.


def test_nobody_lies_where_another_does_and_nobody_goes_back(root):
    belt = Belt(root, "jam@5+1.5:900", "jam@20+2:4000", parcels=60, per_hour=8000, jams=0.05, slides=0.2)
    ends: dict[int, tuple[float, float]] = {}

    def each() -> None:
        there = [i for i in range(60) if i not in belt.world.landed]
        for i in there:
            rear, front = belt.falls.ends(i)
            assert rear >= ends.get(i, (rear, front))[0] - 1e-6
            ends[i] = rear, front
        for ahead, behind in pairwise(there):
            if belt.falls.ends(ahead)[0] < belt.config.diverters[0].mouth_mm:  # none is in a chute here
                assert belt.falls.ends(ahead)[0] >= belt.falls.ends(behind)[1] - 1e-5

    report = belt.run(each=each)
    assert {"slid", "stuck", "held up"} == set(report["mishaps"])
    assert report["lanes"] == {"NR": 60}


def test_a_jam_holds_what_comes_to_a_place_and_then_lets_it_go(root):
    belt = Belt(root, "jam@2+1:2500")
    belt.run(until=lambda: belt.world.now_s >= 2.99)
    held = [i for i, told in belt.falls.mishaps.items() if told[0].what == "stuck"]
    assert len(held) == 1
    assert belt.falls.ends(held[0])[1] == pytest.approx(2500.0)
    assert belt.world.speed_mm_s == pytest.approx(2000.0)
    behind = held[0] + 1
    assert belt.falls.ends(behind)[1] <= belt.falls.ends(held[0])[0] + 1e-6
    belt.run(until=lambda: belt.world.now_s >= 3.2)
    assert belt.falls.ends(held[0])[1] > 2800.0


def test_who_is_stuck_before_the_eye_makes_one_item_with_those_that_run_up(root):
    belt = Belt(root, slips=(Slip(0, 200.0, 1500.0, 1.0),), per_hour=8000)
    report = belt.run()
    assert belt.falls.mishaps[0][0].what == "stuck"
    assert belt.falls.mishaps[1][0].what == "held up"
    assert belt.item(0) is belt.item(1)
    assert report["items"]["seen"] < 6
    assert {row["plc_index"] for row in report["rows"][:2]} == {1}


def test_an_eye_that_is_dark_for_too_long_is_a_jam_and_its_item_goes_straight_on(root):
    belt = Belt(root, slips=(Slip(1, 600.0, 2500.0, 1.0),))
    told: list[bool] = []
    report = belt.run(each=lambda: told.append(belt.program.jam))
    first = told.index(True)
    assert not all(told[first:]), "and it is over"
    item = belt.item(1)
    assert item.trail_count - item.lead_count > 2500 / PER_COUNT_MM
    assert (item.trouble, item.way) == (ConfirmResult.JAM, Way.STRAIGHT)
    assert item.confirms("NR", recirculates=False) is ConfirmResult.JAM
    assert (report["rows"][1]["landed"], report["rows"][1]["result"]) == ("NR", "JAM")
    assert report["rows"][0]["result"] == "NO_DECISION"


def test_who_is_seen_by_no_lanes_eye_in_time_is_a_jam(root):
    belt = Belt(root, slips=(Slip(1, 5000.0, 900.0, 1.0), Slip(4, 7000.0, 300.0, 1.0)))
    report = belt.run()
    assert belt.overdue == [belt.item(1).plc_index]
    results = [row["result"] for row in report["rows"]]
    assert (results[1], results[4]) == ("JAM", "NO_DECISION"), "less than overdue_mm late is late, not stuck"
    assert belt.item(1).confirms("NR", recirculates=False) is ConfirmResult.JAM


# Falls.


def test_who_falls_off_lands_nowhere_and_the_plc_finds_out(root):
    calm = Belt(root, parcels=12).run()
    belt = Belt(root, "fall@2+0.7:2500", parcels=12)
    report = belt.run()
    gone = [i for i, row in enumerate(report["rows"]) if row["landed"] == FLOOR]
    assert len(gone) in (1, 2), "who was at 2500 mm within 0.7 s, at 2 m/s and 1.2 m from one to the next"
    for i in gone:
        (fell,) = belt.falls.mishaps[i]
        assert (fell.what, fell.at_mm) == ("fell off", 2500.0)
        assert 2.0 <= belt.world.landed[i].at_s < 2.72
        assert report["rows"][i]["result"] == "FELL_OFF"
        assert belt.item(i).confirms("NR", recirculates=False) is ConfirmResult.JAM
    assert belt.overdue == [belt.item(i).plc_index for i in gone]
    assert (report["fell_off"], report["judged"]) == (len(gone), calm["judged"] - len(gone))
    assert report["mishaps"] == {"fell off": {"gone": len(gone)}}
    others = [i for i in range(12) if i not in gone]
    assert [report["rows"][i] for i in others] == [calm["rows"][i] for i in others]


def test_nobody_sees_a_parcel_fall_that_was_not_looked_at(root):
    with pytest.raises(ValueError, match="a fall must be behind photo-eye and decision line, at more than"):
        Belt(root, "fall@2:300")


@pytest.mark.parametrize("profile", ["constant", "ramp", "stop-and-go"])
def test_whatever_happens_every_thing_is_in_one_item_and_items_come_in_order(root, profile):
    faults = ("jam@4+3:900", "jam@11+0.7:650", "hand@6+1.5", "hand@12+0.05", "e_stop@8+1.5", "encoder_lost@14+1")
    much = {"slides": 0.3, "jams": 0.1, "foreign": 0.4, "hands_per_h": 2000.0, "doubles": 0.1, "side_by_side": 0.1}
    belt = Belt(root, *faults, parcels=60, stacked=0.1, profile=profile, run_mm=(1000.0, 9000.0), **much)
    belt.run()
    assert set(belt.world.stretch_by_parcel) == set(range(len(belt.traffic.parcels)))
    items = [belt.program.items[number] for number in range(len(belt.program.items))]
    counts = [count for item in items for count in (item.lead_count, item.trail_count) if count is not None]
    assert counts == sorted(counts)
    assert all(item.trail_count is not None for item in items)


# Foreign objects and hands.


def test_a_foreign_object_is_an_item_that_nobody_decides_and_goes_straight_on(root):
    belt = Belt(root, parcels=40, foreign=0.5)
    things = [parcel for parcel in belt.traffic.parcels if parcel.foreign]
    report = belt.run()
    assert len(things) == len(report["foreign"]) > 8
    assert report["items"] == {"seen": 40 + len(things), "of_nothing": 0}
    assert {row["landed"] for row in report["foreign"]} == {"NR"}
    assert {row["judged"] for row in report["foreign"]} == {False}
    assert (report["parcels"], report["judged"], len(report["rows"])) == (40, 40, 40)
    assert not any(parcel.together for parcel in belt.traffic.parcels)


def test_a_hand_in_the_beam_is_an_item_of_nothing(root):
    belt = Belt(root, "hand@0.02+0.1", parcels=1)  # the parcel is far away
    belt.run(until=lambda: belt.world.now_s > 0.2)
    item = belt.program.items[0]
    assert (item.lead_count, item.trail_count) == pytest.approx(
        (0.02 * 2000 / PER_COUNT_MM, 0.12 * 2000 / PER_COUNT_MM)
    )
    report = belt.run()
    assert report["items"] == {"seen": 2, "of_nothing": 1}
    assert report["rows"][0]["plc_index"] == 2


def test_a_hand_before_a_standing_belt_is_an_item_without_length(root):
    belt = Belt(root, "e_stop@0.2+2", "hand@1+0.3", parcels=1)
    belt.run(until=lambda: belt.world.now_s > 1.5)
    assert belt.program.items[0].lead_count == belt.program.items[0].trail_count


def test_a_hand_on_a_parcel_makes_it_longer(root):
    parcel = Belt(root, parcels=1).traffic.parcels[0]
    comes_s = (600.0 - parcel.lead_mm) / 2000.0
    belt = Belt(root, f"hand@{comes_s - 0.05:.3f}+0.1", parcels=1)
    report = belt.run()
    assert report["items"] == {"seen": 1, "of_nothing": 0}
    assert belt.item(0).lead_count == pytest.approx(belt.laid_counts(0)[0] - 0.05 * 2000 / PER_COUNT_MM, abs=3)
    assert belt.item(0).trail_count == pytest.approx(belt.laid_counts(0)[1], abs=1)


# Weights.


def test_weights_follow_kind_and_volume():
    assert set(DENSITY_KG_L) == {"carton", "polybag", "mailer", "tube", "sack", "tote", "irregular"}
    shares = [share / 10 for share in range(11)]
    cartons = [weight_kg("carton", (500.0, 400.0, 300.0), share) for share in shares]
    assert cartons == sorted(cartons)
    assert (cartons[0], cartons[-1]) == (3.6, 27.0)
    assert weight_kg("carton", (1500.0, 800.0, 800.0), 1.0) == 31.5
    assert weight_kg("mailer", (100.0, 100.0, 5.0), 0.5) == 0.05


def test_every_parcel_of_a_scenario_has_a_weight_and_one_that_is_given_changes_no_other(root, tmp_path):
    path = root / "configs/demo/scenario.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    values["parcels"][2]["weight_kg"] = 30.2
    changed = tmp_path / "scenario.yaml"
    changed.write_text(yaml.safe_dump(values), encoding="utf-8")
    before, after = ([parcel.weight_kg for parcel in expand(load(file))] for file in (path, changed))
    assert after == [*before[:2], 30.2, *before[3:]]
    assert [parcel["weight_kg"] for parcel in truth(load(path))["parcels"]] == before
    assert 0.05 <= min(before) < max(before) <= 31.5
    values["parcels"][2]["weight_kg"] = 0
    changed.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"parcels\[2\]\.weight_kg"):
        load(changed)


def test_a_scale_tells_what_lies_in_an_item_once_it_is_past(root):
    belt = Belt(root, parcels=40, per_hour=5000, doubles=0.2)
    scale = Scale(belt.config, belt.config.scale)
    told: dict[int, float] = {}

    def each() -> None:
        for message in scale.weighed(belt.world, belt.program, ts="2026-11-21T00:00:00Z"):
            told[message.plc_index] = message.weight_g
            item = belt.program.items[message.plc_index - 1]
            rear_mm = 600.0 + (belt.world.count - item.trail_count) * PER_COUNT_MM
            assert 650.0 <= rear_mm < 650.0 + 2000.0 * SCAN_S + 1.0
            assert message.enc_cnt == pytest.approx(item.middle + 50.0 / PER_COUNT_MM, abs=1)

    belt.run(each=each)
    assert len(told) == len(belt.traffic.stretches) < 40
    for number, stretch in enumerate(belt.traffic.stretches):
        true_g = 1000.0 * sum(belt.traffic.parcels[i].weight_kg for i in stretch.parcels)
        assert told[number + 1] == pytest.approx(true_g, abs=5.1)


def test_a_plan_may_ask_for_the_weight(root, tmp_path):
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    values = yaml.safe_load((root / "configs/demo/plan.yaml").read_text(encoding="utf-8"))
    values["rules"].insert(0, {"id": "heavy", "priority": 5, "when": {"weight_g": [8000, None]}, "to": "NC"})
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    parcels = make_traffic(config, load_plan(path, classes=CLASSES)).parcels
    heavy = [parcel for parcel in parcels if parcel.weight_kg >= 8.0]
    assert 10 < len(heavy) < 150
    assert {parcel.lane for parcel in heavy} == {"NC"}
    assert {p.lane for p in make_traffic(config, plan).parcels if p.weight_kg >= 8.0} == {"L02"}


# Mistakes.


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("jam@3+1", "jam needs at_mm"),
        ("jam@3:2500", "jam needs for_s"),
        ("fall@3", "fall needs at_mm"),
        ("hand@3", "hand needs for_s"),
    ],
)
def test_faults_that_lack_something(root, fault, told):
    with pytest.raises(ValueError, match=told):
        Belt(root, fault)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"faults": [FaultSection(kind="e_stop", for_s=1.0, at_mm=3.0).model_dump()]}, "e_stop has no at_mm"),
        ({"scale": {"at_mm": 500}}, "scale.at_mm must be behind the photo-eye"),
        ({"traffic": {"slide_mm": [100, 50]}}, "slide_mm: least 100 is more than most 50"),
    ],
)
def test_layouts_that_make_no_sense(root, change, told):
    config, _ = load_layout(root / "configs/demo/sim_line.yaml")
    with pytest.raises(ValueError, match=told):
        SimPlcConfig.model_validate(config.model_dump(by_alias=True) | change)


def test_a_clip_does_not_jam(root):
    config, _ = load_layout(root / "configs/demo/sim_plc.yaml")
    jam = parse_fault("jam@3+1:2500").model_dump()
    with pytest.raises(ValueError, match="jam cannot be had with replays"):
        SimPlcConfig.model_validate(config.model_dump(by_alias=True) | {"faults": [jam]})
