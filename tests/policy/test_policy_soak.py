"""Everything at once: broker restarts, lost answers, deliveries twice; judged by what the PLC side remembers.

The long form (`EDGE_SORTER_SOAK=100000`) is the acceptance run; by default a few hundred decisions keep it honest.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time

import pytest
from mosquitto import wait_until

from edge_sorter.plc.publisher import PublishResult

DECISIONS = int(os.environ.get("EDGE_SORTER_SOAK", "400"))
PER_S = 50

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(120 + DECISIONS // 10)]


@pytest.mark.parametrize("broker", [True], indirect=True)
def test_soak_nothing_acted_late_or_twice_and_every_parcel_has_one_end(
    broker, plc, make_link, make_decision, clock, tmp_path
):
    chance = random.Random(7)
    store = tmp_path / "outbox.sqlite"
    link = make_link(broker.port, gateway="required", confirms="required", outbox={"path": store})
    link.start()
    link.state("RUNNING", cause="soak")
    plc.confirms = True
    wait_until(
        lambda: plc.usable and link.standing[0].value == "RUNNING",
        timeout_s=30,
        meanwhile=lambda: link.tick(clock.now_ns()),
    )
    results = []
    restart_every = max(100, min(1500, DECISIONS // 4))  # 30 s at 50 decisions/s in the long form
    for number in range(1, DECISIONS + 1):
        results.append(link.publish(make_decision(number, left_s=chance.choice((0.3, 0.7, 2.0)))))
        plc.acks = chance.random() > 0.02
        if plc.decisions and chance.random() < 0.02:
            plc.say("decision", plc.decisions[-1][1])  # delivered again
        if number % restart_every == 0:
            getattr(broker, chance.choice(("stop", "kill")))()
            link.tick(clock.now_ns())
            broker.start()
        until = time.monotonic() + 1 / PER_S
        while time.monotonic() < until:
            link.tick(clock.now_ns())
            time.sleep(0.004)
    plc.acks = True
    link.state("DEGRADED", cause="soak over")
    until_ns = clock.now_ns() + 8_000_000_000
    while clock.now_ns() < until_ns:
        link.tick(clock.now_ns())
        time.sleep(0.01)
    link.close()
    with sqlite3.connect(store) as base:
        ends = [json.loads(payload) for (payload,) in base.execute("SELECT payload FROM record")]
    base.close()
    uids = {make_decision(number).parcel_uid for number in range(1, DECISIONS + 1)}
    assert len(ends) == DECISIONS
    assert {end["parcel_uid"] for end in ends} == uids
    assert "UNFINISHED" not in {end["outcome"] for end in ends}
    assert plc.acted_late == 0
    assert set(plc.actions.values()) <= {1}
    sent = {uid for uid, result in zip(sorted(uids), results, strict=True) if result is PublishResult.SENT}
    assert set(plc.acted) <= sent
    assert len(plc.acted) > DECISIONS // 2
