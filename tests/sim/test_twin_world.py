"""The simulated line behind the broker, without a broker: what moves, what the PLC's program does, what is reported."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge_sorter.plc.inbound import AckResult
from edge_sorter.plc.messages import DecisionMessage
from edge_sorter.sim.twin.faults import FaultSection
from edge_sorter.sim.twin.layout import SimPlcConfig, load_layout
from edge_sorter.sim.twin.program import PlcProgram
from edge_sorter.sim.twin.report import make_report
from edge_sorter.sim.twin.traffic import make_traffic
from edge_sorter.sim.twin.world import World

SCAN_S = 0.01
EPOCH = datetime(2026, 11, 21, tzinfo=timezone.utc)
WRAP = 1 << 32


class Line:
    """World and program, moved by hand, with decisions from whoever wants to make some."""

    def __init__(self, root: Path, *, faults=(), straight=None, program=None, encoder=None, **traffic) -> None:
        config, self.plan = load_layout(root / "configs/demo/sim_line.yaml")
        values = config.model_dump(by_alias=True)
        values["traffic"] = {"parcels": 30, "per_hour": 6000, "speed_mm_s": 2000} | traffic
        values["faults"] = [fault.model_dump() for fault in faults]
        values["program"] |= program or {}
        values["encoder"] |= encoder or {}
        values["straight_on"] |= straight or {}
        self.config = SimPlcConfig.model_validate(values)
        self.world = World(self.config, make_traffic(self.config, self.plan))
        self.program = PlcProgram(self.config, self.world.diverters, self.world.lanes)
        self.program.usable = True
        self.seq = self.cycles = 0
        self.acks: list[AckResult] = []

    def run(self, decide=None, *, until_s: float = 1e9) -> dict:
        """Go on until everything has landed; `decide(line, stretch)` when a stretch's middle is past the line."""
        decided: set[int] = set()
        while not self.world.over and self.world.now_s < until_s:
            self.cycles += 1
            edges, _ = self.world.advance(self.cycles * SCAN_S)
            self.program.scan(
                at_s=self.world.now_s, count=self.world.count, speed_mm_s=self.world.speed_mm_s, edges=edges
            )
            for number, stretch in enumerate(self.world.traffic.stretches):
                middle_mm = (stretch.lead_mm + stretch.trail_mm) / 2
                if number not in decided and middle_mm + self.world.travel_mm > self.config.decision_line_mm:
                    decided.add(number)
                    if decide is not None:
                        decide(self, stretch)
        return make_report(self.world, self.program, self.plan)

    def send(self, stretch, lane, *, uid=None, rev=0, until_mm=1500.0, shift_mm=0.0, **changes) -> AckResult:
        """Decide about a stretch that is at the line now."""
        self.seq += 1
        per, now = self.config.encoder.mm_per_count, self.world.count
        middle_mm = (stretch.lead_mm + stretch.trail_mm) / 2 + self.world.travel_mm - self.config.decision_line_mm
        half_mm = (stretch.lead_mm - stretch.trail_mm) / 2
        at = [round((half - middle_mm + shift_mm) / per) for half in (-half_mm, half_mm)]
        message = {
            "boot_id": "B1",
            "seq": self.seq,
            "parcel_uid": uid or f"B1-{self.seq}",
            "rev": rev,
            "lane": lane,
            "action": "DIVERT",
            "reason": "PLAN_MATCH",
            "pos": {"ref": "ENC1", "lead_cnt": (now + at[0]) % WRAP, "trail_cnt": (now + at[1]) % WRAP},
            "t_capture": "2026-11-21T00:00:00Z",
            "deadline": {"enc_cnt": (now + round(until_mm / per)) % WRAP, "ts": "2026-11-22T00:00:00Z"},
            "replay": False,
        }
        decision = DecisionMessage.model_validate(message | changes)
        answer = self.program.decide(decision, now=EPOCH + timedelta(seconds=self.world.now_s), count=now)
        self.acks.append(answer)
        return answer


def by_truth(line: Line, stretch) -> None:
    line.send(stretch, line.world.traffic.parcels[stretch.parcels[0]].lane)


def test_right_decisions_bring_every_parcel_home(root):
    line = Line(root, parcels=200, profile="stop-and-go", encoder={"first_count": WRAP - 2000})
    report = line.run(by_truth)
    assert (report["judged"], report["not_landed"]) == (200, 0)
    assert report["shares"]["right"]["count"] == 200
    assert report["results"] == {"AS_DECIDED": 200}
    assert not line.world.struck
    assert set(report["lanes"]) == {"L01", "L02", "L03", "NC"}


