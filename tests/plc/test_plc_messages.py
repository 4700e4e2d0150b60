"""Messages: what a decision looks like on the wire, its size, its schema, and that equal input gives equal bytes."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_sorter.clock import EPOCH, ReplayClock
from edge_sorter.config import LineSection
from edge_sorter.journal import decision_record
from edge_sorter.plc.book import Story
from edge_sorter.plc.boot import boot_id, first_seq
from edge_sorter.plc.decode import decode
from edge_sorter.plc.encode import MAX_PAYLOAD_BYTES, decision_message
from edge_sorter.plc.messages import (
    MESSAGES,
    Ages,
    AlarmMessage,
    AppState,
    HeartbeatMessage,
    InfoMessage,
    KpiMessage,
    ParcelMessage,
    Percentiles,
    PlanStatusMessage,
    ReplyMessage,
    RouteAskMessage,
    StateMessage,
)
from edge_sorter.plc.publisher import MemoryPublisher, PublishResult
from edge_sorter.plc.record import parcel_message
from edge_sorter.plc.schema_files import SCHEMA_FOLDER, all_messages, schema_text
from edge_sorter.plc.topics import Topics
from edge_sorter.types import Action, BeltPosition, Code, Reason, SortDecision

TS = "2026-11-21T18:03:11.541902Z"
START = datetime(2026, 11, 21, 18, 3, 11, 482113, tzinfo=timezone.utc)


def decision(**changes) -> SortDecision:
    values = {
        "parcel_uid": "01JD5Z8Q3M-0000482",
        "seq": 48123,
        "rev": 0,
        "lane": "L12",
        "alternates": ("L13", "OVF"),
        "action": Action.DIVERT,
        "reason": Reason.PLAN_MATCH,
        "rule": "pc-DE-70-72",
        "plan": "hub#a91f",
        "track_id": 482,
        "class_name": "carton",
        "confidence": 0.97,
        "size_mm": (418.04, 300.0),
        "codes": (Code("Code128", "00340123450000000017", 5),),
        "flags": ("TOUCHES_EDGE",),
        "position": BeltPosition("SPEED", 9182.31, 9600.56, -42.0, (640.0, 360.25)),
        "crossed_ns": 0,
        "captured_ns": 1_000,
        "deadline_ns": 817_887_000,
    }
    return SortDecision(**(values | changes))


def message(one: SortDecision, *, published_ns: int = 59_789_000, replay: bool = False):
    return decision_message(
        one,
        clock=ReplayClock(wall_at_zero=START),
        published_ns=published_ns,
        boot_id="01JD5Z8Q3M",
        model="parcels-n#5c0e",
        replay=replay,
    )


def test_a_decision_on_the_wire():
    assert message(decision()).to_json().decode() == (
        '{"schema":"edge_sorter.decision/1","boot_id":"01JD5Z8Q3M","seq":48123,"parcel_uid":"01JD5Z8Q3M-0000482","rev":0,'
        '"lane":"L12","alt":["L13","OVF"],"action":"DIVERT","reason":"PLAN_MATCH","rule":"pc-DE-70-72","plan":"hub#a91f",'
        '"recirc":0,"pos":{"ref":"SPEED","lead_mm":9182.3,"trail_mm":9600.6,"lat_mm":-42.0,"center_px":[640.0,360.2]},'
        '"dim_mm":{"l":418.0,"w":300.0},"codes":[{"sym":"Code128","text":"00340123450000000017","n":5,"ok":true}],'
        '"cls":{"name":"carton","conf":0.97},"flags":["TOUCHES_EDGE"],"conf":0.97,'
        '"t_capture":"2026-11-21T18:03:11.482114Z","t_publish":"2026-11-21T18:03:11.541902Z","mono_ns":1000,'
        '"clock":"SYSTEM","deadline":{"ts":"2026-11-21T18:03:12.300000Z"},"valid_ms":758,"model":"parcels-n#5c0e",'
        '"replay":false}'
    )


def test_a_decision_without_calibration_says_so():
    bare = decision(position=BeltPosition("TIME", None, None, None, (1.0, 2.0)), size_mm=None, codes=(), flags=())
    sent = json.loads(message(bare, replay=True).to_json())
    assert sent["pos"] == {"ref": "TIME", "center_px": [1.0, 2.0]}
    assert "dim_mm" not in sent
    assert sent["replay"] is True
    assert sent["clock"] == "REPLAY"


def test_times_are_handed_in_so_equal_input_gives_equal_bytes():
    assert message(decision()).to_json() == message(decision()).to_json()
    assert message(decision(), published_ns=10**9).valid_ms == 0


def test_the_worst_decision_fits_one_kibibyte():
    worst = decision(
        alternates=tuple(f"LANE-{number:03d}" for number in range(40)),
        rule="r" * 200,
        plan="p" * 200,
        class_name="c" * 200,
        codes=tuple(Code("DataMatrix", f"{number:0>80}", 99) for number in range(30)),
        flags=tuple(f"FLAG_NUMBER_{number}" for number in range(30)),
        seq=2**32 - 1,
        captured_ns=2**62,
        deadline_ns=2**62 + 10**9,
        position=BeltPosition("SPEED", 1e12, 1e12, -1e6, (99999.9, 99999.9)),
    )
    sent = message(worst)
    assert len(sent.to_json()) <= MAX_PAYLOAD_BYTES
    assert sent.codes_left_out == 30
    assert (sent.lane, sent.action, sent.seq) == ("L12", Action.DIVERT, 2**32 - 1)


def test_codes_are_left_out_whole_from_the_end():
    sent = message(decision(codes=tuple(Code("QRCode", f"{number}" * 120, 2) for number in range(8))))
    assert len(sent.to_json()) <= MAX_PAYLOAD_BYTES
    assert 0 < len(sent.codes) < 8
    assert len(sent.codes) + sent.codes_left_out == 8
    assert all(len(code.text) == 120 for code in sent.codes)
    assert sent.flags == ("TOUCHES_EDGE",)


VALID_DECISION = jsonschema.Draft202012Validator(json.loads(schema_text("decision")))
number = st.one_of(st.none(), st.floats())


@settings(max_examples=200, deadline=None)
@given(
    confidence=st.floats(),
    lead=number,
    lateral=number,
    center=st.tuples(st.floats(), st.floats()),
    size=st.one_of(st.none(), st.tuples(st.floats(), st.floats())),
    texts=st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=300), max_size=5),
    flags=st.lists(st.text(max_size=20), max_size=5),
)
def test_any_decision_becomes_a_message_that_a_gateway_takes(confidence, lead, lateral, center, size, texts, flags):
    one = decision(
        confidence=confidence,
        size_mm=size,
        codes=tuple(Code("QRCode", text) for text in texts),
        flags=tuple(flags),
        position=BeltPosition("SPEED", lead, lead, lateral, center),
    )
    payload = message(one).to_json()
    assert len(payload) <= MAX_PAYLOAD_BYTES
    assert VALID_DECISION.is_valid(json.loads(payload))
    assert decode(payload, topic="x/decision").seq == 48123  # type: ignore[attr-defined]


EXAMPLES = {
    "decision": message(decision()),
    "state": StateMessage(boot_id="b", state=AppState.RUNNING, cause="broker reconnect", ts=TS, reconnects=1),
    "hb": HeartbeatMessage(
        boot_id="b", n=1, ts=TS, state=AppState.RUNNING, fps=30.0, age_ms=Ages(frame=21.0), lat_p99_ms=71.0
    ),
    "info": InfoMessage(boot_id="b", ts=TS, version="0.1.0", model="m#1", lanes=("L1", "L2")),
    "kpi": KpiMessage(boot_id="b", ts=TS, frames=9, by_lane={"L1": 3}, latency_ms=Percentiles(p50=20.0, p99=80.5)),
    "alarm": AlarmMessage(boot_id="b", code="NO_ACK", severity=2, state="ACTIVE", since=TS, ts=TS, text="no answer"),
    "parcel": ParcelMessage(
        boot_id="b",
        parcel_uid="b-1",
        rev=0,
        outcome="VERIFIED",
        lane="L1",
        action=Action.DIVERT,
        reason="PLAN_MATCH",
        t_capture=TS,
    ),
    "plan_status": PlanStatusMessage(boot_id="b", ts=TS, active="a#1", result="REJECTED", errors=("default: missing",)),
    "reply": ReplyMessage(boot_id="b", cmd="pause", ok=True, ts=TS),
    "route_ask": RouteAskMessage(boot_id="b", code="JD1", sym="Code128", ts=TS),
}
TOPICS_OF = {"alarm": "a/b/alarm/NO_ACK", "plan_status": "a/b/plan/status", "route_ask": "a/b/route/ask"}


@pytest.mark.parametrize("name", all_messages())
def test_schemas_in_the_repository_are_the_ones_of_the_types(name):
    stored = (SCHEMA_FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert stored == schema_text(name), "stale: run python -m edge_sorter.plc.schema_files"


def test_there_is_no_other_schema_file():
    assert {path.name for path in SCHEMA_FOLDER.iterdir()} == {f"{name}.json" for name in all_messages()}


@pytest.mark.parametrize("name", MESSAGES)
def test_examples_satisfy_their_schema(name):
    schema = json.loads((SCHEMA_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    sent = EXAMPLES[name].to_json()
    jsonschema.validate(json.loads(sent), schema)
    assert decode(sent, topic=TOPICS_OF.get(name, f"a/b/{name}")) == EXAMPLES[name]


@pytest.mark.parametrize(
    "field",
    [
        "schema",
        "boot_id",
        "seq",
        "parcel_uid",
        "rev",
        "lane",
        "action",
        "reason",
        "pos",
        "deadline",
        "t_capture",
        "replay",
    ],
)
def test_what_a_gateway_needs_is_required_by_the_schema(field):
    schema = json.loads((SCHEMA_FOLDER / "decision.json").read_text(encoding="utf-8"))
    payload = json.loads(EXAMPLES["decision"].to_json())
    del payload[field]
    with pytest.raises(jsonschema.ValidationError, match=field):
        jsonschema.validate(payload, schema)


def test_topics_follow_the_plant_levels():
    topics = Topics(LineSection(enterprise="acme", site="hub7", line="line03"))
    assert topics.decision == "acme/hub7/sort/line03/vis01/edge_sorter/v1/decision"
    assert topics.alarm("CAM_LOST") == "acme/hub7/sort/line03/vis01/edge_sorter/v1/alarm/CAM_LOST"
    assert topics.plc_lane_state("L12").endswith("/v1/plc/lane/L12/state")
    assert Topics(topics.line, replay=True).hb == "replay/acme/hub7/sort/line03/vis01/edge_sorter/v1/hb"


@pytest.mark.parametrize("bad", ["", "a/b", "#", "+", "x" * 33, "a\n"])
def test_a_topic_level_cannot_smuggle_in_more(bad):
    with pytest.raises(ValueError, match="topic level"):
        Topics(LineSection()).alarm(bad)


def test_every_topic_is_different():
    topics = Topics(LineSection())
    names = [
        name
        for name, value in vars(Topics).items()
        if isinstance(value, property) and name not in ("prefix", "alarm_all")
    ]
    values = [getattr(topics, name) for name in names] + [topics.alarm("A"), topics.plc_lane_state("L1")]
    assert len(set(values)) == len(values) == 20
    assert all(value.startswith(f"{topics.prefix}/") for value in values)


def test_boot_ids_sort_by_time_and_look_like_the_start_of_a_ulid():
    days = [START + timedelta(days=day) for day in range(-9000, 9000, 500)]
    ids = [boot_id(ReplayClock(wall_at_zero=day)) for day in days]
    assert ids == sorted(set(ids))
    assert all(len(one) == 10 and one.isalnum() and one.isupper() for one in ids)
    # ULID specification: 01ARYZ6S41 is 1469918176385 ms after the epoch.
    moment = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=1_469_918_176_385)
    assert boot_id(ReplayClock(wall_at_zero=moment)) == "01ARYZ6S41"


def test_a_run_numbers_its_messages_above_those_of_the_run_before():
    """Also one that is started again at once, after as many decisions as any line makes."""
    began = datetime(2026, 11, 21, 18, 3, 11, 482_113, tzinfo=timezone.utc)
    for sorted_s in (1, 60, 86_400):
        before, after = (first_seq(ReplayClock(wall_at_zero=began + timedelta(seconds=s))) for s in (0, sorted_s))
        assert before + 50 * sorted_s < after < 2**31
    assert first_seq(ReplayClock(wall_at_zero=EPOCH)) == 1


def test_memory_publisher_keeps_the_rules_of_a_link():
    clock = ReplayClock()
    publisher = MemoryPublisher(clock)
    assert publisher.publish(decision()) is PublishResult.SENT
    assert publisher.publish(decision()) is PublishResult.DUPLICATE
    assert publisher.publish(decision(rev=1)) is PublishResult.SENT
    clock.sleep_until(817_887_001)
    assert publisher.publish(decision(parcel_uid="other")) is PublishResult.LATE
    publisher.state("RUNNING")
    publisher.state(AppState.RUNNING)
    publisher.close()
    assert [one.rev for one in publisher.sent] == [0, 1]
    assert publisher.states == [(AppState.RUNNING, None), (AppState.OFFLINE, "stopped")]
    assert math.isclose(sum(publisher.counts.values()), 4)


def test_a_parcel_that_came_round_says_how_often():
    assert message(decision()).recirc == 0
    assert message(decision(rounds=2)).recirc == 2
    assert "recirc" not in decision_record(decision())
    assert decision_record(decision(rounds=2))["recirc"] == 2


@pytest.mark.parametrize(("weight_g", "height_mm"), [(2140.0, 190.0), (None, None)])
def test_the_record_has_what_scale_and_dimensioner_said(weight_g, height_mm):
    story = Story(decision(weight_g=weight_g, height_mm=height_mm, size_mm=(418.0, 300.0)))
    record = parcel_message(story, clock=ReplayClock(), boot_id="B", model=None, replay=False)
    assert record.dim_mm is not None
    assert (record.weight_g, record.dim_mm.h) == (weight_g, height_mm)
