"""What a replay found out: collected while it runs, shown as a table, written as `report.json`."""

from __future__ import annotations

from collections import Counter, OrderedDict
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.table import Table

from edge_sorter.atomic import write_json
from edge_sorter.events import LineEvent
from edge_sorter.plc.publisher import PublishResult
from edge_sorter.replay.histogram import Histogram
from edge_sorter.replay.truth import Verdict
from edge_sorter.sort import RouterCounts
from edge_sorter.types import Blind, SortDecision, Step

STAGES = ("preprocess", "infer", "decode", "track", "identify", "sort", "publish")

REMEMBERED = 4096
"""Decisions kept for noticing a second one of the same parcel."""


class Collector:
    """Watches a run and keeps counters and latency distributions; memory does not grow with the run."""

    def __init__(self) -> None:
        self.frames = 0
        self.blind: Counter[str] = Counter()
        self.lanes: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.classes: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        self.late = 0
        self.duplicates = 0
        self.stages = {stage: Histogram() for stage in STAGES}
        self.capture_to_publish = Histogram()
        self._decided: OrderedDict[str, None] = OrderedDict()

    def on_step(self, step: Step, results: tuple[PublishResult, ...], publish_ns: int) -> None:
        """Count one step."""
        self.frames += 1
        for stage, spent_ns in step.stage_ns.items():
            self.stages.setdefault(stage, Histogram()).record(spent_ns)
        if step.decisions:
            self.stages["publish"].record(publish_ns)
        self._count(step.decisions, results)

    def on_heard(
        self, event: LineEvent, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]
    ) -> None:
        """Count decisions that changed because of what the line told."""
        self._count(decisions, results)

    def _count(self, decisions: tuple[SortDecision, ...], results: tuple[PublishResult, ...]) -> None:
        for decision, result in zip(decisions, results, strict=True):
            self.lanes[decision.lane] += 1
            self.reasons[decision.reason.value] += 1
            self.classes[decision.class_name] += 1
            self.results[result.value] += 1
            self.late += decision.reason.value == "LATE" or result is PublishResult.LATE
            key = f"{decision.parcel_uid}/{decision.rev}"
            self.duplicates += key in self._decided
            self._decided[key] = None
            if len(self._decided) > REMEMBERED:
                self._decided.popitem(last=False)

    def on_blind(self, blind: Blind) -> None:
        """Count one look without a picture."""
        self.blind[blind.reason] += 1

    @property
    def decisions(self) -> int:
        """Number of decisions made."""
        return sum(self.lanes.values())


def build_report(
    collector: Collector,
    *,
    clip: str,
    config: str,
    detector: str,
    plan: str,
    wall_s: float,
    video_s: float | None,
    dropped: dict[str, int],
    mode: str,
    verdict: Verdict | None,
    memory_mb: dict[str, float | None],
    router: RouterCounts,
    damage: str | None,
) -> dict[str, Any]:
    """Return the report as plain values, for `report.json` and the table."""
    return {
        "schema": "edge_sorter.report/1",
        "clip": clip,
        "config": config,
        "mode": mode,
        "detector": detector,
        "plan": plan,
        "frames": collector.frames,
        "wall_s": round(wall_s, 3),
        "frames_per_s": round(collector.frames / wall_s, 2) if wall_s > 0 else None,
        "video_s": None if video_s is None else round(video_s, 3),
        "memory_mb": memory_mb,
        "latency_ms": {
            **{name: histogram.summary_ms() for name, histogram in collector.stages.items() if histogram.count},
            "capture_to_publish": collector.capture_to_publish.summary_ms(),
        },
        "decisions": collector.decisions,
        "by_lane": dict(sorted(collector.lanes.items())),
        "by_reason": dict(sorted(collector.reasons.items())),
        "by_class": dict(sorted(collector.classes.items())),
        "published": dict(sorted(collector.results.items())),
        "undecided": {
            "first_seen_past_line": router.unseen,
            "part_of_decided": router.split_suppressed,
            "never_confirmed": router.unconfirmed,
        },
        "late": collector.late,
        "duplicates": collector.duplicates,
        "dropped_frames": dropped,
        "blind": dict(collector.blind),
        "damage": damage,
        "truth": verdict.as_dict() if verdict else None,
    }


def write_report(path: Path, report: dict[str, Any]) -> None:
    """Write the report in one piece."""
    write_json(path, report)


def show_report(console: Console, report: dict[str, Any]) -> None:
    """Print the report as tables a person reads."""
    console.print(Group(_run_table(report), _latency_table(report), _decision_table(report)))
    if report["truth"]:
        console.print(_truth_table(report["truth"]))


def _run_table(report: dict[str, Any]) -> Table:
    table = Table(title=f"Replay of {Path(report['clip']).name}", title_justify="left", show_header=False)
    table.add_row(
        "frames", f"{report['frames']}", "throughput", f"{report['frames_per_s']} frames/s ({report['mode']})"
    )
    table.add_row("detector", report["detector"], "plan", report["plan"])
    dropped = sum(report["dropped_frames"].values())
    table.add_row("dropped frames", f"{dropped}", "blind", _counts(report["blind"]) or "never")
    table.add_row("peak memory", f"{report['memory_mb']['peak']} MB", "wall time", f"{report['wall_s']} s")
    return table


def _latency_table(report: dict[str, Any]) -> Table:
    table = Table(title="Latency in ms", title_justify="left")
    table.add_column("stage")
    for column in ("p50", "p95", "p99", "max", "count"):
        table.add_column(column, justify="right")
    for stage, row in report["latency_ms"].items():
        if row["count"]:
            cells = (f"{row[c]:.2f}" for c in ("p50", "p95", "p99", "max"))
            table.add_row(stage.replace("capture_to_publish", "capture → publish"), *cells, str(row["count"]))
    return table


def _decision_table(report: dict[str, Any]) -> Table:
    table = Table(title="Decisions", title_justify="left", show_header=False)
    table.add_row("decisions", str(report["decisions"]), "published", _counts(report["published"]))
    table.add_row("by lane", _counts(report["by_lane"]), "by reason", _counts(report["by_reason"]))
    table.add_row("undecided tracks", _counts(report["undecided"]), "", "")
    table.add_row(
        "by class", _counts(report["by_class"]), "late / duplicate", f"{report['late']} / {report['duplicates']}"
    )
    return table


def _truth_table(truth: dict[str, Any]) -> Table:
    table = Table(title="Against the truth", title_justify="left", show_header=False)
    table.add_row("parcels that crossed", str(truth["parcels"]), "decided once", str(truth["decided"]))
    if truth["shared"]:
        table.add_row("", "", "of them by one decision for a group", str(truth["shared"]))
    table.add_row("without decision", str(truth["missed"]), "decision without parcel", str(truth["extra"]))
    for thing in truth.get("foreign", ()):
        decided = f"taken for a {thing['saw']}: {thing['got']} ({thing['reason']})" if thing["got"] else "no decision"
        table.add_row("foreign object", thing["kind"], "", decided)
    if truth["lanes_judged"]:
        low, high = truth["lane_right_95"]
        share = f"{truth['lane_right']} of {truth['lanes_judged']}  (95 % interval {low:.1%} to {high:.1%})"
        table.add_row("right lane", share, "wrong lane", str(len(truth["wrong"])))
        for wrong in truth["wrong"][:10]:
            table.add_row(
                "", f"parcel {wrong['parcel']}", "", f"wanted {wrong['wanted']}, got {wrong['got']} ({wrong['reason']})"
            )
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
