"""One connection to an MQTT broker, from CONNECT to its end; it is never reused.

A paho client keeps unacknowledged messages and sends them again after it reconnects, which for a decision means: late.
So one client serves one connection and is thrown away with everything in it. The network thread (paho's) only notes
what happened; all else is done by the thread that owns the connection.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import PlcSection
from edge_sorter.plc.access import explain, password, use_tls

log = logging.getLogger(__name__)

Version = Literal["5", "3.1.1"]

UNSUPPORTED_PROTOCOL = 0x84
TAKEN_OVER = 0x8E
JSON = "application/json"
_HUNG_UP = "the broker closed the connection without an answer"
_MAX_INFLIGHT = 1000
"""Far above what the link lets out unacknowledged, so that paho never holds a message back by itself."""
_MAX_PACKET = 300_000
"""A sort plan with room to spare; a broker that speaks MQTT 5 keeps larger packets from us."""


class Phase(str, Enum):
    """Life of a connection."""

    OPENING = "OPENING"
    UP = "UP"
    ENDED = "ENDED"


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker says in our name when the connection breaks; QoS 1."""

    topic: str
    payload: bytes
    retain: bool = True
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Ack:
    """The broker's answer to one message: when it came, and whether it took it."""

    mid: int
    at_ns: int
    taken: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """Who connects, and what the broker keeps for it.

    Attributes:
        client_id: Name of the session; a second one with it throws the first out.
        persistent_s: How long the broker keeps subscriptions and waiting messages; 0 starts afresh every time.
        subscriptions: Topic filters, taken with QoS 1 at every connect.
        not_own: Topic filters as well; where the broker can (MQTT 5), without what this session itself publishes.
        key: Where the broker's settings stand in this program's configuration file, for what a person is told.
    """

    client_id: str
    persistent_s: int = 0
    subscriptions: tuple[str, ...] = ()
    not_own: tuple[str, ...] = ()
    key: str = "plc"


