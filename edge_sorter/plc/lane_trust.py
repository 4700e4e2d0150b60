"""Whether lanes do what they are told, from how the stories of their parcels end.

Pure. Two things are told apart: a lane whose parcels never show up at its eye (a blind eye or a dead diverter), and a
lane whose parcels go elsewhere. The second is proposed for disabling; disabling it is a person's decision.
"""

from __future__ import annotations

from collections import deque

from edge_sorter.plc.book import Outcome, Story

UNVERIFIED_IN_A_ROW = 3
MISSORTS, OF_NEWEST, MISSORTS_IN_A_ROW = 3, 100, 2


class LaneTrust:
    """Newest confirmed and unconfirmed ends, lane by lane."""

    def __init__(self) -> None:
        self._unverified: dict[str, int] = {}
        self._missorts: dict[str, deque[bool]] = {}

    def note(self, story: Story) -> None:
        """Take the end of a story."""
        lane = story.decision.lane
        if story.outcome is Outcome.UNVERIFIED:
            self._unverified[lane] = self._unverified.get(lane, 0) + 1
        elif story.confirm_ns is not None:
            self._unverified[lane] = 0
        if story.outcome in (Outcome.VERIFIED, Outcome.MISSORT):
            ends = self._missorts.setdefault(lane, deque(maxlen=OF_NEWEST))
            ends.append(story.outcome is Outcome.MISSORT)

    def reset(self, lane: str) -> None:
        """Forget what a lane did; a person has looked at it."""
        self._unverified.pop(lane, None)
        self._missorts.pop(lane, None)

    @property
    def unverified(self) -> frozenset[str]:
        """Lanes that did not confirm several parcels in a row."""
        return frozenset(lane for lane, count in self._unverified.items() if count >= UNVERIFIED_IN_A_ROW)

    @property
    def missorting(self) -> frozenset[str]:
        """Lanes whose parcels went elsewhere too often, or several times in a row."""
        return frozenset(lane for lane, ends in self._missorts.items() if _too_many(ends))


def _too_many(ends: deque[bool]) -> bool:
    in_a_row = len(ends) >= MISSORTS_IN_A_ROW and all(list(ends)[-MISSORTS_IN_A_ROW:])
    return in_a_row or sum(ends) >= MISSORTS
