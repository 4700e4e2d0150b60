"""What the broker keeps in our name: told when it changes, told again after a reconnect, and nothing old left standing.

A broker may restart empty, and a run may end with an alarm active that the next one knows nothing of. Contract: after
`again`, the broker keeps exactly what this run last told; alarms of earlier runs are told CLEARED.
"""

from __future__ import annotations

from collections import deque

from paho.mqtt.client import MQTTMessage

from edge_sorter.errors import MessageError
from edge_sorter.plc.decode import decode
from edge_sorter.plc.messages import AlarmMessage
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.wire import Wire


class Kept:
    """Retained messages by topic."""

    def __init__(self, wire: Wire, topics: Topics, *, boot_id: str) -> None:
        self._wire, self._topics, self._boot_id = wire, topics, boot_id
        self._told: dict[str, bytes] = {}
        self._heard: deque[MQTTMessage] = deque(maxlen=200)

    def tell(self, topic: str, payload: bytes) -> None:
        """Publish something that the broker should keep; offline it is told after the reconnect."""
        self._told[topic] = payload
        self._wire.send(topic, payload, retain=True)

    def again(self) -> None:
        """Tell everything once more, on a new connection."""
        for topic, payload in self._told.items():
            self._wire.send(topic, payload, retain=True)

    def hear(self, message: MQTTMessage) -> None:
        """Take an alarm that the broker had kept, or one of ours coming back; called in the network thread."""
        if message.retain:
            self._heard.append(message)

    def clear_old(self, *, ts: str) -> None:
        """Clear alarms that an earlier run left behind, unless this run has the same one."""
        while self._heard:
            message = self._heard.popleft()
            try:
                alarm = decode(bytes(message.payload), topic=message.topic)
            except MessageError:
                continue
            if not isinstance(alarm, AlarmMessage) or alarm.boot_id == self._boot_id or alarm.state == "CLEARED":
                continue
            topic = self._topics.alarm(alarm.code)
            if topic == message.topic and topic not in self._told:
                cleared = alarm.model_copy(update={"boot_id": self._boot_id, "state": "CLEARED", "ts": ts})
                self.tell(topic, cleared.to_json())
