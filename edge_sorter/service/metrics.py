"""The figures of a line for Prometheus, made from a snapshot when somebody asks: between scrapes they cost nothing.

Contract: every name begins with `edge_sorter_`; counters count since the start of the process (`boot_id` in
`edge_sorter_build_info` changes with it); alert rules for them lie in deploy/prometheus/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from edge_sorter.plc.alarm_table import alarm_text
from edge_sorter.plc.messages import AppState
from edge_sorter.service.durations import BOUNDS_MS, DurationCounts
from edge_sorter.service.status import LineSnapshot, LineStatus
from edge_sorter.service.temperature import temperatures_c

PREFIX = "edge_sorter_"
_BOUNDS = (*(f"{bound / 1000:g}" for bound in BOUNDS_MS), "+Inf")


def registry(status: LineStatus) -> CollectorRegistry:
    """Return a registry that answers with the line's figures and those of its process."""
    registry = CollectorRegistry()
    registry.register(_LineCollector(status))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class _LineCollector:
    def __init__(self, status: LineStatus) -> None:
        self._status = status

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are known only when collected, and no other collector uses the prefix."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield every figure of one snapshot."""
        seen = self._status.snapshot(decisions=0, timings=0)
        for family in (_info, _condition, _frames, _decisions, _ends, _evidence, _durations):
            yield from family(seen)
        yield _gauge("temperature_celsius", "Temperature by thermal zone", temperatures_c(), label="zone")


def _info(seen: LineSnapshot) -> Iterator[Metric]:
    if seen.info is not None:
        kept = ("boot_id", "version", "source", "model", "engine", "plan", "calibration")
        told = {key: str(getattr(seen.info, key) or "") for key in kept}
        yield InfoMetricFamily(PREFIX + "build", "What is running", value=told)


def _condition(seen: LineSnapshot) -> Iterator[Metric]:
    states = {state.value: float(state is seen.state) for state in AppState}
    yield _gauge("state", "1 for what the state topic says now", states, label="state")
    yield _gauge("loop_stalled_seconds", "Since the main loop last came round", seen.stalled_ms / 1000)
    yield _gauge("blind", "1 while there is no usable picture", float(seen.blind_for is not None))
    yield _gauge("tracks", "Tracks alive, by life state", seen.tracks, label="state")


def _frames(seen: LineSnapshot) -> Iterator[Metric]:
    yield _counter("frames", "Frames decided", seen.frames)
    yield _counter("frames_dropped", "Frames not decided, by reason", seen.peers.camera_drops, label="reason")
    yield _counter("blind_looks", "Looks that found no usable picture, by reason", seen.blind, label="reason")
    if seen.fps is not None:
        yield _gauge("frames_per_second", "Frame rate of late", seen.fps)
    if seen.frame_age_ms is not None:
        yield _gauge("frame_age_seconds", "Age of the newest decided frame", seen.frame_age_ms / 1000)


def _decisions(seen: LineSnapshot) -> Iterator[Metric]:
    made = CounterMetricFamily(PREFIX + "decisions", "Decisions", labels=("lane", "action", "reason"))
    for (lane, action, reason), count in sorted(seen.decided.items()):
        made.add_metric((lane, action, reason), count)
    yield made
    yield _counter("decisions_with_code", "Decisions for parcels with at least one accepted code", seen.with_code)
    yield _counter("published", "Decisions by what became of them", seen.published, label="result")
    yield _counter("acknowledged", "Decisions the broker acknowledged", seen.peers.acked)


def _ends(seen: LineSnapshot) -> Iterator[Metric]:
    yield _gauge("broker_connected", "1 while a decision would be sent", float(seen.peers.broker_connected))
    again = {"camera": seen.peers.camera_reconnects, "broker": seen.peers.broker_reconnects}
    yield _counter(
        "outcomes", "Parcels by how their story ended, as the PLC told", seen.peers.outcomes, label="outcome"
    )
    yield _counter("messages_refused", "Incoming messages that were refused", seen.peers.rejected, label="code")
    wrong = GaugeMetricFamily(PREFIX + "alarm", "1 while an alarm is active or acked", labels=("code", "severity"))
    for alarm in seen.peers.alarms:
        wrong.add_metric((alarm.code, str(alarm_text(alarm.code).severity)), 1)
    yield wrong
    yield _counter("reconnects", "How often an end was lost and found again", again, label="end")


def _evidence(seen: LineSnapshot) -> Iterator[Metric]:
    if seen.evidence is None:
        return
    dropped = {name.removeprefix("dropped_"): n for name, n in seen.evidence.items() if name.startswith("dropped_")}
    kept = {name: n for name, n in seen.evidence.items() if not name.startswith("dropped_")}
    yield _counter("evidence", "Exceptions kept with record and clip, by why", kept, label="why")
    yield _counter("evidence_dropped", "Pictures, clips and exceptions not kept", dropped, label="because")


def _durations(seen: LineSnapshot) -> Iterator[Metric]:
    latency = HistogramMetricFamily(PREFIX + "latency_seconds", "Exposure to published, frames with a decision")
    _add(latency, (), seen.latency)
    yield latency
    stages = HistogramMetricFamily(PREFIX + "stage_seconds", "What each stage takes a frame", labels=("stage",))
    for stage, durations in seen.stages.items():
        _add(stages, (stage,), durations)
    yield stages


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], durations: DurationCounts) -> None:
    total, buckets = 0, []
    for bound, count in zip(_BOUNDS, durations.counts, strict=True):
        total += count
        buckets.append((bound, float(total)))
    family.add_metric(labels, buckets, sum_value=durations.total_ns / 1e9)


Make = Callable[..., CounterMetricFamily | GaugeMetricFamily]


def _counter(name: str, text: str, value: float | dict[str, int], *, label: str | None = None) -> Metric:
    return _family(CounterMetricFamily, name, text, value, label)


def _gauge(
    name: str, text: str, value: float | dict[str, int] | dict[str, float], *, label: str | None = None
) -> Metric:
    return _family(GaugeMetricFamily, name, text, value, label)


def _family(
    make: Make, name: str, text: str, value: float | dict[str, int] | dict[str, float], label: str | None
) -> Metric:
    family = make(PREFIX + name, text, labels=() if label is None else (label,))
    if isinstance(value, dict):
        for key, one in sorted(value.items()):
            family.add_metric((key,), one)
    else:
        family.add_metric((), value)
    return family