def test_without_decisions_everything_goes_straight_on(root):
    report = Line(root).run()
    assert report["lanes"] == {"NR": 30}
    assert report["faults"]["undecided"]["count"] == 30
    assert report["shares"]["safe"]["count"] == 30


def test_a_wrong_decision_is_a_wrong_landing(root):
    def decide(line, stretch):
        wanted = line.world.traffic.parcels[stretch.parcels[0]].lane
        line.send(stretch, "L02" if wanted == "L03" else wanted)

    line = Line(root)
    soft = sum(parcel.lane == "L03" for parcel in line.world.traffic.parcels)
    report = line.run(decide)
    assert soft > 5
    assert report["shares"]["wrong"]["count"] == soft
    assert report["shares"]["right"]["count"] == 30 - soft


def test_the_same_seed_is_the_same_line(root):
    first, second = Line(root).run(by_truth), Line(root).run(by_truth)
    assert first == second
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    other = make_traffic(config.model_copy(update={"seed": 8}), plan)
    assert other.parcels != make_traffic(config, plan).parcels


def test_traffic_keeps_its_rate(root):
    config, plan = load_layout(root / "configs/demo/sim_line.yaml")
    section = config.traffic.model_copy(update={"parcels": 2000, "per_hour": 9000.0, "speed_mm_s": 2000.0})
    parcels = make_traffic(config.model_copy(update={"traffic": section}), plan).parcels
    pitch_mm = (parcels[0].centre_mm - parcels[-1].centre_mm) / (len(parcels) - 1)
    assert 2000.0 * 3600.0 / pitch_mm == pytest.approx(9000.0, rel=0.02)


def test_a_full_lane_aborts(root):
    line = Line(root, faults=[FaultSection(kind="lane_full", lane="L03")])
    report = line.run(by_truth)
    soft = [row for row in report["rows"] if row["lane"] == "L03"]
    assert soft
    assert {(row["landed"], row["result"]) for row in soft} == {("NR", "ABORT_FULL")}
    assert report["shares"]["wrong"]["count"] == 0


def test_a_lane_fills_and_drains(root):
    line = Line(root)
    stock = line.world.lanes["L01"]
    stock.parcels = 60.0
    assert stock.full
    line.run(until_s=2.0)
    assert stock.parcels == pytest.approx(60.0 - 2.0 * 5000 / 3600, abs=0.05)
    assert not stock.full


def test_parcels_too_close_are_not_parted_and_none_is_struck(root):
    line = Line(root, parcels=150, per_hour=15_000, speed_mm_s=2200)
    report = line.run(by_truth)
    aborted = report["results"].get("ABORT_GAP", 0)
    assert aborted > 0
    assert report["shares"]["wrong"]["count"] == 0
    assert not line.world.struck
    assert report["shares"]["right"]["count"] == 150 - aborted


def test_parcels_that_touch_are_one_item(root):
    line = Line(root, parcels=120, doubles=0.2)
    pairs = [stretch for stretch in line.world.traffic.stretches if len(stretch.parcels) > 1]
    assert pairs
    report = line.run(lambda line, stretch: line.send(stretch, "HOSP" if stretch in pairs else "L01"))
    together = [row for row in report["rows"] if row["together"]]
    assert {row["landed"] for row in together} == {"HOSP"}
    assert len({row["plc_index"] for row in together}) == len(pairs)


def test_late_decisions_are_refused(root):
    report = Line(root).run(lambda line, stretch: line.send(stretch, "L01", until_mm=-1.0))
    assert report["decisions"]["late"] == report["faults"]["late"]["count"] == 30
    assert report["lanes"] == {"NR": 30}


def test_a_decision_after_the_point_of_no_return_is_late_whatever_its_deadline(root):
    line = Line(root, parcels=1)
    stretch = line.world.traffic.stretches[0]

    def decide(line, stretch):
        line.send(stretch, "L01", uid="B1-1")

    line.run(decide, until_s=(3300 - stretch.lead_mm) / 2000)
    assert line.acks == [AckResult.ACCEPTED]
    assert line.send(stretch, "L02", uid="B1-1", rev=1) is AckResult.LATE
    assert line.run()["rows"][0]["landed"] == "L01"


def test_a_revision_before_it_counts(root):
    def decide(line, stretch):
        line.send(stretch, "L01", uid="B1-1")
        line.send(stretch, "L02", uid="B1-1", rev=1)
        line.send(stretch, "L01", uid="B1-1", rev=0)

    line = Line(root, parcels=1)
    report = line.run(decide)
    assert line.acks == [AckResult.ACCEPTED, AckResult.ACCEPTED, AckResult.DUPLICATE]
    assert report["rows"][0]["landed"] == "L02"
    assert report["faults"]["second_decision"]["count"] == 0


