"""The word to the service manager: over a real NOTIFY_SOCKET, from a real running line, in the right order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import mosquitto as real
import own_line
import pytest
import yaml

from edge_sorter.service.notify import Notify

HANGS_AFTER_60_FRAMES = """
import threading, edge_sorter.detect as detect
from edge_sorter.cli import main
detects, seen = detect.Detector.detect, []
def detect_or_hang(self, frame):
    seen.append(1)
    if len(seen) > 60:
        print("hangs now", flush=True)
        threading.Event().wait()
    return detects(self, frame)
detect.Detector.detect = detect_or_hang
main()
"""


class Manager:
    """The receiving end of NOTIFY_SOCKET: (seconds since the start, text) of every datagram."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(0.1)
        self._began = time.monotonic()
        self.said: list[tuple[float, str]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        while not self._stop.is_set():
            try:
                text = self._socket.recv(4096).decode()
            except TimeoutError:
                continue
            self.said.append((time.monotonic() - self._began, text))

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.said]

    def silent_s(self) -> float:
        """Since the last meal of the watchdog."""
        return time.monotonic() - self._began - max(at for at, text in self.said if text == "WATCHDOG=1")

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self._socket.close()


@pytest.fixture
def manager(tmp_path: Path):
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


def environ(tmp_path: Path, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": str(tmp_path / "notify"), **more}


def test_each_word_as_systemd_wants_it(manager, tmp_path):
    notify = Notify(environ(tmp_path))
    notify.status("STARTING:\n model")
    notify.status("STARTING: model")  # not news
    notify.ready()
    notify.reloading(5_000_000)
    notify.stopping()
    notify.close()
    real.wait_until(lambda: len(manager.said) >= 4, what="four words")
    assert manager.texts == [
        "STATUS=STARTING: model",
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=5000",
        "STOPPING=1",
    ]


def test_the_watchdog_is_fed_four_times_within_its_limit_and_only_when_asked(manager, tmp_path):
    notify = Notify(environ(tmp_path, WATCHDOG_USEC="2000000", WATCHDOG_PID=str(os.getpid())))
    assert notify.watchdog_s == 2.0
    for now_ms in range(0, 2000, 10):
        notify.alive(now_ms * 1_000_000)
    notify.ready()
    notify.close()
    real.wait_until(lambda: "READY=1" in manager.texts, what="the last word")
    assert manager.texts.count("WATCHDOG=1") == 4


def test_long_work_that_is_known_gets_more_time_and_then_no_more(manager, tmp_path):
    notify = Notify(environ(tmp_path, WATCHDOG_USEC="5000000"))
    with pytest.raises(ZeroDivisionError), notify.patient(60):
        raise ZeroDivisionError
    without = Notify(environ(tmp_path))
    with without.patient(60):
        without.ready()
    notify.close()
    without.close()
    real.wait_until(lambda: "READY=1" in manager.texts, what="the last word")
    assert manager.texts == ["WATCHDOG_USEC=60000000", "WATCHDOG_USEC=5000000\nWATCHDOG=1", "READY=1"]


@pytest.mark.parametrize(
    "more",
    [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "no"}, {"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}],
)
def test_no_watchdog_is_fed_that_is_not_ours(manager, tmp_path, more):
    notify = Notify(environ(tmp_path, **more))
    assert notify.watchdog_s is None
    notify.alive(0)
    notify.ready()
    notify.close()
    real.wait_until(lambda: manager.texts, what="the one word")
    assert manager.texts == ["READY=1"]


def test_abstract_addresses_work():
    address = f"@edge-sorter-test-{os.getpid()}"
    manager = Manager(address)
    notify = Notify({"NOTIFY_SOCKET": address})
    notify.ready()
    real.wait_until(lambda: manager.texts == ["READY=1"], what="the word")
    notify.close()
    manager.close()


@pytest.mark.parametrize("address", ["", "relative", "/nonexistent/notify"])
def test_nobody_listening_is_no_error(address):
    notify = Notify({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000"})
    notify.ready()
    notify.alive(0)
    notify.close()
    notify.close()


@pytest.fixture
def line(root: Path, tmp_path: Path):
    """A function that starts a real line (demo clip as camera, real broker) under a notify socket."""
    if not real.INSTALLED:
        pytest.skip("mosquitto is not installed (apt-get install mosquitto mosquitto-clients)")
    broker = real.Mosquitto(tmp_path).start()
    values = own_line.demo_values(root)
    values["plc"] = {"host": broker.host, "port": broker.port}
    values["sort"]["timing"] = {"divert_mm": 1_000_000}  # nothing is late, however busy this machine is
    path = own_line.write(tmp_path, values)
    processes: list[subprocess.Popen[str]] = []

    def start(*code: str, watchdog_s: float = 2.0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *(code or ("-m", "edge_sorter")), "run", "-c", str(path)],
            env={**os.environ, **environ(tmp_path, WATCHDOG_USEC=str(round(watchdog_s * 1e6)))},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start, broker, path
    for process in processes:
        process.kill()
        process.communicate()
    broker.stop()


@pytest.mark.slow
@pytest.mark.broker
def test_a_line_says_ready_feeds_the_watchdog_and_says_stopping(line, manager):
    start, broker, _ = line
    outsider = real.Outsider(broker, "#")
    process = start()
    real.wait_until(lambda: "READY=1" in manager.texts, timeout_s=60, what="READY")
    real.wait_until(lambda: manager.texts.count("WATCHDOG=1") >= 5, timeout_s=30, what="five meals")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    real.wait_until(lambda: manager.texts[-1] == "STOPPING=1", what="STOPPING")
    words = [text for text in manager.texts if text != "WATCHDOG=1"]
    assert words[:4] == ["STATUS=STARTING: model", "STATUS=STARTING: camera", "STATUS=READY", "STATUS=RUNNING"]
    assert words[4] == "READY=1"
    states = [payload for topic, _, _, payload in outsider.lines if topic.endswith("/state")]
    assert b'"RUNNING"' in states[2], "the broker knew before the service manager did"
    outsider.close()


@pytest.mark.slow
@pytest.mark.broker
def test_a_loop_that_hangs_in_a_stage_starves_the_watchdog(line, manager):
    """The process lives, its network thread answers the broker's pings, and still nobody feeds the watchdog."""
    start, _, _ = line
    process = start("-c", HANGS_AFTER_60_FRAMES)
    assert process.stdout is not None
    assert process.stdout.readline() == "hangs now\n"
    real.wait_until(lambda: manager.silent_s() > 3.0, timeout_s=20, what="three seconds of silence")
    assert "READY=1" in manager.texts
    assert process.poll() is None


@pytest.mark.slow
@pytest.mark.broker
def test_without_a_broker_it_never_says_ready(line, manager):
    start, broker, _ = line
    broker.stop()
    process = start()
    assert process.wait(60) == 76
    assert "READY=1" not in manager.texts
    broker.start()


@pytest.mark.slow
@pytest.mark.broker
def test_sighup_reloads_and_a_mistake_changes_nothing(line, manager, root):
    start, broker, path = line
    outsider = real.Outsider(broker, "#")
    plan = path.with_name("plan.yaml")
    plan.write_text((root / "configs/demo/plan.yaml").read_text())
    config = yaml.safe_load(path.read_text())
    config["sort"]["plan"] = str(plan)
    own_line.write(path.parent, config)

    def decisions() -> list[dict]:
        return [json.loads(payload) for topic, _, _, payload in outsider.lines if topic.endswith("/decision")]

    def causes() -> list[str]:
        states = [json.loads(payload) for topic, _, _, payload in outsider.lines if topic.endswith("/state")]
        return [state["cause"] for state in states if state["state"] == "RUNNING"]

    process = start()
    real.wait_until(lambda: len(decisions()) >= 3, timeout_s=120, what="first decisions")
    good = plan.read_text()
    plan.write_text(good.replace("to: L03", "to: NOWHERE"))
    process.send_signal(signal.SIGHUP)
    real.wait_until(
        lambda: any("refused" in cause and "NOWHERE" in cause for cause in causes()), timeout_s=30, what="refusal told"
    )
    plan.write_text(good)
    config["sort"]["min_hits"] = 1000
    own_line.write(path.parent, config)
    process.send_signal(signal.SIGHUP)
    real.wait_until(lambda: "reloaded" in causes(), timeout_s=30, what="the reload told")
    before = len(decisions())
    real.wait_until(lambda: len(decisions()) >= before + 3, timeout_s=120, what="decisions after it")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    made = decisions()
    assert [decision["seq"] - made[0]["seq"] for decision in made] == list(range(len(made))), "no parcel was lost"
    assert "PLAN_MATCH" not in {decision["reason"] for decision in made[before + 1 :]}
    assert "LOW_CONF" in {decision["reason"] for decision in made[before + 1 :]}
    assert "PLAN_MATCH" in {decision["reason"] for decision in made[:before]}
    words = [text.split("\n")[0] for text in manager.texts if text.startswith(("READY", "RELOADING"))]
    assert words == ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"]
    outsider.close()
