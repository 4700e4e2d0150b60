"""The one buffer between a live camera and the rest: a slot that holds the newest value.

Contract: `put` never waits; a value nobody took is replaced and counted; a failure put in comes out as an exception.
"""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class NewestSlot(Generic[T]):
    """Hands the newest value from one producer thread to one consumer thread.

    Attributes:
        replaced: Number of values that were overwritten before anybody took them.
    """

    def __init__(self) -> None:
        self.replaced = 0
        self._changed = threading.Condition()
        self._value: T | None = None
        self._failure: BaseException | None = None

    def put(self, value: T) -> None:
        """Offer a value; it replaces one that is still waiting."""
        with self._changed:
            if self._value is not None:
                self.replaced += 1
            self._value = value
            self._changed.notify()

    def fail(self, error: BaseException) -> None:
        """Make every following `get` raise this error, after a value that is still waiting."""
        with self._changed:
            self._failure = error
            self._changed.notify()

    def get(self, *, timeout_s: float) -> T | None:
        """Take the newest value, waiting for one at most `timeout_s`.

        Returns:
            The value, or None when none came in time.

        Raises:
            BaseException: Whatever the producer died of.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._value is not None or self._failure is not None, timeout_s)
            value, self._value = self._value, None
            if value is None and self._failure is not None:
                raise self._failure
            return value
