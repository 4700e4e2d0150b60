"""What a PLC gateway would see: subscribes to one sorter, checks every message and hands it on.

`Listener` yields only messages that pass the border in `decode`; everything else is counted by reason. `format_line`
turns a message into one line for a person.
"""

from __future__ import annotations

import os
import queue
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType

from paho.mqtt.client import MQTTMessage
from rich.markup import escape

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import PlcSection
from edge_sorter.errors import MessageError
from edge_sorter.plc.connection import Identity
from edge_sorter.plc.decode import decode
from edge_sorter.plc.messages import (
    MESSAGES,
    DecisionMessage,
    HeartbeatMessage,
    InfoMessage,
    KpiMessage,
    Message,
    StateMessage,
)
from edge_sorter.plc.session import Session
from edge_sorter.plc.topics import REPLAY_ROOT, Topics

QUEUE = 1000
"""Messages that may wait for the reader; more are dropped and counted, the newest first."""
PERSISTENT_S = 3600
POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Received:
    """One message that passed all checks."""

    topic: str
    retained: bool
    message: Message


class Listener:
    """A subscriber to the topics of one sorter, or of all sorters below a root.

    Attributes:
        rejected: Messages that were refused, by code; "OVERFLOW" are those the reader was too slow for.
    """

    def __init__(
        self,
        section: PlcSection,
        topics: Topics | str,
        *,
        client_id: str,
        persistent: bool = False,
        only: tuple[str, ...] = tuple(MESSAGES),
    ) -> None:
        """Prepare a listener; nothing is opened before `start`.

        Args:
            section: The broker and how to reach it.
            topics: The sorter, or a prefix to put before the message names, such as "+/+/+/+/+/edge_sorter/v1".
            client_id: Name of the session at the broker.
            persistent: Let the broker keep messages while this listener is away, as a PLC gateway must.
            only: Messages to subscribe to: "decision", "state", "hb", "info", "kpi".
        """
        prefix = topics.prefix if isinstance(topics, Topics) else topics.rstrip("/")
        self.rejected: Counter[str] = Counter()
        self._replay = topics.replay if isinstance(topics, Topics) else prefix.startswith(f"{REPLAY_ROOT}/")
        self._queue: queue.Queue[MQTTMessage] = queue.Queue(QUEUE)
        self._overflow = 0
        identity = Identity(
            client_id,
            persistent_s=PERSISTENT_S if persistent else 0,
            subscriptions=tuple(f"{prefix}/{name}" for name in only),
        )
        self._session = Session(section, identity, on_message=self._arrived)

    def start(self) -> None:
        """Connect and subscribe.

        Raises:
            PlcError: Not connected; says where, why and what to do.
        """
        self._session.start()

    def messages(self, timeout_s: float | None = None) -> Iterator[Received]:
        """Yield messages as they arrive, through broker outages; ends after `timeout_s` without one."""
        quiet_since_ns = stopwatch_ns()
        while timeout_s is None or stopwatch_ns() - quiet_since_ns < timeout_s * 1e9:
            self._session.poll()
            received = self._next()
            if received is not None:
                yield received
                quiet_since_ns = stopwatch_ns()

    def close(self) -> None:
        """Disconnect; a persistent session stays at the broker."""
        self._session.close(0.2)

    def __enter__(self) -> Listener:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _arrived(self, message: MQTTMessage) -> None:
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._overflow += 1  # only paho's thread writes this

    def _next(self) -> Received | None:
        try:
            message = self._queue.get(timeout=POLL_S)
        except queue.Empty:
            return None
        finally:
            if self._overflow:
                self.rejected["OVERFLOW"] = self._overflow
        try:
            topic = message.topic
            decoded = decode(bytes(message.payload), topic=topic, retained=message.retain, replay=self._replay)
        except MessageError as error:
            self.rejected[error.code] += 1
            return None
        except UnicodeDecodeError:
            self.rejected["NOT_UTF8"] += 1
            return None
        return Received(topic, message.retain, decoded)


def listen(
    section: PlcSection,
    topics: Topics | str,
    on_message: Callable[[Received], None],
    *,
    client_id: str | None = None,
    persistent: bool = False,
    only: tuple[str, ...] = tuple(MESSAGES),
    timeout_s: float | None = None,
) -> Counter[str]:
    """Hand every message of one sorter to `on_message` until interrupted, or until it is quiet for `timeout_s`.

    Returns:
        What was rejected, by code.
    """
    client_id = client_id or f"edge-sorter-listen-{os.getpid()}"  # two listeners must not throw each other out
    with Listener(section, topics, client_id=client_id, persistent=persistent, only=only) as listener:
        for received in listener.messages(timeout_s):
            on_message(received)
        return listener.rejected


_STATE_STYLE = {"RUNNING": "green", "READY": "green", "STARTING": "cyan", "DEGRADED": "yellow"}
_ACTION_STYLE = {"DIVERT": "green", "PASS": "cyan", "RECIRC": "yellow"}


def format_line(message: Message) -> str:
    """Return one line of rich markup for a person; text from the network cannot break out of it."""
    if isinstance(message, DecisionMessage):
        return _decision_line(message)
    if isinstance(message, StateMessage):
        style = _STATE_STYLE.get(message.state.value, "bold red")
        again = f", {message.reconnects} reconnects" if message.reconnects else ""
        return f"{_at(message.ts)}  [{style}]state {message.state.value}[/] {_text(message.cause or '')}{again}"
    if isinstance(message, HeartbeatMessage):
        fps = "" if message.fps is None else f"  {message.fps:.1f} fps"
        return f"{_at(message.ts)}  [dim]heartbeat {message.n}  {message.state.value}{fps}  queue {message.queue}[/]"
    if isinstance(message, InfoMessage):
        parts = (message.version, message.model, message.engine, message.plan, message.source)
        return f"{_at(message.ts)}  [dim]info {_text(', '.join(part for part in parts if part))}[/]"
    if isinstance(message, KpiMessage):
        return (
            f"{_at(message.ts)}  [dim]figures: {message.frames} frames, {message.parcels} parcels, "
            f"{message.decisions} decisions, {message.late} late[/]"
        )
    return _text(type(message).__name__)


def _decision_line(message: DecisionMessage) -> str:
    style = _ACTION_STYLE.get(message.action.value, "red")
    kind = f"{message.cls.name} {message.cls.conf:.0%}" if message.cls else "unknown"
    size = message.dim_mm
    known_size = size is not None and size.l is not None and size.w is not None
    size_text = f"{size.l:.0f}x{size.w:.0f} mm" if size and known_size else ""
    codes = " ".join(code.text for code in message.codes)
    left = "" if message.valid_ms is None else f"{message.valid_ms} ms left"
    parts = (f"{message.reason:<12}", f"{kind:<20}", f"{size_text:<12}", left, codes, " ".join(message.flags))
    return (
        f"{_at(message.t_capture)}  {_text(message.parcel_uid)}  [{style}]{message.action.value:<9} "
        f"{_text(message.lane):<8}[/]  {_text('  '.join(part for part in parts if part))}"
    )


def _at(timestamp: str) -> str:
    return f"[dim]{_text(timestamp[11:23])}[/]"


def _text(text: str) -> str:
    """Make text from the network harmless: no terminal control characters, no markup."""
    return escape("".join(character if character.isprintable() else "?" for character in text))
