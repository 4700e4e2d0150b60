"""A decision is sent now or never: while connected, before its deadline, while this line may be used, and only once.

Contract: `send` never keeps a decision for later, and says of every one what became of it; `delivery` follows it on.
"""

from __future__ import annotations

import logging

from edge_sorter.clock import Clock
from edge_sorter.plc.delivery import Delivery
from edge_sorter.plc.encode import decision_message
from edge_sorter.plc.publisher import Gate, PublishResult
from edge_sorter.plc.topics import Topics
from edge_sorter.plc.voice import Voice
from edge_sorter.plc.wire import Tag, Wire
from edge_sorter.types import SortDecision

log = logging.getLogger(__name__)


class Sender:
    """Sends decisions over one wire."""

    def __init__(
        self,
        wire: Wire,
        *,
        topics: Topics,
        clock: Clock,
        boot_id: str,
        voice: Voice,
        delivery: Delivery,
        patience_s: float,
    ) -> None:
        """Connect the parts.

        Args:
            wire: Where decisions go.
            topics: Where to publish; `topics.replay` marks every message as a replay.
            clock: The pipeline's clock, for deadlines and for times in messages.
            boot_id: Id of this run.
            voice: Knows whether this line may be used.
            delivery: Is told what became of each decision.
            patience_s: How long to wait for the broker to keep up.
        """
        self._wire, self._topics, self._clock, self._boot_id = wire, topics, clock, boot_id
        self._voice, self._delivery, self._patience_s = voice, delivery, patience_s
        self._gate = Gate()

    def send(self, decision: SortDecision) -> PublishResult:
        """Send a decision, or report why not."""
        payload = b""
        now_ns = self._clock.now_ns()
        result = self._refusal(decision, now_ns)
        if result is None:
            now_ns = self._clock.now_ns()  # waiting for room took time: the message carries the time it was judged by
            payload = self._payload(decision, now_ns)
            result = self._send(decision, payload, now_ns)
        self._delivery.published(decision, result, payload=payload, at_ns=now_ns)
        if result is not PublishResult.SENT:
            log.warning("decision %s for %s not sent: %s", decision.seq, decision.parcel_uid, result.value)
        return result

    def _refusal(self, decision: SortDecision, now_ns: int) -> PublishResult | None:
        refusal = self._gate.refusal(decision, now_ns=now_ns)
        if refusal is None and self._voice.standing.holds:
            refusal = PublishResult.WITHHELD
        if refusal is None and not self._wire.connected:
            refusal = PublishResult.DROPPED_OFFLINE
        if refusal is None and not self._wire.wait_room(self._patience_s):
            refusal = PublishResult.DROPPED_STALLED
        return refusal

    def _payload(self, decision: SortDecision, now_ns: int) -> bytes:
        return decision_message(
            decision,
            clock=self._clock,
            published_ns=now_ns,
            boot_id=self._boot_id,
            model=self._delivery.model,
            replay=self._topics.replay,
            seq=self._delivery.next_seq(),
        ).to_json()

    def _send(self, decision: SortDecision, payload: bytes, now_ns: int) -> PublishResult:
        if now_ns > decision.deadline_ns:
            return PublishResult.LATE
        self._delivery.about_to_send(decision, payload)
        # The broker counts whole seconds, and only its own; the gateway must still look at the deadline.
        expiry_s = -((now_ns - decision.deadline_ns) // 1_000_000_000) or 1
        tag = Tag("decision", self._delivery.next_seq())
        if not self._wire.send(self._topics.decision, payload, expiry_s=expiry_s, tag=tag):
            return PublishResult.DROPPED_OFFLINE
        self._gate.passed(decision)
        return PublishResult.SENT
