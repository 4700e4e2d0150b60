"""A sorter driven by hand: speaks as edge_sorter does, and also as edge_sorter never would."""

from __future__ import annotations

import json
import threading
import time
from datetime import datetime, timedelta, timezone

import mosquitto as real
import paho.mqtt.client as mqtt

from edge_sorter.config import LineSection

P = "acme/hub7/sort/line03/vis01/edge_sorter/v1"
LINE = LineSection(enterprise="acme", site="hub7", area="sort", line="line03", cell="vis01")


def stamp(seconds: float) -> str:
    moment = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sorter:
    """Speaks as edge_sorter does, by hand, so that it can also say what edge_sorter never would."""

    def __init__(self, broker: real.Mosquitto) -> None:
        self.acks: list[dict] = []
        self.told: dict[str, dict] = {}
        self.confirms: list[dict] = []
        self.beats: list[float] = []
        self.alive = True
        self.n = 0
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="sorter", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda client, *_: client.subscribe(f"{P}/plc/#", qos=1)
        self.client.on_message = self._heard
        self.client.reconnect_delay_set(0.1, 0.2)
        self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self._stop = threading.Event()
        self._beater = threading.Thread(target=self._beat)
        self._beater.start()
        self.state("RUNNING")

    def close(self) -> None:
        self._stop.set()
        self._beater.join()
        self.client.disconnect()
        self.client.loop_stop()

    def state(self, state: str) -> None:
        message = {"schema": "edge_sorter.state/1", "boot_id": "B1", "state": state, "ts": stamp(0)}
        self.client.publish(f"{P}/state", json.dumps(message), qos=1, retain=True)

    def decide(self, seq: int, *, late_s: float = 5.0, retain: bool = False, **changes) -> dict:
        message = {
            "schema": "edge_sorter.decision/1",
            "boot_id": "B1",
            "seq": seq,
            "parcel_uid": f"{changes.get('boot_id', 'B1')}-{seq}",
            "rev": 0,
            "lane": "L02",
            "action": "DIVERT",
            "reason": "PLAN_MATCH",
            "pos": {"ref": "SPEED", "lead_mm": 1.0},
            "t_capture": "2026-11-21T18:03:11.541902Z",
            "t_publish": stamp(0),
            "deadline": {"ts": stamp(late_s)},
            "replay": False,
        } | changes
        sent = self.client.publish(f"{P}/decision", json.dumps(message), qos=1, retain=retain)
        if retain:
            sent.wait_for_publish(30)  # else whoever comes next may still hear it as a new one
        return message

    def results(self, seq: int) -> list[str]:
        return [ack["result"] for ack in self.acks if ack["seq"] == seq]

    def _heard(self, _client, _userdata, message) -> None:
        data = json.loads(message.payload)
        name = message.topic[len(P) + 1 :]
        if name == "plc/ack":
            self.acks.append(data)
        elif name == "plc/confirm":
            self.confirms.append(data)
        elif name == "plc/hb":
            self.beats.append(time.monotonic())
            self.told[name] = data
        else:
            self.told[name] = data

    def _beat(self) -> None:
        while not self._stop.wait(0.1):
            if self.alive:
                self.n += 1
                message = {"schema": "edge_sorter.hb/1", "boot_id": "B1", "n": self.n, "ts": stamp(0)}
                self.client.publish(f"{P}/hb", json.dumps(message | {"state": "RUNNING"}), qos=0)
