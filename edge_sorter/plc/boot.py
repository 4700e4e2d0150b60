"""The id of one run of this program, so that a restart never reuses the name of a parcel, nor the number of a message.

`boot_id` is the 10-character time part of a ULID: unique per millisecond, and sorting ids sorts runs by time.
"""

from __future__ import annotations

from datetime import timedelta

from edge_sorter.clock import EPOCH, Clock

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = 10
SEQ_PER_S = 64
"""More messages a second than any line decides, so that the numbers of a run end below those of the next."""


def boot_id(clock: Clock) -> str:
    """Return the id of a run that starts now.

    Recorded time gives the same id on every replay, which keeps replays byte-identical.
    """
    left = (clock.wall(clock.now_ns()) - EPOCH) // timedelta(milliseconds=1)
    digits = []
    for _ in range(_CHARACTERS):
        left, digit = divmod(left, 32)
        digits.append(_CROCKFORD[digit])
    return "".join(reversed(digits))


def first_seq(clock: Clock) -> int:
    """Return the number of the first decision message of a run that starts now: it grows with time, for 388 days.

    A PLC behind registers sees numbers and no boot id; so it cannot take one of this run for one of the run before.
    """
    return (clock.wall(clock.now_ns()) - EPOCH) // (timedelta(seconds=1) / SEQ_PER_S) % 2**31 + 1
