"""Another model takes over mid-run, on the demo with real weights: no parcel missed, bad ones refused or taken back."""

from __future__ import annotations

import gc
import hashlib
import json
import logging
import os
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from first_frames import first_frames
from made_model import made_model

from edge_sorter.clock import ReplayClock
from edge_sorter.config import Config, DetectSection, SwapSection, load_config
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import ConfigError, EngineError
from edge_sorter.events import LineEvent, ModelInUse
from edge_sorter.journal import Journal, JournalWriter, journal_header
from edge_sorter.pipeline import Pipeline, line_of, open_pipeline, run
from edge_sorter.plc.publisher import MemoryPublisher
from edge_sorter.replay import replay_journal
from edge_sorter.replay.truth import judge, lane_by_plan, load_truth
from edge_sorter.service.kept_journal import KeptJournal
from edge_sorter.service.model_memory import ModelMemory, put_back
from edge_sorter.service.model_swap import ModelSwap, News, Stage
from edge_sorter.service.status import LineStatus
from edge_sorter.sort import load_plan
from edge_sorter.types import Detections, Frame
from edge_sorter.video import HealthMonitor, open_source


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of made-up models are nobody else's; what is compiled once is kept for the whole file."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "model-swap-cache"))


@pytest.fixture
def config(root: Path, tmp_path: Path) -> Config:
    """The demo with its float model in a folder of its own, on OpenVINO; a short probation and no limit of time."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in (root / "weights").glob("parcel-yolo26n*"):
        shutil.copy(path, folder)
    loaded = load_config(root / "configs/demo/line.yaml")
    swap = SwapSection(wait_s=2.0, probation_s=4.0, probation_parcels=5)
    detect = loaded.detect.model_copy(
        update={"engine": "openvino", "model": folder / "parcel-yolo26n.onnx", "swap": swap}
    )
    return loaded.model_copy(update={"detect": detect})


def variant(config: Config, name: str, **changes: object) -> Path:
    """Return the demo's network as another file."""
    return made_model(config.detect.model, name, **changes)


CLASSES = ("carton", "polybag", "mailer", "tube", "sack")


class Failing:
    """A real detector whose engine dies after so many looks."""

    def __init__(self, detector: Detector, *, after: int) -> None:
        self._detector, self._left, self.closed = detector, after, False

    def __getattr__(self, name: str):
        return getattr(self._detector, name)

    def detect(self, frame: Frame) -> Detections:
        self._left -= 1
        if self._left < 0:
            raise EngineError("CUDA error 700: an illegal memory access was encountered")
        return self._detector.detect(frame)

    def close(self) -> None:
        self.closed = True
        self._detector.close()