def test_a_second_decision_for_one_item_is_counted_and_does_nothing(root):
    def decide(line, stretch):
        line.send(stretch, "L01", uid="B1-1")
        line.send(stretch, "L02", uid="B1-2")

    line = Line(root, parcels=1)
    report = line.run(decide)
    assert line.acks == [AckResult.ACCEPTED, AckResult.REJECTED]
    assert (report["rows"][0]["landed"], report["faults"]["second_decision"]["count"]) == ("L01", 1)


def test_decisions_about_nothing_and_unknown_lanes(root):
    line = Line(root, parcels=1)
    line.run(lambda line, stretch: line.acks.append(line.send(stretch, "L77")), until_s=3.0)
    assert set(line.acks) == {AckResult.LANE_UNAVAILABLE}
    line = Line(root, parcels=1)
    line.run(lambda line, stretch: line.send(stretch, "L01", shift_mm=-900.0))
    assert line.acks == [AckResult.UNKNOWN_PARCEL]


def test_an_index_finds_its_item_without_a_place(root):
    def decide(line, stretch):
        line.send(stretch, "L01", plc_index=1, pos={"ref": "TIME"})

    line = Line(root, parcels=1)
    assert line.run(decide)["rows"][0]["landed"] == "L01"


def test_a_decision_may_come_before_its_item(root):
    line = Line(root)
    config = line.config.model_dump(by_alias=True) | {"photo_eye": {"at_mm": 1600}, "scale": None}
    line.config = SimPlcConfig.model_validate(config)
    line.world = World(line.config, line.world.traffic)
    line.program = PlcProgram(line.config, line.world.diverters, line.world.lanes)
    line.program.usable = True
    report = line.run(by_truth)
    assert report["results"] == {"AS_DECIDED": 30}
    assert report["shares"]["right"]["count"] == 30


def test_a_decision_may_come_while_its_item_is_still_in_the_beam(root):
    line = Line(root)
    eye_mm = line.config.decision_line_mm - 1.4 * line.config.program.match_mm
    config = line.config.model_dump(by_alias=True) | {"photo_eye": {"at_mm": eye_mm}, "scale": None}
    line.config = SimPlcConfig.model_validate(config)
    line.world = World(line.config, line.world.traffic)
    line.program = PlcProgram(line.config, line.world.diverters, line.world.lanes)
    line.program.usable = True
    in_beam = []

    def decide(line, stretch):
        in_beam.append(line.program.live[-1].trail_count is None)
        by_truth(line, stretch)

    assert line.run(decide)["results"] == {"AS_DECIDED": 30}
    assert sum(in_beam) > 10


@pytest.mark.parametrize(("keeps", "lanes"), [(True, {"L01"}), (False, {"NR"})])
def test_silence_of_the_sorter(root, keeps, lanes):
    line = Line(root, parcels=1, program={"keeps_accepted": keeps})
    line.run(lambda line, stretch: line.send(stretch, "L01"), until_s=1.6)
    assert line.acks == [AckResult.ACCEPTED]
    line.program.usable = False
    if not keeps:
        line.program.drop_accepted()
    assert {row["landed"] for row in line.run()["rows"]} == lanes
    assert line.send(line.world.traffic.stretches[0], "L01") is not AckResult.ACCEPTED


def test_a_slipping_encoder_wheel_sends_parcels_astray_and_the_report_says_so(root):
    line = Line(root, parcels=60, faults=[FaultSection(kind="encoder_slip", share=0.2)])
    report = line.run(by_truth)
    assert report["shares"]["right"]["count"] < 40
    assert report["results"].get("NOT_AS_DECIDED", 0) + report["results"].get("STRUCK", 0) > 20


def test_an_emergency_stop_holds_the_belt_and_delays_everything(root):
    free = Line(root, parcels=5)
    free.run()
    held = Line(root, parcels=5, faults=[FaultSection(kind="e_stop", at_s=1.0, for_s=2.5)])
    held.run(until_s=2.0)
    assert held.world.speed_mm_s == 0.0
    held.run()
    assert held.world.landed[0].at_s == pytest.approx(free.world.landed[0].at_s + 2.5, abs=2 * SCAN_S)


def test_a_lost_encoder_stands_while_the_belt_runs(root):
    line = Line(root, parcels=5, faults=[FaultSection(kind="encoder_lost", at_s=1.0, for_s=0.5)])
    line.run(until_s=1.4)
    stood, travelled = line.world.count, line.world.travel_mm
    line.run(until_s=1.48)
    assert line.world.count == stood
    assert line.world.travel_mm > travelled + 100.0
