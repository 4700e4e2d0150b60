"""Everything at once: broker and gateway restarts, messages and answers lost, repeated and swapped; judged by what the
PLC side remembers.

The long form (`EDGE_SORTER_SOAK=100000`, with `-s` to see the figures) is the acceptance run; by default a few hundred
decisions keep it honest.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter

import pytest
from bad_network import BadNetwork
from mosquitto import wait_until

from edge_sorter.plc.publisher import PublishResult

DECISIONS = int(os.environ.get("EDGE_SORTER_SOAK", "500"))
PER_S = 50
GATEWAY_AWAY_S = 1.5

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(120 + DECISIONS // 10)]


class Faults:
    """Restarts the broker every 30 s and the gateway every 70 s of the long form, by turns cleanly and by SIGKILL."""

    def __init__(self, broker, plc) -> None:
        self.did: Counter[str] = Counter()
        self._broker, self._plc = broker, plc
        self._chance = random.Random(7)
        self._broker_every = max(100, min(30 * PER_S, DECISIONS // 4))
        self._gateway_every = max(160, min(70 * PER_S, DECISIONS // 2))
        self._gateway_back_s: float | None = None

    def strike(self, number: int) -> None:
        """Do what is due after so many decisions."""
        if self._gateway_back_s is not None and time.monotonic() > self._gateway_back_s:
            self._plc.start_gateway()
            self._gateway_back_s = None
        if number % self._broker_every == 0:
            how = self._chance.choice(("stop", "kill"))
            self.did[f"broker {how}"] += 1
            getattr(self._broker, how)()
            self._broker.start()
        if number % self._gateway_every == self._gateway_every // 3 and self._gateway_back_s is None:
            self.did["gateway"] += 1
            self._plc.stop_gateway()
            self._gateway_back_s = time.monotonic() + GATEWAY_AWAY_S

    def over(self) -> None:
        """No more faults from here on."""
        if self._gateway_back_s is not None:
            self._plc.start_gateway()


@pytest.mark.parametrize("broker", [True], indirect=True)
def test_soak_nothing_acted_late_or_twice_and_every_parcel_has_one_end(
    broker, plc, make_link, make_decision, clock, tmp_path
):
    chance, store = random.Random(11), tmp_path / "outbox.sqlite"
    link = make_link(broker.port, gateway="required", confirms="required", outbox={"path": store})
    link.start()
    link.state("RUNNING", cause="soak")
    plc.confirms = True
    wait_until(
        lambda: plc.usable and link.standing[0].value == "RUNNING",
        timeout_s=30,
        meanwhile=lambda: link.tick(clock.now_ns()),
    )
    plc.way_in, plc.way_out = BadNetwork(1), BadNetwork(2, lost=0.02)
    faults, results = Faults(broker, plc), []
    for number in range(1, DECISIONS + 1):
        results.append(link.publish(make_decision(number, left_s=chance.choice((0.3, 0.7, 2.0)))))
        faults.strike(number)
        until = time.monotonic() + 1 / PER_S
        while time.monotonic() < until:
            link.tick(clock.now_ns())
            time.sleep(0.004)
    faults.over()
    link.state("DEGRADED", cause="soak over")
    until_ns = clock.now_ns() + 8_000_000_000
    while clock.now_ns() < until_ns:
        link.tick(clock.now_ns())
        time.sleep(0.01)
    link.close()
    with sqlite3.connect(store) as base:
        rows = base.execute("SELECT payload, forwarded FROM record").fetchall()
    base.close()
    ends = [json.loads(payload) for payload, _ in rows]
    outcomes = Counter(end["outcome"] for end in ends)
    print(
        f"\n{DECISIONS} decisions: {dict(Counter(result.value for result in results))}\n"
        f"PLC: {len(plc.acted)} parcels acted on, {plc.acted_late} late, {dict(plc.answers)}\n"
        f"ends: {dict(outcomes)}; records on file {len(ends)}, forwarded {sum(forwarded for _, forwarded in rows)}\n"
        f"faults: {dict(faults.did)}, decisions {dict(plc.way_in.did)}, answers {dict(plc.way_out.did)}"
    )
    uids = {make_decision(number).parcel_uid for number in range(1, DECISIONS + 1)}
    assert len(ends) == DECISIONS
    assert {end["parcel_uid"] for end in ends} == uids
    assert "UNFINISHED" not in outcomes
    assert plc.acted_late == 0
    assert set(plc.actions.values()) <= {1}
    sent = {uid for uid, result in zip(sorted(uids), results, strict=True) if result is PublishResult.SENT}
    assert set(plc.acted) <= sent
    assert len(plc.acted) > DECISIONS // 3
    assert faults.did["gateway"] >= 1
    assert faults.did["broker stop"] + faults.did["broker kill"] >= 3
    assert min(way.did[kind] for way in (plc.way_in, plc.way_out) for kind in ("LOST", "TWICE", "SWAPPED")) > 0