@dataclass
class Line:
    """The demo line as fast as possible; at the frames of `asks` the named models are asked for."""

    config: Config
    asks: dict[int, DetectSection]
    journal: Path | None = None
    open_with: object = open_detector
    frames: int | None = None
    patient: bool = True
    news: list[tuple[News, str]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    swap: ModelSwap | None = None
    memory: ModelMemory | None = None
    undecided: list[bool] = field(default_factory=list)

    def take_events(self, now_ns: int) -> list[LineEvent]:
        """Ask when it is time; the clip waits while a model is loaded, or it would be over before."""
        section = self.asks.pop(self.status.snapshot(decisions=0, timings=0).frames, None)
        if section is not None:
            try:
                self.swap.reloaded(section)
            except ConfigError as error:
                self.refusals.append(str(error))
        events: list[LineEvent] = []
        before = self.pipeline.detector
        until = time.monotonic() + 120
        while self.swap.stage is Stage.LOADING and self.patient:
            assert time.monotonic() < until, "the model is never loaded"
            events += self.swap.take_events(now_ns)
            time.sleep(0.005)
        events += self.swap.take_events(now_ns)
        if self.pipeline.detector is not before:
            self.undecided.append(not self.pipeline.router.clear)
        return events

    def play(self) -> MemoryPublisher:
        config, clock = self.config, ReplayClock()
        self.status, publisher = LineStatus(clock), MemoryPublisher(clock)
        source = open_source(config.video, clock=clock)
        detector = open_detector(config.detect)
        plan = load_plan(config.sort.plan, classes=detector.classes, calibrated=True)
        self.pipeline: Pipeline = open_pipeline(
            config, detector=detector, plan=plan, image_size_px=source.size_px, boot_id="B"
        )
        self.swap = ModelSwap(
            self.pipeline,
            config.detect,
            size_px=source.size_px,
            fps=None,
            frame=lambda: self.status.seen().frame,
            tell=lambda news, sentence: self.news.append((news, sentence)),
            memory=self.memory,
            open_with=self.open_with,
        )
        observers = [self.status, self.swap]
        if self.journal is not None:
            header = journal_header(
                boot_id="B",
                source="demo.mp4",
                size_px=source.size_px,
                classes=detector.classes,
                high_confidence=detector.high_confidence,
                model=detector.description,
                plan=plan.name,
            )
            kept = KeptJournal(
                self.journal, open_with=lambda: JournalWriter(self.journal, header=header), tell=lambda **_: None
            )
            observers.append(kept)
        line, _ = line_of(config, self)
        with source:
            run(
                first_frames(self.status.watching(source), self.frames),
                self.pipeline,
                publisher,
                clock=clock,
                line=line,
                health=HealthMonitor(config.video.blind, watch_frozen=False),
                observers=tuple(observers),
                rescue=self.swap.rescue,
            )
        self.swap.close()
        for observer in observers:
            if isinstance(observer, KeptJournal):
                observer.close()
        return publisher

    @property
    def told(self) -> list[News]:
        return [news for news, _ in self.news]


def assert_all_decided_rightly(config: Config, root: Path, publisher: MemoryPublisher) -> None:
    truth = load_truth(root / "configs/demo/truth.json")
    plan = load_plan(config.sort.plan, classes=CLASSES)
    found = judge(truth, publisher.sent, lane_of=lane_by_plan(plan, groups_to_exception=True)).as_dict()
    assert (found["parcels"], found["decided"], found["missed"], found["extra"]) == (46, 46, 0, 0)
    assert found["lane_right"] == found["lanes_judged"], found["wrong"]
    assert len({(d.parcel_uid, d.rev) for d in publisher.sent}) == len(publisher.sent)


def at_once(config: Config, path: Path) -> DetectSection:
    """Ask for a model that need not wait for a gap."""
    return config.detect.model_copy(
        update={"model": path, "swap": config.detect.swap.model_copy(update={"wait_s": 0.0})}
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_swaps_mid_run_miss_no_parcel_and_the_journal_says_who_decided(config, root, tmp_path, caplog):
    """The demo's belt is never empty: both take over between two frames. One throws after a while, the other stays."""
    opened: list[Failing] = []

    def open_with(section):
        opened.append(Failing(open_detector(section), after=10_000 if opened else 100))
        return opened[-1]

    thrower, second = variant(config, "thrower"), variant(config, "second")
    asks = {200: at_once(config, thrower), 380: config.detect.model_copy(update={"model": second})}
    line = Line(config, asks, journal=tmp_path / "journal.jsonl", open_with=open_with)
    with caplog.at_level(logging.ERROR):
        publisher = line.play()

    assert line.told == [News.SWITCHED, News.ROLLED_BACK, News.SWITCHED, News.KEPT], line.news
    assert line.undecided == [True, True], "parcels are in view"
    assert "failed: CUDA error 700" in line.news[1][1]
    assert opened[0].closed
    assert "0 missed, 0 new, 0 of another class" in line.news[3][1]
    assert line.swap.section.model == second

    assert_all_decided_rightly(config, root, publisher)
    assert replay_journal(config, tmp_path / "journal.jsonl") == (len(publisher.sent), 0)
    heard = [event for entry in Journal(tmp_path / "journal.jsonl").entries() for event in entry.heard]
    changes = [event for event in heard if isinstance(event, ModelInUse)]
    assert [change.model.split("#")[0] for change in changes] == ["thrower", "parcel-yolo26n", "second"]
    assert changes[2].sha256 == hashlib.sha256(second.read_bytes()).hexdigest()
    assert changes[2].confidence == 0.25


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_model_that_sees_less_is_taken_back(config, root, tmp_path):
    """Its golden pictures are right, but nothing on the belt is sure enough for it."""
    path = variant(config, "blind", confidence=0.99)
    memory = ModelMemory(tmp_path / "models.json")
    line = Line(config, {150: at_once(config, path), 450: at_once(config, path)}, frames=460, memory=memory)
    line.play()
    memory.close()
    assert line.told == [News.SWITCHED, News.ROLLED_BACK, News.REFUSED], line.news
    assert "misses" in line.news[1][1]
    assert "taken back before" in line.news[2][1]
    assert line.pipeline.tracker.high_confidence == 0.25
    assert line.swap.section.model == config.detect.model
    line_yaml = config.model_copy(
        update={"journal": config.journal.model_copy(update={"path": tmp_path / "journal.jsonl"})}
    )
    section, said = put_back(at_once(config, path), ModelMemory.of(line_yaml))
    assert section.model == config.detect.model, "a restart does not start with it either"
    assert "misses" in said


BAD = {
    "not what the golden pictures show": (
        {"golden": lambda golden: golden | {"detections": golden["detections"][1:] + golden["detections"][:1]}},
        "does not see what the float model sees",
    ),
    "other classes": ({"classes": lambda _: ["carton", "box", "mailer", "tube", "sack"]}, "needs a restart"),
    "no golden pictures": ({"golden": lambda _: None}, "without golden pictures"),
    "another file": ({"sha256": lambda _: "0" * 64}, "was changed after its manifest"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_model_is_refused_and_nothing_changes(config, case, caplog):
    changes, said = BAD[case]
    manifest = json.loads(config.detect.model.with_suffix(".json").read_text())
    path = variant(config, "bad", **{key: change(manifest[key]) for key, change in changes.items()})
    line = Line(config, {5: at_once(config, path)}, frames=10)
    with caplog.at_level(logging.ERROR):
        line.play()
    ((news, sentence),) = line.news
    assert news is News.REFUSED
    assert said in sentence or said in caplog.text
    assert (line.swap.stage, line.swap.section) == (Stage.IDLE, config.detect)


def test_it_waits_for_a_moment_without_undecided_parcels(config):
    patient = SwapSection(wait_s=1000.0)
    section = config.detect.model_copy(update={"model": variant(config, "second"), "swap": patient})
    early = Line(config, {0: section}, frames=5)
    early.play()
    assert early.told == [News.SWITCHED]
    assert "nothing undecided in view" in early.news[0][1]
    late = Line(config, {20: section}, frames=30)
    late.play()
    assert (late.told, late.swap.stage) == ([], Stage.WAITING)
    assert late.pipeline.detector.manifest.name == "parcel-yolo26n"


def test_one_change_at_a_time(config):
    first, second = variant(config, "first"), variant(config, "second")
    line = Line(config, {5: at_once(config, first), 6: at_once(config, second)}, frames=9, patient=False)
    line.play()
    assert line.refusals == ["model first.onnx is not through yet (LOADING); wait for it"]


def test_a_threshold_that_is_reloaded_while_a_model_waits_holds_for_the_new_one_too(config):
    swap = config.detect.swap.model_copy(update={"wait_s": 0.2})
    section = config.detect.model_copy(update={"model": variant(config, "first"), "swap": swap})
    line = Line(config, {20: section, 21: section.model_copy(update={"confidence": 0.4})}, frames=40)
    line.play()
    assert line.refusals == ["model first.onnx is not through yet (WAITING); wait for it"]
    assert line.told[:1] == [News.SWITCHED]
    assert line.pipeline.tracker.high_confidence == 0.4


def test_what_another_engine_took_for_a_picture_is_no_measure(config):
    """Where nothing can be taken back another engine takes over; later models are not held against the first one."""
    line = Line(config, {}, frames=5)
    line.play()
    assert line.swap._took_ns
    assert line.swap.rescue(line.pipeline.detector, EngineError("the device was lost")) is None
    assert not line.swap._took_ns


def test_the_model_that_runs_is_not_loaded_again(config):
    line = Line(config, {5: config.detect}, frames=10)
    line.play()
    assert line.told == [News.NONE]


def test_the_command_takes_a_file_of_the_models_folder_only(config):
    line = Line(config, {}, frames=3)
    line.play()
    variant(config, "second")
    for name in ("", "../weights/second.onnx", "/etc/passwd", "third.onnx", ".."):
        with pytest.raises(ConfigError, match="no model file"):
            line.swap.command({"file": name})


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_swapping_again_and_again_frees_what_is_old(config):
    """After the first few changes memory stays what it is: nobody holds a model that is gone."""
    quick = SwapSection(wait_s=0.0, probation_s=0.5, probation_parcels=0)
    sizes: list[float] = []

    def open_with(section):
        sizes.append(resident_mb())
        return open_detector(section)

    asks = {20 * n: variant(config, f"model{n}") for n in range(1, 8)}
    sections = {at: config.detect.model_copy(update={"model": path, "swap": quick}) for at, path in asks.items()}
    line = Line(config, sections, frames=20 * 9, open_with=open_with)
    line.play()
    assert Counter(line.told) == {News.SWITCHED: 7, News.KEPT: 7}
    gc.collect()
    assert sum(isinstance(thing, Detector) for thing in gc.get_objects()) <= 3
    assert sizes[-1] - sizes[3] < 30, [round(size) for size in sizes]


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
