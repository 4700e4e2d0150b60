"""Measures what the link promises, with a real broker and the PLC side of the tests.

    export PYTHONPATH=.:tests
    python tests/policy/measure.py link --minutes 10       # 50 decisions a second: times to both acknowledgements
    python tests/policy/measure.py broker-loss --times 20  # broker killed: when does the PLC use its default lane
    python tests/policy/measure.py restart --times 5       # whole program killed: when does it decide again
    python tests/policy/measure.py kills --times 200       # whole program killed at random moments, starting included

Run it on a quiet machine from the checkout; `restart` and `kills` need OpenVINO and some seconds a time. `link` and
`kills` end with exit code 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from kills import kill_at_random
from made_decision import BOOT_ID, made_decision
from mosquitto import Mosquitto, wait_until
from plc_side import PlcSide
from whole_line import WholeLine

from edge_sorter.clock import Clock, SystemClock
from edge_sorter.config import LineSection, PlcSection
from edge_sorter.plc.link import MqttLink
from edge_sorter.plc.topics import Topics
from edge_sorter.types import BeltPosition, SortDecision

ROOT = Path(__file__).resolve().parents[2]
PER_S = 50


def decision(seq: int, clock: Clock) -> SortDecision:
    """Return one with an encoder's counts and 0.7 s left."""
    counted = BeltPosition("ENC1", 9182.3, 9600.5, -42.0, (640.0, 360.25), 18364, 19201)
    return made_decision(seq, now_ns=clock.now_ns(), left_s=0.7, position=counted)


def show(what: str, values_ms: Sequence[float]) -> None:
    """Print percentiles of times in milliseconds."""
    ordered = sorted(values_ms)
    if not ordered:
        print(f"{what}: nothing measured")
        return
    marks = (
        f"p{share:g} {ordered[min(len(ordered) - 1, int(len(ordered) * share / 100))]:.2f}" for share in (50, 95, 99)
    )
    print(f"{what}: {', '.join(marks)}, max {ordered[-1]:.2f} ms, n {len(ordered)}")


def measure_link(folder: Path, *, minutes: float) -> bool:
    """Send decisions at a steady rate, time both acknowledgements; tells whether each was acted on once, in time."""
    clock, topics, results = SystemClock(), Topics(LineSection()), Counter[str]()
    broker = Mosquitto(folder).start()
    section = PlcSection(port=broker.port, gateway="required", outbox={"path": folder / "outbox.sqlite"})
    broker_ms: list[float] = []
    with (
        PlcSide(broker.port, topics.prefix) as plc,
        MqttLink(section, topics=topics, clock=clock, boot_id=BOOT_ID) as link,
    ):
        link.state("RUNNING", cause="measuring")

        def tick() -> None:
            link.tick(clock.now_ns())
            while link.ack_ns:
                broker_ms.append(link.ack_ns.popleft() / 1e6)

        wait_until(lambda: plc.usable and link.standing[0].value == "RUNNING", meanwhile=tick, what="running")
        began = time.monotonic()
        for seq in range(1, round(minutes * 60 * PER_S) + 1):
            results[link.publish(decision(seq, clock)).value] += 1
            while time.monotonic() < began + seq / PER_S:
                tick()
                time.sleep(0.001)
        took_s = time.monotonic() - began
        wait_until(lambda: len(plc.records) >= results["SENT"], meanwhile=tick, timeout_s=120, what="records")
        made = results.total()
        print(f"{made} decisions in {took_s:.1f} s ({made / took_s:.1f}/s): {dict(results)}")
        print(f"PLC: acted on {len(plc.acted)}, {plc.acted_late} late, gaps {plc.gaps}, {dict(plc.answers)}")
        show("publish to the broker's acknowledgement", broker_ms)
        show(
            "publish to the PLC's acknowledgement", [_between_ms(record) for record in plc.records if "t_ack" in record]
        )
        kept = len(plc.acted) == made == results["SENT"] and plc.acted_late == 0 and set(plc.actions.values()) == {1}
    broker.stop()
    return kept and made / took_s > 0.98 * PER_S


def _between_ms(record: dict) -> float:
    def seconds(stamp: str) -> float:
        hours, minutes, rest = stamp[11:-1].split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(rest)

    return (seconds(record["t_ack"]) - seconds(record["t_publish"])) % 86_400 * 1000


def measure_broker_loss(folder: Path, *, times: int) -> None:
    """Kill the broker and time how long the PLC goes on using the sorter."""
    clock, topics, lost_ms = SystemClock(), Topics(LineSection()), []
    broker = Mosquitto(folder, persistence=True).start()
    section = PlcSection(port=broker.port, gateway="required")
    with (
        PlcSide(broker.port, topics.prefix) as plc,
        MqttLink(section, topics=topics, clock=clock, boot_id=BOOT_ID) as link,
    ):
        link.state("RUNNING", cause="measuring")
        for _ in range(times):
            wait_until(lambda: plc.usable, meanwhile=lambda: link.tick(clock.now_ns()), timeout_s=60, what="running")
            broker.kill()
            killed = time.monotonic()
            wait_until(lambda: not plc.usable, meanwhile=lambda: link.tick(clock.now_ns()), what="HOLD at the PLC")
            lost_ms.append((time.monotonic() - killed) * 1000)
            broker.start()
    show("broker killed to default lane at the PLC", lost_ms)
    broker.stop()


def measure_restart(folder: Path, *, times: int) -> None:
    """Kill the whole program and time its start, and the first decision at the PLC, from the new start on."""
    broker = Mosquitto(folder).start()
    line = WholeLine(ROOT, folder, broker)
    line.lanes.reports = True
    ready_ms, decided_ms = [], []
    try:
        line.start()
        for _ in range(times):
            assert line.program is not None
            line.program.send_signal(signal.SIGKILL)
            line.program.wait(30)
            seen, boot = len(line.plc.decisions), line.plc.states[-1][1]["boot_id"]
            started = time.monotonic()
            line.start_program()

            def runs(boot: str = boot) -> bool:
                state = line.plc.states[-1][1]
                return state["boot_id"] != boot and state["state"] in ("RUNNING", "DEGRADED")

            wait_until(runs, timeout_s=120, what="running")
            ready_ms.append((time.monotonic() - started) * 1000)
            wait_until(lambda seen=seen: line.new_decisions(seen), timeout_s=120, what="a decision")  # type: ignore[misc]
            decided_ms.append((line.plc.decisions[seen][0] - started) * 1000)
        show("start to RUNNING", ready_ms)
        show("start to the first decision (a parcel comes every 0.7 s or so)", decided_ms)
        line.stop_program()
    finally:
        line.close()
        broker.stop()


def main() -> None:
    """Measure one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("link", "broker-loss", "restart", "kills"))
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=20)
    given = parser.parse_args()
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        if given.what == "link":
            kept = measure_link(Path(folder), minutes=given.minutes)
        elif given.what == "kills":
            kept = kill_at_random(ROOT, Path(folder), times=given.times)
        elif given.what == "broker-loss":
            measure_broker_loss(Path(folder), times=given.times)
        else:
            measure_restart(Path(folder), times=given.times)
    print("kept" if kept else "BROKEN")
    sys.exit(not kept)


if __name__ == "__main__":
    main()