class Connection:
    """One TCP connection, one MQTT session, one paho client.

    Attributes:
        version: MQTT version it speaks.
        ended_code: MQTT reason code of the end, where the broker gave one.
        problem: What ended it, for a person; empty while it is fine.
        acks: Acknowledgements in order of arrival, for the owner to take.
    """

    def __init__(
        self,
        section: PlcSection,
        identity: Identity,
        *,
        version: Version,
        will: Will | None = None,
        on_message: Callable[[MQTTMessage], None] | None = None,
    ) -> None:
        self.version: Version = version
        self.ended_code: int | None = None
        self.problem = ""
        self.acks: deque[Ack] = deque(maxlen=10 * _MAX_INFLIGHT)
        self._section = section
        self._identity = identity
        self._on_message = on_message
        self._phase = Phase.OPENING
        self._closing = False
        self._answer = threading.Event()
        self._over = threading.Event()
        self._acked = threading.Event()
        self._subscribing: dict[int, str] = {}
        self._client = self._make_client(will)

    @property
    def phase(self) -> Phase:
        """Where the connection is in its life."""
        return self._phase

    @property
    def had_a_clear_end(self) -> bool:
        """Whether the broker, or the way to it, said why; hanging up on CONNECT says nothing."""
        return self.problem != _HUNG_UP

    def open(self) -> None:
        """Begin to connect in paho's thread; returns at once."""
        section, kept_s = self._section, self._identity.persistent_s
        if self.version == "5":
            wishes = {"MaximumPacketSize": _MAX_PACKET} | ({"SessionExpiryInterval": kept_s} if kept_s else {})
            properties = _properties(PacketTypes.CONNECT, **wishes)
            self._client.connect_async(
                section.host, section.port, section.keepalive_s, clean_start=kept_s == 0, properties=properties
            )
        else:
            self._client.connect_async(section.host, section.port, section.keepalive_s)
        self._client.loop_start()

    def wait_open(self, timeout_s: float) -> Phase:
        """Wait until the connection is up or has failed, but not longer than this."""
        self._answer.wait(timeout_s)
        return self._phase

    def wait_ack(self, timeout_s: float) -> None:
        """Wait until something is acknowledged, but not longer than this."""
        self._acked.wait(timeout_s)
        self._acked.clear()

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool,
        expiry_s: int | None = None,
        correlation: bytes | None = None,
        content_type: str = JSON,
    ) -> int | None:
        """Hand one message to the network thread.

        Returns:
            Its message id, or None when the connection cannot take it; it is then nowhere, not even in a queue.
        """
        if self._phase is not Phase.UP:
            return None
        properties = None
        if self.version == "5":
            properties = _properties(PacketTypes.PUBLISH, ContentType=content_type)
            if expiry_s is not None:
                properties.MessageExpiryInterval = expiry_s
            if correlation is not None:
                properties.CorrelationData = correlation
        info = self._client.publish(topic, payload, qos=qos, retain=retain, properties=properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def cut(self, why: str) -> None:
        """Break the connection without a goodbye, so that the broker sends the last will."""
        self.problem = self.problem or why
        sock: Any = self._client.socket()
        if sock is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self, timeout_s: float) -> None:
        """Say goodbye; waits for the end at most this long and leaves the rest to paho's (daemon) thread."""
        self._closing = True
        if self._phase is Phase.UP:
            self._client.disconnect()
            self._over.wait(timeout_s)
        else:
            self.cut("closed")

    def _make_client(self, will: Will | None) -> Client:
        five = self.version == "5"
        section, identity = self._section, self._identity
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=identity.client_id,
            clean_session=None if five else identity.persistent_s == 0,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = section.connect_timeout_s
        client.max_inflight_messages_set(_MAX_INFLIGHT)
        if section.username is not None:
            client.username_pw_set(section.username, password(section, identity.key))
        use_tls(client, section, identity.key)
        if will is not None:
            kept = {"WillDelayInterval": 0, "ContentType": will.content_type}
            properties = _properties(PacketTypes.WILLMESSAGE, **kept) if five else None
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain, properties=properties)
        client.on_socket_open = self._socket_opened
        client.on_connect = self._answered
        client.on_connect_fail = self._never_connected
        client.on_disconnect = self._ended
        client.on_publish = self._published
        client.on_message = self._received
        client.on_subscribe = self._subscribed
        return client

    # From here on: called in paho's thread. They note, and wake the owner.

    def _socket_opened(self, _client: Client, _userdata: Any, sock: Any) -> None:
        # Without this a decision right after a heartbeat waits for the peer's delayed TCP ACK, up to 40 ms.
        with suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _answered(self, client: Client, _userdata: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if self._closing or self.problem:
            client.disconnect()
        elif reason.is_failure:
            self.ended_code = reason.value
            self.problem = f"the broker refuses: {str(reason).lower()}"
        else:
            self._subscribe(client)
            self._up_when_subscribed()

    def _subscribe(self, client: Client) -> None:
        five = self.version == "5"
        for topic in (*self._identity.subscriptions, *self._identity.not_own):
            if five:
                wish = SubscribeOptions(qos=1, noLocal=topic in self._identity.not_own)
                _, mid = client.subscribe(topic, options=wish)
            else:
                _, mid = client.subscribe(topic, qos=1)
            if mid is not None:
                self._subscribing[mid] = topic

    def _subscribed(self, _client: Client, _userdata: Any, mid: int, reasons: Any, _properties: Any) -> None:
        topic = self._subscribing.pop(mid, "")
        if any(reason.is_failure for reason in reasons):
            log.error("the broker does not let us read %s; check its access list", topic)
        self._up_when_subscribed()

    def _up_when_subscribed(self) -> None:
        """Only who hears is up: what is said between CONNECT and SUBSCRIBE would be lost and nobody would know."""
        if not self._subscribing and self._phase is Phase.OPENING and not self.problem:
            self._phase = Phase.UP
            self._answer.set()

    def _never_connected(self, client: Client, _userdata: Any) -> None:
        error = sys.exc_info()[1]  # paho calls this from its except block and tells the cause in no other way
        self.problem = explain(error)
        client.loop_stop()
        self._end()

    def _ended(self, _client: Client, _userdata: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self.ended_code = reason.value
            self.problem = f"the broker ended it: {str(reason).lower()}"
        elif not self.problem:
            up = self._phase is Phase.UP
            self.problem = "connection lost" if up else _HUNG_UP
        self._end()

    def _published(self, _client: Client, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        self.acks.append(Ack(mid, stopwatch_ns(), not reason.is_failure))
        self._acked.set()

    def _received(self, _client: Client, _userdata: Any, message: MQTTMessage) -> None:
        if self._on_message is not None:
            self._on_message(message)

    def _end(self) -> None:
        self._phase = Phase.ENDED
        for event in (self._answer, self._over, self._acked):
            event.set()


def _properties(kind: int, **values: object) -> Properties:
    properties = Properties(kind)  # type: ignore[no-untyped-call]
    for name, value in values.items():
        setattr(properties, name, value)
    return properties
