"""Failure policy, row 20: a wrong plan changes nothing and the host is told every mistake; on the whole program."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import yaml
from mosquitto import wait_until
from plc_side import PlcSide

pytestmark = pytest.mark.broker


def test_row_20_a_bad_plan_over_mqtt_leaves_the_old_one_and_is_answered(root, broker, tmp_path):
    demo = root / "configs/demo"
    settings = yaml.safe_load((demo / "line.yaml").read_text())
    for section, key in (("detect", "model"), ("belt", "calibration"), ("sort", "plan")):
        settings[section][key] = str((demo / settings[section][key]).resolve())
    settings["video"] = {"source": str(demo / "demo.mp4")}
    encoder = settings["belt"].get("encoder")
    if encoder is not None and encoder["source"] != "mqtt":
        encoder["source"] = str((demo / encoder["source"]).resolve())
    settings["plc"] = {"host": broker.host, "port": broker.port}
    config = tmp_path / "line.yaml"
    config.write_text(yaml.safe_dump(settings))
    line = settings.get("line", {})
    levels = [
        line.get(*pair)
        for pair in (("enterprise", "site"), ("site", "hub"), ("area", "sort"), ("line", "line01"), ("cell", "vis01"))
    ]
    prefix = "/".join(["replay", *levels, "edge_sorter/v1"])
    with PlcSide(broker.port, prefix, replay=True) as plc:
        told: list[dict] = plc.plans
        child = subprocess.Popen([sys.executable, "-m", "edge_sorter", "run", "-c", str(config)], cwd=root)
        try:
            wait_until(lambda: plc.usable and told, timeout_s=90, what="running")
            active = told[-1]["active"]
            assert told[-1]["result"] == "ACTIVE"
            plc.say("wcs/plan", {"id": "bad", "plan": {"id": "bad", "lanes": [{"id": "L1"}], "default": "L9"}})
            wait_until(lambda: told[-1]["result"] == "REJECTED", timeout_s=30, what="refused")
            assert told[-1]["active"] == active
            assert told[-1]["errors"]
            wait_until(lambda: plc.alarms.get("PLAN_REJECTED"), timeout_s=30, what="alarm")
            plc.command("reload")
            wait_until(lambda: plc.replies, timeout_s=30, what="reload answered")
            assert plc.replies[-1]["ok"] is True
            wait_until(lambda: told[-1]["result"] == "ACTIVE", timeout_s=30, what="plan read again")
            wait_until(lambda: plc.acted, timeout_s=60, what="parcels are sorted")
        finally:
            child.send_signal(signal.SIGTERM)
            child.wait(30)
        assert plc.states[-1][1]["state"] == "OFFLINE"
        assert max(plc.actions.values()) == 1
