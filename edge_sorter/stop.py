"""Signals as questions that a main loop asks: Ctrl-C and SIGTERM, so that everything ends in order, and SIGHUP."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Turns SIGINT and SIGTERM into a question the main loop asks: `stopped()`. A second signal ends at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """Tell whether to stop."""
        return self.signal is not None

    def _receive(self, number: int, _: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number

    @contextmanager
    def installed(self) -> Iterator[Stop]:
        """Handle both signals while the block runs."""
        before = {number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def exit_code(self) -> int:
        """0 after SIGTERM, as a service should; 130 after Ctrl-C, as a shell expects."""
        return 130 if self.signal == signal.SIGINT else 0


class Hangup:
    """Turns SIGHUP into a question that is answered once: `asked()`. Where a terminal may hang up, it stays that."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """Tell whether a SIGHUP came since the last question."""
        asked, self._asked = self._asked, False
        return asked

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._asked = True

    @contextmanager
    def installed(self) -> Iterator[Hangup]:
        """Handle the signal while the block runs."""
        if sys.stdin is not None and sys.stdin.isatty():
            yield self
            return
        before = signal.signal(signal.SIGHUP, self._receive)
        try:
            yield self
        finally:
            signal.signal(signal.SIGHUP, before)
