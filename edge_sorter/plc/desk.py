"""Where commands from the broker are answered: each is done or refused, and whoever asked for an answer gets one.

What a command does belongs to whoever registers it; here is only the protocol. Answers go below our own `reply/` and
nowhere else, so that nobody can make this program write on a topic that the asker has no right to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge_sorter.errors import EdgeSorterError
from edge_sorter.plc.inbound import CommandMessage
from edge_sorter.plc.inbox import Heard
from edge_sorter.plc.messages import ReplyMessage

log = logging.getLogger(__name__)

Handler = Callable[[dict[str, Any]], str]
"""Does one command; returns what to tell, or raises an EdgeSorterError that says why not."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send where."""

    topic: str
    message: ReplyMessage
    correlation: bytes | None


class CommandDesk:
    """Commands and who does them."""

    def __init__(self, *, prefix: str, boot_id: str) -> None:
        self._replies, self._boot_id = f"{prefix}/reply/", boot_id
        self._handlers: dict[str, Handler] = {}

    def on(self, command: str, handler: Handler) -> None:
        """Say who does a command."""
        self._handlers[command] = handler

    def answer(self, heard: Heard, *, ts: str) -> Answer | None:
        """Do a command; None where nobody asked for an answer."""
        assert isinstance(heard.message, CommandMessage)
        command = heard.message
        topic = heard.response_topic or command.reply_to
        if topic is not None and (not topic.startswith(self._replies) or "+" in topic or "#" in topic):
            log.warning("command %s ignored: its answer may only go below %s", command.cmd, self._replies)
            return None
        ok, text = self._do(command)
        log.info("command %s: %s", command.cmd, text or "done")
        if topic is None:
            return None
        reply = ReplyMessage(boot_id=self._boot_id, cmd=command.cmd, id=command.id, ok=ok, text=text[:1000], ts=ts)
        return Answer(topic, reply, heard.correlation)

    def _do(self, command: CommandMessage) -> tuple[bool, str]:
        handler = self._handlers.get(command.cmd)
        if handler is None:
            return False, f"{command.cmd} is not available here; there are: {', '.join(sorted(self._handlers))}"
        try:
            return True, handler(command.args)
        except EdgeSorterError as error:
            return False, str(error)
