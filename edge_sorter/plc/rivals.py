"""Notices a second program that speaks as this sorter: two of them would give parcels two decisions.

With one client id they keep throwing each other out, with two ids they both publish; either way the other's state
appears on our own state topic, under another boot id. Works on any broker, also where none tells who took a session.
"""

from __future__ import annotations

from collections import deque

from paho.mqtt.client import MQTTMessage

from edge_sorter.clock import stopwatch_ns
from edge_sorter.errors import MessageError, PlcError
from edge_sorter.plc.decode import decode
from edge_sorter.plc.messages import AppState, StateMessage

LIMIT, WINDOW_S = 3, 60.0
"""A predecessor that was just replaced may still say a word or two; this often is somebody who stays."""


class RivalWatch:
    """Counts states on our topic that are not ours."""

    def __init__(self, *, boot_id: str) -> None:
        self._boot_id = boot_id
        self._heard: deque[MQTTMessage] = deque(maxlen=100)
        self._sightings: deque[int] = deque(maxlen=LIMIT)

    def hear(self, message: MQTTMessage) -> None:
        """Take a message from the network thread."""
        self._heard.append(message)

    def check(self, *, connects: int) -> bool:
        """Look at what was heard since the last check.

        Args:
            connects: Connections that this run had. What the broker kept when we first came is our predecessor's; what
                it kept when we came back should have been ours.

        Returns:
            Whether somebody who leaves has put its last word over our state, so that it must be told again.

        Raises:
            PlcError: Somebody else keeps telling the state of this sorter.
        """
        overwritten = False
        while self._heard:
            message = self._heard.popleft()
            state = _state(message)
            if state is None or state.boot_id == self._boot_id or (message.retain and connects <= 1):
                continue
            if not message.retain and state.state in (AppState.HOLD, AppState.OFFLINE):
                overwritten = True
                continue
            now_ns = stopwatch_ns()
            self._sightings.append(now_ns)
            if len(self._sightings) == LIMIT and now_ns - self._sightings[0] <= WINDOW_S * 1e9:
                raise PlcError(
                    f"another program (boot id {state.boot_id}) runs as this sorter: it spoke on {message.topic} "
                    f"{LIMIT} times in {WINDOW_S:.0f} s; stop one of them, or give it another line.cell in its config"
                )
        return overwritten


def _state(message: MQTTMessage) -> StateMessage | None:
    try:
        state = decode(bytes(message.payload), topic=message.topic)
    except (MessageError, UnicodeDecodeError):
        return None
    return state if isinstance(state, StateMessage) else None
