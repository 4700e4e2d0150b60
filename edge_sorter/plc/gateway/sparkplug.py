"""A Sparkplug B edge node that shows one line to SCADA systems: births, changes, deaths, and nothing that could sort.

The mirror is the edge node, the sorter a device below it. So both can be told apart: a mirror that is gone is the
node's death (the broker tells it, by the will), a sorter that is OFFLINE, silent or behind a lost broker the device's.
Contract: everything is QoS 0 and not retained, as Sparkplug 3.0 asks; nothing is queued. A host that lost count asks
for a rebirth.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Mapping

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import Clock
from edge_sorter.errors import MessageError
from edge_sorter.plc.connection import Identity, Will
from edge_sorter.plc.gateway.observer import Observer
from edge_sorter.plc.gateway.settings import MirrorConfig
from edge_sorter.plc.gateway.sparkplug_payload import NAMESPACE, REBIRTH, Payloads, changed
from edge_sorter.plc.gateway.tags import Kind, Tag
from edge_sorter.plc.session import Session

log = logging.getLogger(__name__)

CYCLE_S = 0.05
REBIRTH_GAP_S = 1.0
"""Hosts that lost a birth may ask with every message they see; one answer a second serves them all."""
COMMANDS = 20
CONTENT = "application/x-protobuf"
SEQUENCE = 256


class SparkplugMirror:
    """One edge node with one device.

    Attributes:
        births: How often the edge node was born: at each connect, and where a host asked for it.
        messages: Births, data and deaths sent.
    """

    def __init__(self, config: MirrorConfig, *, clock: Clock, replay: bool = False) -> None:
        """Prepare; nothing is opened before `run`.

        Raises:
            PlcError: protobuf is not installed.
        """
        self.births = self.messages = 0
        self._clock = clock
        self._payloads = Payloads()
        self._observer = Observer(config, kind="sparkplug-source", clock=clock, replay=replay)
        section, line = config.sparkplug, config.line
        self._group = section.group or line.site
        self._node = (section.node or f"{line.line}-{line.cell}") + ("-replay" if replay else "")
        self._device = section.device
        # Not from 0: the will of a run before, should it come late, must not name this run's number.
        self._bd_seq = round(self._observer.now().timestamp()) % SEQUENCE
        self._seq = 0
        self._command_topic = self._topic("NCMD")
        self._commands: queue.Queue[bytes] = queue.Queue(COMMANDS)
        own_id = section.mqtt.client_id if section.mqtt is not None else None  # that of `mqtt` is the observer's
        self._session = Session(
            section.mqtt or config.mqtt,
            Identity(
                own_id or f"edge-sorter-sparkplug-{self._group}-{self._node}",
                subscriptions=(self._command_topic,),
                key="mqtt" if section.mqtt is None else "sparkplug.mqtt",
            ),
            make_will=self._will,
            on_message=self._arrived,
        )
        self._connects = 0
        self._node_told: dict[str, Tag] = {}
        self._device_told: dict[str, Tag] | None = None
        self._rebirth_wanted = False
        self._born_ns = 0
        self._report_ns = round(section.report_ms * 1e6)
        self._due_ns = 0

    def run(self, stopped: Callable[[], bool]) -> None:
        """Work until `stopped()`.

        Raises:
            PlcError: A broker cannot be reached at the start, or another program uses our client id.
        """
        self._observer.start()
        try:
            self._session.start()
            while not stopped():
                self.step()
                self._clock.sleep_until(self._clock.now_ns() + round(CYCLE_S * 1e9))
        finally:
            self._die()
            self._session.close(1.0)
            self._observer.close()

    def step(self) -> None:
        """Hear both brokers, and tell what is due."""
        self._observer.poll()
        self._session.poll()
        self._hear_commands()
        if self._session.connection is None:
            return
        now_ns = self._clock.now_ns()
        if self._session.connects != self._connects:
            self._connects = self._session.connects
            self._birth(now_ns)
        elif self._rebirth_wanted and now_ns - self._born_ns >= REBIRTH_GAP_S * 1e9:
            self._birth(now_ns)
        elif self._device_told is not None and not self._observer.present:
            self._send("DDEATH", {}, device=True)
            self._device_told = None
            log.warning("the sorter is gone: DDEATH")
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + self._report_ns
            self._report()

    # What is told.

    def _birth(self, now_ns: int) -> None:
        """Begin anew: the node with all it has, then the device, if it is there."""
        self._seq, self._born_ns, self._rebirth_wanted = 0, now_ns, False
        self._node_told, self._device_told = self._node_tags(), None
        if self._send("NBIRTH", self._node_told):
            self.births += 1
        self._birth_device()

    def _birth_device(self) -> None:
        if self._observer.present:
            self._device_told = dict(self._observer.tags.table)
            self._send("DBIRTH", self._device_told, device=True)

    def _report(self) -> None:
        """Tell what changed; a device that has come, or has a tag that was never born, is born (again)."""
        news = changed(self._node_told, self._node_tags())
        if news and self._send("NDATA", news):
            self._node_told |= news
        if self._device_told is None:
            self._birth_device()
            return
        news = changed(self._device_told, self._observer.tags.table)
        if any(path not in self._device_told for path in news):
            self._birth_device()
        elif news and self._send("DDATA", news, device=True):
            self._device_told |= news

    def _node_tags(self) -> dict[str, Tag]:
        """Return the mirror's own tags."""
        now = self._observer.now()
        return {
            "Properties/Software": Tag(Kind.TEXT, "edge_sorter", now),
            "Source/Connected": Tag(Kind.FLAG, self._observer.connected, now),
            "Source/Messages Refused": Tag(Kind.COUNT, self._observer.rejected.total(), now),
        }

    def _die(self) -> None:
        """Say goodbye as Sparkplug wants it: a broker sends no will after a clean end."""
        connection = self._session.connection
        if connection is not None:
            will = self._death()
            connection.publish(will.topic, will.payload, qos=1, retain=False, content_type=CONTENT)

    def _send(self, verb: str, tags: Mapping[str, Tag], *, device: bool = False) -> bool:
        connection = self._session.connection
        if connection is None:
            return False
        birth = verb == "NBIRTH"
        payload = self._payloads.encode(
            tags, at=self._observer.now(), seq=self._seq, bd_seq=self._bd_seq if birth else None, rebirth=birth
        )
        topic = self._topic(verb, device=device)
        if connection.publish(topic, payload, qos=0, retain=False, content_type=CONTENT) is None:
            return False
        self._seq = (self._seq + 1) % SEQUENCE
        self.messages += 1
        return True

    def _topic(self, verb: str, *, device: bool = False) -> str:
        levels = (NAMESPACE, self._group, verb, self._node)
        return "/".join((*levels, self._device) if device else levels)

    def _will(self) -> Will:
        """Return the death of the connection that is about to be made: every one has a number of its own."""
        self._bd_seq = (self._bd_seq + 1) % SEQUENCE
        return self._death()

    def _death(self) -> Will:
        payload = self._payloads.encode({}, at=self._observer.now(), seq=None, bd_seq=self._bd_seq)
        return Will(self._topic("NDEATH"), payload, retain=False, content_type=CONTENT)

    # What is heard.

    def _arrived(self, message: MQTTMessage) -> None:
        if message.topic == self._command_topic and not message.retain and not self._commands.full():
            self._commands.put_nowait(bytes(message.payload))

    def _hear_commands(self) -> None:
        while not self._commands.empty():
            try:
                command = self._payloads.commands(self._commands.get_nowait())
            except MessageError as error:
                self._observer.rejected[error.code] += 1
                continue
            if command.get(REBIRTH):
                self._rebirth_wanted = True
