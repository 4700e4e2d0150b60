"""The figures of a run, for the retained kpi message: what was decided, sent, answered and refused, and how fast.

Pure: everything is handed in. Times are those of the newest messages, so that an old burst does not colour a day.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from edge_sorter.plc.book import Outcome, Story
from edge_sorter.plc.messages import KpiMessage, Percentiles
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.types import SortDecision

NEWEST = 10_000
MINUTE_NS = 60_000_000_000


class Figures:
    """Counts and times of one run.

    Attributes:
        results: How many decisions ended in each result of `publish`.
        outcomes: How many parcels' stories ended how.
        broker_ns: Newest times from publish to the broker's acknowledgement.
    """

    def __init__(self) -> None:
        self.results: Counter[PublishResult] = Counter()
        self.outcomes: Counter[Outcome] = Counter()
        self.broker_ns: deque[int] = deque(maxlen=NEWEST)
        self._lanes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._latency_ns: deque[int] = deque(maxlen=NEWEST)
        self._answer_ns: deque[int] = deque(maxlen=NEWEST)
        self._sent_at_ns: deque[int] = deque(maxlen=NEWEST)

    def published(self, decision: SortDecision, result: PublishResult, *, at_ns: int) -> None:
        """Note a decision and what became of it."""
        self.results[result] += 1
        if result is PublishResult.SENT:
            self._lanes[decision.lane] += 1
            self._reasons[decision.reason.value] += 1
            self._latency_ns.append(at_ns - decision.captured_ns)
            self._sent_at_ns.append(at_ns)

    def ended(self, story: Story) -> None:
        """Note the end of a parcel's story."""
        assert story.outcome is not None
        self.outcomes[story.outcome] += 1
        if story.ack_ns is not None and story.sent_ns is not None and story.asks == 1:
            self._answer_ns.append(story.ack_ns - story.sent_ns)

    def message(
        self,
        *,
        boot_id: str,
        ts: str,
        now_ns: int,
        frames: int,
        answers: Mapping[str, int],
        rejected: Mapping[str, int],
        replay: bool,
    ) -> KpiMessage:
        """Build the message with everything so far."""
        results = self.results
        dropped = (PublishResult.DROPPED_OFFLINE, PublishResult.DROPPED_STALLED, PublishResult.WITHHELD)
        return KpiMessage(
            boot_id=boot_id,
            ts=ts,
            frames=frames,
            parcels=self.outcomes.total(),
            decisions=results.total(),
            per_minute=sum(now_ns - at_ns <= MINUTE_NS for at_ns in self._sent_at_ns),
            by_lane=dict(self._lanes),
            by_reason=dict(self._reasons),
            late=results[PublishResult.LATE],
            dropped={result.value: results[result] for result in dropped if results[result]},
            outcomes={outcome.value: count for outcome, count in self.outcomes.items()},
            answers=dict(answers),
            rejected=dict(rejected),
            latency_ms=_percentiles(self._latency_ns),
            ack_ms=_percentiles(self.broker_ns),
            plc_ack_ms=_percentiles(self._answer_ns),
            replay=replay,
        )


def _percentiles(times_ns: deque[int]) -> Percentiles | None:
    if not times_ns:
        return None
    ordered = sorted(times_ns)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] / 1e6, 3)

    return Percentiles(p50=at(0.50), p95=at(0.95), p99=at(0.99))
