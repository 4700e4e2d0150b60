"""Bytes to the broker and what became of each: the part of the link that knows connections and nothing of parcels.

Contract: `send` hands a message to the network or says at once that it cannot; nothing is queued and nothing is sent
twice. Every message sent with a tag is settled exactly once: taken by the broker, refused, or lost with its connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import PlcSection
from edge_sorter.plc.connection import Connection, Identity, Will
from edge_sorter.plc.session import Session

WINDOW = 64
"""Messages that may wait for the broker's acknowledgement at once; more means that it does not keep up."""
STALL_S = 1.0
"""A message unacknowledged for longer means a half-open connection; keepalive would notice only after 6 to 10 s."""


class Fate(str, Enum):
    """What became of a message."""

    TAKEN = "TAKEN"
    REFUSED = "REFUSED"
    LOST = "LOST"


@dataclass(frozen=True, slots=True)
class Tag:
    """What a message is to whoever sent it: a kind, and a number within it."""

    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The end of one message: what it was, what became of it, and how long that took."""

    tag: Tag | None
    fate: Fate
    took_ns: int


class Wire:
    """The newest connection to the broker, and the messages it has not acknowledged yet.

    Attributes:
        settled: Ends of messages in order, for the owner to take; refused ones also without a tag.
    """

    def __init__(
        self,
        section: PlcSection,
        identity: Identity,
        *,
        make_will: Callable[[], Will],
        on_message: Callable[[MQTTMessage], None],
    ) -> None:
        self.settled: deque[Settled] = deque()
        self._session = Session(section, identity, make_will=make_will, on_message=on_message)
        self._connection: Connection | None = None
        self._unacked: dict[int, tuple[int, Tag | None]] = {}

    @property
    def connected(self) -> bool:
        """Whether a message handed over now would be sent."""
        return self._connection is not None and self._session.connection is self._connection

    @property
    def connects(self) -> int:
        """Connections that came up so far."""
        return self._session.connects

    @property
    def version(self) -> str | None:
        """MQTT version in use."""
        return self._session.version

    @property
    def address(self) -> str:
        """The broker as "host:port"."""
        return self._session.address

    @property
    def waiting(self) -> int:
        """Messages sent but not acknowledged."""
        return len(self._unacked)

    def start(self) -> None:
        """Connect.

        Raises:
            PlcError: Not connected; says where, why and what to do.
        """
        self._session.start()

    def send(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 1,
        retain: bool = False,
        expiry_s: int | None = None,
        tag: Tag | None = None,
        correlation: bytes | None = None,
    ) -> bool:
        """Hand one message to the network; False when there is none, and then it is nowhere."""
        if self._connection is None:
            return False
        at_ns = stopwatch_ns()
        mid = self._connection.publish(
            topic, payload, qos=qos, retain=retain, expiry_s=expiry_s, correlation=correlation
        )
        if mid is not None and qos:
            self._unacked[mid] = (at_ns, tag)
        return mid is not None

    def poll(self) -> bool:
        """Take what the network thread noted, break a dead connection, reconnect when it is time; never blocks.

        Returns:
            Whether a new connection came up, on which everything retained must be told again.

        Raises:
            PlcError: Another program keeps taking our session over.
        """
        self._take_acks()
        if self._unacked and stopwatch_ns() - next(iter(self._unacked.values()))[0] > STALL_S * 1e9:
            self._session.cut(f"no acknowledgement for {STALL_S:g} s")
        self._session.poll()
        connection = self._session.connection
        if connection is self._connection:
            return False
        # The old client dies with its unacknowledged messages; nothing sends them again.
        for sent_ns, tag in self._unacked.values():
            self.settled.append(Settled(tag, Fate.LOST, stopwatch_ns() - sent_ns))
        self._unacked.clear()
        self._connection = connection
        return connection is not None

    def wait_room(self, patience_s: float) -> bool:
        """Wait until the window has room, but not longer than this."""
        return self._wait(lambda: len(self._unacked) < WINDOW, patience_s)

    def flush(self, timeout_s: float) -> bool:
        """Wait until the broker acknowledged everything; False when it did not, or the connection is gone."""
        return self._wait(lambda: not self._unacked, timeout_s) and self.connected

    def close(self, timeout_s: float) -> None:
        """Say goodbye and stay away."""
        self._session.close(timeout_s)

    def _wait(self, done: Callable[[], bool], timeout_s: float) -> bool:
        until_ns = stopwatch_ns() + round(timeout_s * 1e9)
        self._take_acks()
        while not done():
            left_s = (until_ns - stopwatch_ns()) / 1e9
            if left_s <= 0 or not self.connected or self._connection is None:
                return False
            self._connection.wait_ack(min(left_s, 0.05))
            self._take_acks()
        return True

    def _take_acks(self) -> None:
        acks = self._connection.acks if self._connection is not None else ()
        while acks:
            ack = acks.popleft()
            sent_ns, tag = self._unacked.pop(ack.mid, (ack.at_ns, None))
            if tag is not None or not ack.taken:
                fate = Fate.TAKEN if ack.taken else Fate.REFUSED
                self.settled.append(Settled(tag, fate, ack.at_ns - sent_ns))
