"""Row 7: the program is killed at random moments; what the PLC did, and what the records say, stays right.

`EDGE_SORTER_KILLS=200` is the acceptance run; by default a handful of kills.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest
from mosquitto import wait_until

KILLS = int(os.environ.get("EDGE_SORTER_KILLS", "6"))

pytestmark = [pytest.mark.broker, pytest.mark.timeout(180 + 20 * KILLS)]

CHILD = """
import sys, time, signal
sys.path.insert(0, sys.argv[4])
from edge_sorter.clock import SystemClock
from edge_sorter.config import LineSection, OutboxSection, PlcSection
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.types import Action, BeltPosition, Reason, SortDecision
boot, stop = sys.argv[3], []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
clock = SystemClock()
section = PlcSection(port=int(sys.argv[1]), gateway="required", outbox={"path": sys.argv[2]})
with MqttLink(section, topics=Topics(LineSection()), clock=clock, boot_id=boot) as link:
    link.state("RUNNING", cause="test")
    number = 0
    while not stop:
        link.tick(clock.now_ns())
        if link.standing[0].value == "RUNNING":
            number += 1
            now = clock.now_ns()
            link.publish(SortDecision(
                parcel_uid=f"{boot}-{number:07d}", seq=number, rev=0, lane="L1", alternates=(), action=Action.DIVERT,
                reason=Reason.PLAN_MATCH, rule=None, plan="p", track_id=number, class_name="carton", confidence=1.0,
                size_mm=None, codes=(), flags=(), position=BeltPosition("TIME", None, None, None, (0.0, 0.0)),
                crossed_ns=now, captured_ns=now, deadline_ns=now + 700_000_000))
        time.sleep(0.01)
"""


def start(broker, store, boot: str, tests) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, str(broker.port), str(store), boot, str(tests)])


def test_row_07_killed_at_random_moments_nothing_is_done_twice_and_no_record_is_lost(broker, plc, tmp_path, root):
    chance, store = random.Random(3), tmp_path / "outbox.sqlite"
    for number in range(KILLS):
        boot = f"01JD5Z{number:04d}"
        before = len(plc.decisions)
        child = start(broker, store, boot, root / "tests")
        try:
            wait_until(lambda n=before: len(plc.decisions) > n, timeout_s=60, what=f"{boot} sorts")  # type: ignore[misc]
            time.sleep(chance.uniform(0.0, 0.5))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(10)
    last = start(broker, store, "01JD5Z9999", root / "tests")
    wait_until(lambda: plc.decisions[-1][1]["boot_id"] == "01JD5Z9999", timeout_s=60, what="the last one sorts")
    time.sleep(1.0)
    last.send_signal(signal.SIGTERM)
    last.wait(30)
    with sqlite3.connect(store) as base:
        ends = [json.loads(payload) for (payload,) in base.execute("SELECT payload FROM record")]
        still_open = base.execute("SELECT COUNT(*) FROM open_parcel").fetchone()[0]
    base.close()
    seen = set(plc.uids)
    recorded = Counter(end["parcel_uid"] for end in ends)
    assert len(seen) > 20
    assert seen <= set(recorded)
    assert set(recorded.values()) == {1}
    assert still_open == 0
    assert {end["outcome"] for end in ends} <= {"ACCEPTED", "UNFINISHED", "NO_ACK", "REFUSED", "LATE"}
    assert plc.acted_late == 0
    assert set(plc.actions.values()) == {1}
    assert plc.answers["STALE_BOOT"] == 0
    wait_until(lambda: {record["parcel_uid"] for record in plc.records} >= seen - _newest(ends), timeout_s=20)


def _newest(ends: list[dict]) -> set[str]:
    """Records of the last run's last moment, which wait for the next run."""
    return {end["parcel_uid"] for end in ends if end["parcel_uid"].startswith("01JD5Z9999")}
