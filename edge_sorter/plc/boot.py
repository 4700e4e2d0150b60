"""The id of one run of this program, so that a restart never reuses the name of a parcel.

`boot_id` is the 10-character time part of a ULID: unique per millisecond, and sorting ids sorts runs by time.
"""

from __future__ import annotations

from datetime import timedelta

from edge_sorter.clock import EPOCH, Clock

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CHARACTERS = 10


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
