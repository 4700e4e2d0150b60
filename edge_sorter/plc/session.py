"""Keeps a connection to the broker up: finds the MQTT version, reconnects with back-off, gives up on a tug of war.

`start` either connects or raises `PlcError` saying what is wrong; after that `poll`, called from the main loop, does
whatever is due and never blocks. A main loop that hangs therefore neither reconnects nor looks alive.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import stopwatch_ns
from edge_sorter.config import PlcSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.access import advice
from edge_sorter.plc.connection import (
    TAKEN_OVER,
    UNSUPPORTED_PROTOCOL,
    Connection,
    Identity,
    Phase,
    Version,
    Will,
)

log = logging.getLogger(__name__)

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
SETTLED_S = 5.0
"""A connection that lived this long was a good one: the next attempt starts again with the first wait."""
PROBE_S = 1.0
"""Some brokers that know only 3.1.1 misread an MQTT 5 CONNECT and wait for more of it instead of answering."""
TAKEOVERS, TAKEOVER_WINDOW_S = 3, 60.0
"""So many take-overs of our session within this time mean that two programs run with one client id."""


class Session:
    """A client id's place at the broker.

    Attributes:
        connects: Connections that came up so far; a new number means that everything retained must be told again.
    """

    def __init__(
        self,
        section: PlcSection,
        identity: Identity,
        *,
        make_will: Callable[[], Will] | None = None,
        on_message: Callable[[MQTTMessage], None] | None = None,
    ) -> None:
        self.connects = 0
        self._section = section
        self._identity = identity
        self._make_will = make_will
        self._on_message = on_message
        self._versions: tuple[Version, ...] = ("5", "3.1.1") if section.protocol == "auto" else (section.protocol,)
        self._connection: Connection | None = None
        self._was_up = False
        self._wait_s = FIRST_WAIT_S
        self._up_since_ns = self._retry_ns = 0
        self._takeovers: deque[int] = deque(maxlen=TAKEOVERS)
        self._jitter = random.Random(identity.client_id)

    @property
    def connection(self) -> Connection | None:
        """The connection while it is up, else None; a new one shows only after `poll` has seen it."""
        connection = self._connection
        return connection if self._was_up and connection is not None and connection.phase is Phase.UP else None

    @property
    def version(self) -> Version | None:
        """MQTT version of the newest connection."""
        return self._connection.version if self._connection else None

    @property
    def address(self) -> str:
        """The broker as "host:port"."""
        return f"{self._section.host}:{self._section.port}"

    def start(self) -> Connection:
        """Connect, trying MQTT 5 first and 3.1.1 where that is refused.

        Raises:
            PlcError: Not connected within `connect_timeout_s`, or refused; says why and what to do.
        """
        until_ns = stopwatch_ns() + round(self._section.connect_timeout_s * 1e9)
        for version in self._versions:
            left_s = max(0.0, (until_ns - stopwatch_ns()) / 1e9)
            connection = self._open(version)
            phase = connection.wait_open(left_s if version == self._versions[-1] else min(PROBE_S, left_s / 2))
            if phase is Phase.UP:
                self._versions = (version,)
                self._came_up(connection)
                return connection
            if phase is Phase.OPENING:
                connection.cut(f"no answer within {self._section.connect_timeout_s:g} s")
            elif connection.ended_code != UNSUPPORTED_PROTOCOL and connection.had_a_clear_end:
                break
        self._connection = None
        clear, key = connection.had_a_clear_end, self._identity.key
        hint = advice(connection.problem, connection.ended_code, had_a_clear_end=clear, key=key)
        raise PlcError(f"MQTT broker {self.address}: {connection.problem}; {hint}")

    def poll(self) -> None:
        """Notice what happened to the connection and reconnect when it is time.

        Raises:
            PlcError: Another program keeps taking our session over.
        """
        connection = self._connection
        if connection is None:
            return
        if connection.phase is Phase.UP:
            if not self._was_up:
                self._came_up(connection)
        elif connection.phase is Phase.ENDED:
            if self._retry_ns == 0:
                self._went_down(connection)
            elif stopwatch_ns() >= self._retry_ns:
                self._open(self._versions[0])

    def cut(self, why: str) -> None:
        """Break a connection that looks dead; `poll` then makes a new one."""
        if self._connection is not None:
            self._connection.cut(why)

    def close(self, timeout_s: float) -> None:
        """Say goodbye and stay away."""
        if self._connection is not None:
            self._connection.close(timeout_s)
            self._connection = None

    def _open(self, version: Version) -> Connection:
        will = self._make_will() if self._make_will else None
        self._connection = Connection(
            self._section, self._identity, version=version, will=will, on_message=self._on_message
        )
        self._retry_ns = 0
        self._connection.open()
        return self._connection

    def _came_up(self, connection: Connection) -> None:
        self._was_up = True
        self._up_since_ns = stopwatch_ns()
        self.connects += 1
        again = "again " if self.connects > 1 else ""
        log.info("connected %sto MQTT broker %s with MQTT %s", again, self.address, connection.version)

    def _went_down(self, connection: Connection) -> None:
        now_ns = stopwatch_ns()
        if self._was_up:
            log.warning("MQTT broker %s: %s; reconnecting", self.address, connection.problem)
            if now_ns - self._up_since_ns >= SETTLED_S * 1e9:
                self._wait_s = FIRST_WAIT_S
        self._was_up = False
        self._retry_ns = now_ns + round(self._wait_s * self._jitter.uniform(0.8, 1.2) * 1e9)
        self._wait_s = min(2 * self._wait_s, LONGEST_WAIT_S)
        if connection.ended_code == TAKEN_OVER:
            self._takeovers.append(now_ns)
            window = (now_ns - self._takeovers[0]) / 1e9
            if len(self._takeovers) == TAKEOVERS and window <= TAKEOVER_WINDOW_S:
                raise PlcError(
                    f"MQTT broker {self.address}: another program uses the client id {self._identity.client_id!r} and "
                    f"took our session over {TAKEOVERS} times in {window:.0f} s; stop it, or set "
                    f"{self._identity.key}.client_id"
                )
