"""What happened of late, ready to be shown: cards of decisions, their pictures, the trend of the last hour.

Contract: written and read on the server's thread only; bounded by `CARDS`; it reads what the main loop left and never
asks it for anything.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from edge_sorter.service.status import LineStatus
from edge_sorter.service.web.card import card_of
from edge_sorter.service.web.looks import Looks, Witness
from edge_sorter.service.web.picture import thumbnail
from edge_sorter.service.web.scene import Scene
from edge_sorter.service.web.trend import Trend

CARDS = 300

Key = tuple[str, int]
"""Parcel and revision."""


class Notebook:
    """Turns what a witness saw into cards.

    Attributes:
        looks: Every look at the tracks of late.
        trend: The last hour in points.
        newest: Number of the newest card, counted from 1; viewers ask for what came after the number they know.
    """

    def __init__(self, status: LineStatus, witness: Witness) -> None:
        self.looks = Looks()
        self.trend = Trend()
        self.newest = 0
        self._status, self._witness = status, witness
        self._cards: OrderedDict[Key, tuple[int, dict[str, Any]]] = OrderedDict()
        self._pictures: OrderedDict[Key, bytes] = OrderedDict()
        self._lanes: dict[int, tuple[str, str, str]] = {}

    def tend(self, scene: Scene | None) -> None:
        """Take in what happened since the last time; call it a few times a second."""
        decisions = self.looks.take(self._witness)
        while self._witness.pictures:
            uid, rev, image = self._witness.pictures.popleft()
            self._pictures[uid, rev] = thumbnail(image)
        if decisions and scene is not None:
            self._write_cards(scene, at_least=decisions)
        brief = self._status.snapshot(decisions=0, timings=0)
        if self.trend.due(brief.now_ns):
            self.trend.sample(self._status.snapshot(decisions=0))
        while len(self._pictures) > CARDS:
            self._pictures.popitem(last=False)

    def cards_after(self, number: int, *, limit: int) -> list[dict[str, Any]]:
        """Return the newest cards with numbers above `number`, oldest first, at most `limit`."""
        return [card for n, card in list(self._cards.values())[-limit:] if n > number]

    def cards(self) -> list[dict[str, Any]]:
        """Return all cards, newest first."""
        return [card for _, card in reversed(self._cards.values())]

    def picture(self, key: Key) -> bytes | None:
        """Return a parcel's picture as JPEG, while it is remembered."""
        return self._pictures.get(key)

    def lane_of(self, track_id: int) -> tuple[str, str, str] | None:
        """Return lane, reason and parcel id of a track that was decided of late."""
        return self._lanes.get(track_id)

    def _write_cards(self, scene: Scene, *, at_least: int) -> None:
        for decided in self._status.snapshot(decisions=at_least + 8, timings=0).recent:
            decision = decided.decision
            key = (decision.parcel_uid, decision.rev)
            if key in self._cards:
                continue
            self.newest += 1
            looks = self.looks.of(decision.track_id)
            card = card_of(decided, looks=looks, scene=scene, picture=key in self._pictures) | {"n": self.newest}
            self._cards[key] = (self.newest, card)
            self._lanes[decision.track_id] = (decision.lane, decision.reason.value, decision.parcel_uid)
            if len(self._cards) > CARDS:
                _, (_, gone) = self._cards.popitem(last=False)
                self._lanes.pop(gone["track"], None)
