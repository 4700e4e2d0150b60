"""An engine that fails mid-run: the next one takes over on the same frame, and the PLC learns what it can hold."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from first_frames import first_frames

from edge_sorter.belt import open_belt
from edge_sorter.clock import ReplayClock
from edge_sorter.config import Config, load_config
from edge_sorter.detect import Detector, open_detector
from edge_sorter.errors import EngineError
from edge_sorter.pipeline import open_pipeline, run
from edge_sorter.plc.messages import AppState
from edge_sorter.plc.publisher import MemoryPublisher
from edge_sorter.service.standby import Standby, holdable_mm_s, view_before_line_mm
from edge_sorter.sort import load_plan
from edge_sorter.types import Detections, Frame
from edge_sorter.video import HealthMonitor, open_source

FAILS_AT = 100


@pytest.fixture
def config(root: Path) -> Config:
    loaded = load_config(root / "configs/demo/line.yaml")
    detect = loaded.detect.model_copy(update={"engine": "openvino"})
    return loaded.model_copy(update={"detect": detect})


class Breaking:
    """A real detector whose engine dies at one frame and stays dead."""

    def __init__(self, detector: Detector, *, at_frame: int) -> None:
        self._detector, self._at_frame, self.dead, self.closed = detector, at_frame, False, False

    def __getattr__(self, name: str):
        return getattr(self._detector, name)

    def detect(self, frame: Frame) -> Detections:
        self.dead |= frame.index >= self._at_frame
        if self.dead:
            raise EngineError("CUDA error 700: an illegal memory access was encountered")
        return self._detector.detect(frame)

    def close(self) -> None:
        self.closed = True
        self._detector.close()


def play(config: Config, root: Path, *, breaks: bool, frames: int = 300):
    """Run the first frames of the demo; return decisions, told states and sentences."""
    clock = ReplayClock()
    publisher = MemoryPublisher(clock)
    sentences: list[str] = []
    source = open_source(config.video, clock=clock)
    detector = open_detector(config.detect)
    first = Breaking(detector, at_frame=FAILS_AT) if breaks else detector
    plan = load_plan(config.sort.plan, classes=detector.classes, calibrated=True)
    pipeline = open_pipeline(config, detector=first, plan=plan, image_size_px=source.size_px, boot_id="B")  # type: ignore[arg-type]
    standby = Standby(
        config.detect,
        belt=pipeline.belt,
        size_px=source.size_px,
        fps=source.fps,
        adopt=lambda detector, sentence: sentences.append(sentence),
    )
    with source:
        counts = run(
            first_frames(source, frames),
            pipeline,
            publisher,
            clock=clock,
            health=HealthMonitor(config.video.blind, watch_frozen=False),
            rescue=standby,
        )
    assert counts.frames == frames
    assert not breaks or first.closed
    assert pipeline.detector is not None
    pipeline.detector.close()
    return publisher, sentences


@pytest.mark.slow
def test_no_parcel_is_lost_when_the_engine_dies(config, root, caplog):
    whole, _ = play(config, root, breaks=False)
    with caplog.at_level(logging.WARNING):
        broken, sentences = play(config, root, breaks=True)

    def decided(publisher: MemoryPublisher):
        return [(d.parcel_uid, d.lane, d.track_id) for d in publisher.sent]

    assert len(decided(whole)) >= 8
    assert decided(broken) == decided(whole)
    (sentence,) = sentences
    assert sentence.startswith("ENGINE_FALLBACK to ONNX Runtime")
    assert "belt up to" in sentence
    assert "illegal memory access" in caplog.text
    assert AppState.HOLD not in [state for state, _ in broken.states]


def test_when_none_is_left_the_error_goes_on(config, root):
    last = config.model_copy(update={"detect": config.detect.model_copy(update={"engine": "onnxruntime"})})
    with pytest.raises(EngineError, match="illegal memory access"):
        play(last, root, breaks=True, frames=FAILS_AT + 1)


def test_engines_that_cannot_take_over_are_passed(config, root, caplog):
    tried = []

    def refuse(section):
        tried.append(section.engine)
        raise EngineError("not here")

    failed = open_detector(config.detect)
    belt = open_belt(config.belt, image_size_px=(960, 540))
    standby = Standby(config.detect, belt=belt, size_px=(960, 540), fps=30, adopt=lambda *_: None, open_with=refuse)
    with pytest.raises(EngineError, match="the first one"):
        standby(failed, EngineError("the first one"))
    assert tried == ["onnxruntime"]
    assert "engine onnxruntime cannot take over: not here" in caplog.text


def test_the_speed_that_can_be_held(config):
    belt = open_belt(config.belt, image_size_px=(960, 540))
    view_mm = view_before_line_mm(belt, (960, 540))
    assert view_mm is not None
    edge_px = belt.map.point_px((1140 - view_mm, belt.map.middle_y_mm))
    assert min(abs(edge_px[0]), abs(960 - edge_px[0]), abs(edge_px[1]), abs(540 - edge_px[1])) < 20, (
        "the picture's edge"
    )
    assert holdable_mm_s(belt, (960, 540), fps=10) == pytest.approx(view_mm * 10 / 5)
    assert holdable_mm_s(belt, (960, 540), fps=20) == pytest.approx(2 * holdable_mm_s(belt, (960, 540), fps=10))


def test_without_calibration_no_speed_is_claimed(root):
    loaded = load_config(root / "configs/footage/flat_packs.yaml")
    assert holdable_mm_s(open_belt(loaded.belt, image_size_px=(960, 540)), (960, 540), fps=10) is None
