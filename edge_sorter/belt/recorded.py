"""The encoder of a recorded clip: its counts from a file beside the clip, told as the line would tell them.

The file is CSV with the header `captured_ns,count`: time on the clip's own axis (0 is its first frame), rising from
row to row, and the counter as it stood, unsigned. A row every 10 or 20 ms is right.

Contract: `take_events` tells every row once, up to the first at or after the present, so travel at the present frame
is interpolated and does not depend on how the frames are paced.
"""

from __future__ import annotations

from pathlib import Path

from edge_sorter.errors import ConfigError
from edge_sorter.events import EncoderCount

HEADER = "captured_ns,count"


class RecordedEncoder:
    """Counts of a clip; a `LineInput`.

    Args:
        path: The record.
        bits: Width of the counter.

    Raises:
        ConfigError: The file is missing or wrong; says in which line.
    """

    def __init__(self, path: Path, *, bits: int = 32) -> None:
        self._rows = _read(path, bits=bits)
        self._modulo = 1 << bits
        self._next = 0
        self._start_ns = 0
        self._offset = 0
        self._told = self._rows[0][1]

    def restart(self, start_ns: int) -> None:
        """Tell the record once more, for a clip that plays again from `start_ns` on; the belt goes on where it was."""
        (first_ns, first), (second_ns, second) = self._rows[:2]
        if self._next:
            away_ns = start_ns + first_ns - self._time(self._next - 1)
            self._offset = self._told + (second - first) * away_ns // (second_ns - first_ns) - first
        self._start_ns, self._next = start_ns, 0

    def take_events(self, now_ns: int) -> list[EncoderCount]:
        """Return what the encoder has counted since the last call."""
        events: list[EncoderCount] = []
        while self._next < len(self._rows) and (not self._next or self._time(self._next - 1) < now_ns):
            self._told = (self._rows[self._next][1] + self._offset) % self._modulo
            events.append(EncoderCount(self._time(self._next), self._told))
            self._next += 1
        return events

    def _time(self, row: int) -> int:
        return self._start_ns + self._rows[row][0]


def _read(path: Path, *, bits: int) -> list[tuple[int, int]]:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not plain text"
        raise ConfigError(f"encoder record {path} cannot be read: {why}") from None
    if not lines or lines[0].strip() != HEADER:
        raise ConfigError(f"encoder record {path}, line 1: must be the header {HEADER}")
    rows: list[tuple[int, int]] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            at_ns, count = map(int, line.split(","))
        except ValueError:
            raise ConfigError(f"encoder record {path}, line {number}: {line[:60]!r} is not two whole numbers") from None
        if not 0 <= count < 1 << bits:
            raise ConfigError(f"encoder record {path}, line {number}: count {count} does not fit {bits} bits")
        if rows and at_ns <= rows[-1][0]:
            raise ConfigError(f"encoder record {path}, line {number}: time {at_ns} is not after the one before")
        rows.append((at_ns, count))
    if len(rows) < 2:
        raise ConfigError(f"encoder record {path} needs at least two rows below its header")
    return rows
