"""A reload: what it changes, what it refuses, what it leaves for a restart; and thresholds that change mid-journal."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import mosquitto as real
import own_line
import pytest
import yaml

from edge_sorter.clock import ReplayClock
from edge_sorter.config import Config, load_config
from edge_sorter.event_record import event_from, event_record
from edge_sorter.events import PlanOffer, Thresholds
from edge_sorter.journal import Journal, JournalStep
from edge_sorter.pipeline import Pipeline
from edge_sorter.service.notify import Notify
from edge_sorter.service.reload import Reload, changes
from edge_sorter.sort import load_plan
from edge_sorter.types import Reason

CLASSES = ("carton", "polybag", "mailer", "tube", "sack")


class Told(Notify):
    def __init__(self) -> None:
        self.words: list[str] = []
        super().__init__({})

    def _send(self, text: str) -> None:
        self.words.append(text.split("\n")[0])


class Line:
    """A configuration of its own, with a `Reload` that listens to `asked`."""

    def __init__(self, root: Path, folder: Path) -> None:
        config = own_line.demo_values(root)
        shutil.copy(root / "configs/demo/plan.yaml", folder / "plan.yaml")
        config["sort"]["plan"] = "plan.yaml"
        self.path, self.plan, self.values = folder / "line.yaml", folder / "plan.yaml", config
        self.write()
        self.asked = False
        self.notify, self.told = Told(), []
        self.reload = Reload(
            self.path,
            load_config(self.path),
            asked=self._take,
            clock=ReplayClock(),
            classes=CLASSES,
            confidence=lambda: 0.55,
            notify=self.notify,
            tell=self.told.append,
        )

    def write(self) -> None:
        self.path.write_text(yaml.safe_dump(self.values))

    def _take(self) -> bool:
        asked, self.asked = self.asked, False
        return asked

    def events(self) -> list:
        """Ask for a reload and return what comes of it."""
        self.asked = True
        found: list = []
        words = len(self.notify.words)
        real.wait_until(
            lambda: self.notify.words[words:] == ["RELOADING=1", "READY=1"],
            timeout_s=20,
            what="the end of the reload",
            meanwhile=lambda: found.extend(self.reload.take_events(7)),
        )
        return found


@pytest.fixture
def line(root: Path, tmp_path: Path) -> Line:
    return Line(root, tmp_path)


def test_nothing_happens_unasked(line):
    assert line.reload.take_events(1) == []
    assert (line.notify.words, line.told) == ([], [])


def test_plan_and_thresholds(line):
    line.values["sort"] |= {"min_hits": 5, "min_class_confidence": 0.7}
    line.values["detect"]["confidence"] = 0.6
    line.write()
    line.plan.write_text(line.plan.read_text().replace("id: demo", "id: changed"))
    offer, thresholds = line.events()
    assert thresholds == Thresholds(7, 0.6, 5, 0.7)
    assert isinstance(offer, PlanOffer)
    assert (offer.at_ns, offer.document["id"], offer.activate, offer.source) == (7, "changed", "NOW", str(line.plan))
    assert line.told == ["reloaded"]


def test_another_plan_file_needs_no_restart(line):
    line.plan.rename(line.plan.with_name("summer.yaml"))
    line.values["sort"]["plan"] = "summer.yaml"
    line.write()
    assert line.events()[0].source.endswith("summer.yaml")
    assert line.told == ["reloaded"]


def test_without_a_threshold_the_models_own_counts_again(line):
    assert line.events()[1].confidence == 0.55


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda line: line.path.write_text("detect: {"), "reload refused"),
        (lambda line: line.path.unlink(), "does not exist"),
        (lambda line: line.plan.write_text("id: x\n"), "required key is missing"),
        (lambda line: line.plan.write_text(line.plan.read_text().replace("tube", "submarine")), "submarine"),
        (lambda line: (line.values["detect"].update(confidence=0.05), line.write()), "low_confidence"),
    ],
)
def test_a_mistake_changes_nothing_and_is_told(line, spoil, said, caplog):
    spoil(line)
    with caplog.at_level(logging.ERROR):
        assert line.events() == []
    (told,) = line.told
    assert told.startswith("reload refused")
    assert said in told
    assert len(told) <= 200
    assert "nothing changed" in caplog.text


def test_what_needs_a_restart_is_named(line, caplog):
    line.values["video"]["source"] = "usb:1"
    line.values["plc"]["port"] = 2883
    line.write()
    with caplog.at_level(logging.WARNING):
        assert len(line.events()) == 2
    assert line.told == ["reloaded; waiting for a restart: video.source, plc.port"]


def test_a_second_reload_works_like_the_first(line):
    assert len(line.events()) == 2
    assert len(line.events()) == 2


def test_the_brokers_command_does_the_same(line):
    assert "state topic" in line.reload.command({})
    found: list = []
    real.wait_until(
        lambda: line.told == ["reloaded"],
        timeout_s=20,
        what="it",
        meanwhile=lambda: found.extend(line.reload.take_events(1)),
    )
    assert len(found) == 2
    assert line.reload.take_events(2) == []


def test_changes_name_only_what_differs(root):
    config = load_config(root / "configs/demo/line.yaml")
    sort = config.sort.model_copy(update={"min_hits": 9, "doubles_gap_mm": 1.0})
    assert changes(config, config.model_copy(update={"sort": sort})) == ["sort.doubles_gap_mm"]


def decide_golden(config: Config, *, change_at: int | None):
    """Decide the recorded journal again, with other thresholds from one frame on; return (frame, decision) pairs."""
    journal = Journal(Path(__file__).parent.parent / "golden/demo.jsonl")
    header = journal.header
    plan = load_plan(config.sort.plan, classes=tuple(header["classes"]), calibrated=True)
    pipeline = Pipeline(
        config,
        detector=None,
        plan=plan,
        image_size_px=tuple(header["image_size_px"]),
        boot_id="B",
        classes=tuple(header["classes"]),
        high_confidence=header["high_confidence"],
    )
    made = []
    for entry in journal.entries():
        for event in entry.heard:
            pipeline.hear(event)
        if not isinstance(entry, JournalStep):
            continue
        if entry.index == change_at:
            # Through its record, as a replay of a journal would.
            event = event_from(event_record(Thresholds(entry.detections.captured_ns, 0.99, 1000, 0.5)))
            assert pipeline.hear(event) == ()
        reads = entry.reads
        done = pipeline.decide(entry.index, entry.detections, travel_mm=entry.travel_mm, read=lambda _, r=reads: r)
        made += [(entry.index, decision) for decision in done.decisions]
    return made


def test_thresholds_count_from_the_frame_they_come_with(root):
    config = load_config(root / "configs/demo/line.yaml")
    plain = decide_golden(config, change_at=None)
    middle = plain[len(plain) // 2][0]
    changed = decide_golden(config, change_at=middle)
    assert [d for at, d in changed if at < middle] == [d for at, d in plain if at < middle]
    after = [d.reason for at, d in changed if at >= middle]
    assert Reason.LOW_CONF in after
    assert Reason.PLAN_MATCH not in after
    assert len(after) < sum(at >= middle for at, _ in plain), "nothing sure enough starts a track any more"
