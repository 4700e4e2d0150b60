"""A host and a PLC talk to a running line over a real broker: plans taken and refused, a lane that fills up."""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta, timezone

import mosquitto as real
import own_line
import pytest

from edge_sorter.config import load_config
from edge_sorter.plc.topics import Topics

PATIENCE_S = 120.0
"""For a loaded machine; the clip is repeated by nobody, so it also has to be long enough."""


@pytest.fixture
def config_path(root, tmp_path, broker):
    """The demo line on our own broker, with twenty metres from the decision line to its lanes."""
    values = own_line.demo_values(root)
    values["sort"] = {"plan": values["sort"]["plan"], "timing": {"divert_mm": 20_000}}
    values["plc"] = {"host": broker.host, "port": broker.port}
    return own_line.write(tmp_path, values)


def say(broker, topic, payload, *, retain=False):
    command = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-q", "1", "-t", topic]
    kept = ["-r"] if retain else []
    subprocess.run([*command, "-m", json.dumps(payload), *kept], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.broker
def test_a_host_sends_plans_and_the_plc_closes_a_lane(broker, config_path):
    topics = Topics(load_config(config_path).line, replay=True)
    outsider = real.Outsider(broker, topics.plan_status, topics.decision, topics.info)
    with own_line.running(config_path, outsider=outsider):

        def statuses():
            return [json.loads(payload) for payload in outsider.on(topics.plan_status)]

        def decisions():
            return [json.loads(payload) for payload in outsider.on(topics.decision)]

        def until(condition, what):
            real.wait_until(condition, timeout_s=PATIENCE_S, what=what)

        until(statuses, "the plan at start is told")
        assert statuses()[0]["result"] == "ACTIVE" and statuses()[0]["active"].startswith("demo#")
        until(decisions, "a first decision")

        bad = {"rules": [{"id": "x", "to": "L99"}], "default": "NR", "exception": "HOSP"}
        say(broker, topics.wcs_plan, {"id": "bad", "rev": 1, "plan": bad})
        until(lambda: statuses()[-1]["result"] == "REJECTED", "a bad plan is refused")
        assert statuses()[-1]["offered"] == "bad" and statuses()[-1]["active"].startswith("demo#")
        assert statuses()[-1]["errors"] == [
            "rules.0.to.0: lane 'L99' does not exist; lanes: L01, L02, L03, NC, NR, HOSP"
        ]

        night = {"rules": [{"id": "all", "to": ["L01", "L02"]}], "default": "NR", "exception": "HOSP"}
        say(broker, topics.wcs_plan, {"id": "night", "rev": 1, "plan": night}, retain=True)
        until(lambda: statuses()[-1]["active"].startswith("night#"), "the new plan decides")
        assert statuses()[-1]["result"] == "ACTIVE"
        until(lambda: json.loads(outsider.on(topics.info)[-1])["plan"].startswith("night#"), "the info follows")
        until(lambda: any(d["plan"].startswith("night#") and d["lane"] == "L01" for d in decisions()), "one for L01")

        say(broker, topics.plc_lane_state("L01"), {"lane": "L01", "state": "FULL"}, retain=True)
        until(lambda: any(d["rev"] == 1 for d in decisions()), "a revision")
        until(lambda: any(d["rev"] == 0 and d["reason"] == "ALT_LANE_FULL" for d in decisions()), "one past L01")

    said = decisions()
    assert [d["seq"] - said[0]["seq"] for d in said] == list(range(len(said)))
    assert len({(d["parcel_uid"], d["rev"]) for d in said}) == len(said)
    first = {d["parcel_uid"]: d for d in said if d["rev"] == 0}
    for revision in (d for d in said if d["rev"] == 1):
        before = first[revision["parcel_uid"]]
        assert (before["lane"], before["plan"]) == ("L01", revision["plan"])
        assert (revision["lane"], revision["reason"]) == ("L02", "ALT_LANE_FULL")
        # By the demo's encoder the deadline is a place; its time is what the belt's speed makes of it.
        assert revision["deadline"]["enc_cnt"] <= before["deadline"]["enc_cnt"]


def plan_message(name, **switch):
    plan = {"rules": [{"id": "all", "to": ["L01"]}], "default": "NR", "exception": "HOSP"}
    return {"id": name, "rev": 1, "plan": plan, **switch}


@pytest.mark.slow
@pytest.mark.broker
def test_a_plan_waits_for_a_gap_and_another_for_its_time(root, tmp_path, broker):
    values = own_line.demo_values(root)
    # Decided early in the picture, the demo's dense belt has moments without an undecided parcel in view.
    values["belt"]["decision_line"] = {"at_mm": 450}
    values["sort"]["timing"] = {"divert_mm": 20_000}
    values["plc"] = {"host": broker.host, "port": broker.port}
    config_path = own_line.write(tmp_path, values)
    topics = Topics(load_config(config_path).line, replay=True)
    outsider = real.Outsider(broker, topics.plan_status, topics.decision)
    with own_line.running(config_path, outsider=outsider):

        def told(topic=topics.plan_status):
            return [json.loads(payload) for payload in outsider.on(topic)]

        def until_active(name):
            real.wait_until(
                lambda: any(s["active"].startswith(f"{name}#") for s in told()), timeout_s=PATIENCE_S, what=name
            )

        until_active("demo")
        real.wait_until(lambda: told(topics.decision), timeout_s=PATIENCE_S, what="a first decision")
        say(broker, topics.wcs_plan, plan_message("gap", activate="NEXT_GAP"))
        until_active("gap")
        starts = datetime.now(timezone.utc) + timedelta(seconds=2)
        say(broker, topics.wcs_plan, plan_message("shift", activate="AT", valid_from=f"{starts:%Y-%m-%dT%H:%M:%S.%fZ}"))
        until_active("shift")
        real.wait_until(
            lambda: told(topics.decision)[-1]["plan"].startswith("shift#"), timeout_s=PATIENCE_S, what="one by it"
        )

    names = [(s["result"], s["active"].split("#")[0], s.get("offered", "").split("#")[0]) for s in told()]
    assert names == [
        ("ACTIVE", "demo", ""),
        ("WAITING", "demo", "gap"),
        ("ACTIVE", "gap", "gap"),
        ("WAITING", "gap", "shift"),
        ("ACTIVE", "shift", "shift"),
    ]
    moment = {s["active"].split("#")[0]: s["ts"] for s in told() if s["result"] == "ACTIVE"}
    assert datetime.fromisoformat(moment["shift"].replace("Z", "+00:00")) >= starts
    plans = [d["plan"].split("#")[0] for d in told(topics.decision)]
    assert plans == sorted(plans, key=["demo", "gap", "shift"].index)
