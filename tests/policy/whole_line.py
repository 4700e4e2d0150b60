"""The whole program as a process of its own, on a real network camera and a real broker, for tests of the PLC side.

`WholeLine` owns the camera, the PLC side with its lanes, and the program; everything a test does to it is done from
outside, as the plant would: the camera's mood, what lanes report, signals.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import yaml
from mosquitto import Mosquitto, free_port, wait_until
from plc_side import PlcSide

PREFIX = "acme/hub7/sort/line03/vis01/edge_sorter/v1"
LANES = ("L01", "L02", "L03", "NC", "NR", "HOSP")

PROGRAM = """
import signal, sys
from edge_sorter.cli import main
from edge_sorter.detect.engines import openvino
from edge_sorter.errors import EngineError

whole = openvino.OpenVinoEngine.infer
broken = []

def infer(self, tensor):
    if broken:
        raise EngineError("the device was lost")
    return whole(self, tensor)

openvino.OpenVinoEngine.infer = infer
signal.signal(signal.SIGUSR1, lambda *_: broken.append(True))
sys.argv[0] = "edge-sorter"
main()
"""
"""The program as it is, but for an engine that fails when told to: no accelerator is here that could be unplugged."""


def demo_values(root: Path, broker: Mosquitto) -> dict[str, Any]:
    """Return the demo's configuration with absolute paths, this broker, and a belt of known speed without encoder."""
    demo = root / "configs/demo"
    values: dict[str, Any] = yaml.safe_load((demo / "line.yaml").read_text())
    for section, key in (("detect", "model"), ("belt", "calibration"), ("sort", "plan")):
        values[section][key] = str((demo / values[section][key]).resolve())
    values["belt"].pop("encoder")
    values["belt"]["speed_mm_s"] = 1000
    values["plc"] = {"host": broker.host, "port": broker.port, "gateway": "required"}
    return values


class Lanes:
    """What the PLC reports of its lanes, every 0.3 s; nothing while `reports` is False."""

    def __init__(self, plc: PlcSide) -> None:
        self.reports = False
        self.states = dict.fromkeys(LANES, "OPEN")
        self._plc = plc
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def say(self, lane: str, state: str) -> None:
        """Report a change at once."""
        self.states[lane] = state
        self._plc.say(f"plc/lane/{lane}/state", {"lane": lane, "state": state}, retain=True)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._closing.wait(0.3):
            for lane, state in list(self.states.items()) if self.reports else ():
                self._plc.say(f"plc/lane/{lane}/state", {"lane": lane, "state": state}, retain=True)


class WholeLine:
    """Camera, program and PLC side."""

    def __init__(
        self, root: Path, folder: Path, broker: Mosquitto, *, at_start: str = "sort", outbox: Path | None = None
    ) -> None:
        self._root, self._camera_port = root, free_port()
        values = demo_values(root, broker)
        values["video"] = {"source": f"http://127.0.0.1:{self._camera_port}/", "reconnect_s": [0.1, 0.5]}
        values["detect"]["engine"] = "openvino"
        values["sort"]["lane_states"] = {"source": "plc", "ttl_s": 4}
        values["sort"]["at_start"] = at_start
        values["plc"]["confirms"] = "required"
        if outbox is not None:
            values["plc"]["outbox"] = {"path": str(outbox)}
        self._config = folder / "line.yaml"
        self._config.write_text(yaml.safe_dump(values))
        self._log = (folder / "log.txt").open("w")
        self._camera: subprocess.Popen[str] | None = None
        self.program: subprocess.Popen[bytes] | None = None
        self.plc = PlcSide(broker.port, PREFIX)
        self.lanes = Lanes(self.plc)

    def start(self) -> None:
        clip, camera = self._root / "configs/demo/demo.mp4", Path(__file__).with_name("moody_camera.py")
        self._camera = subprocess.Popen(
            [sys.executable, str(camera), str(clip), str(self._camera_port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._camera.stdout is not None
        assert self._camera.stdout.readline().strip() == "ready"
        self.start_program()
        self.until_works(timeout_s=120)

    def start_program(self) -> None:
        """Start the program alone; the camera shows already."""
        self.program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "run", "-c", str(self._config)],
            cwd=self._root,
            stdout=self._log,
            stderr=self._log,
        )

    def mood(self, word: str) -> float:
        """Set the camera's mood; returns when."""
        assert self._camera is not None
        assert self._camera.stdin is not None
        self._camera.stdin.write(word + "\n")
        self._camera.stdin.flush()
        return time.monotonic()

    def until_works(self, *, timeout_s: float = 60) -> None:
        """Wait until the PLC side would act on decisions, and pictures are looked at."""

        def works() -> bool:
            assert self.program is not None
            assert self.program.poll() is None, "the program ended"
            state = self.plc.states[-1][1] if self.plc.states else {"cause": ""}
            sees = bool(self.plc.heartbeats) and self.plc.heartbeats[-1][1].get("fps") is not None
            return self.plc.usable and sees and not state["cause"].startswith(("CAM_", "PLC_"))

        wait_until(works, timeout_s=timeout_s, what="the line works")

    def told(self, since_s: float, word: str) -> float | None:
        """Return how long after `since_s` a state's cause began with a word, or None."""
        for at_s, state in list(self.plc.states):
            if at_s >= since_s and state["cause"].startswith(word):
                return at_s - since_s
        return None

    def new_decisions(self, since: int) -> list[dict]:
        """Return first revisions that arrived after so many decision messages."""
        return [decision for _, decision in self.plc.decisions[since:] if decision["rev"] == 0]

    def stop_program(self) -> None:
        """Stop the program as a service manager does, and hear its last word."""
        if self.program is not None:
            self.program.send_signal(signal.SIGCONT)
            self.program.terminate()
            self.program.wait(60)
            wait_until(lambda: self.plc.states[-1][1]["state"] == "OFFLINE", timeout_s=20, what="its last word")

    def close(self) -> None:
        if self._camera is not None:
            self._camera.terminate()
            self._camera.wait(60)
            for pipe in (self._camera.stdin, self._camera.stdout):
                if pipe is not None:
                    pipe.close()
        self.lanes.close()
        self.plc.close()
        self._log.close()
