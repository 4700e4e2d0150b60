"""Clips: every frame, true times, nothing made up, and plain words for what is wrong with a file."""

from __future__ import annotations

import threading
import time
import wave
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rtsp_server import number_in

from edge_sorter.clock import ReplayClock
from edge_sorter.config import VideoSection
from edge_sorter.errors import CameraError, VideoError
from edge_sorter.types import Frame
from edge_sorter.video import FrameSource, open_source
from edge_sorter.video.clip import Timeline
from edge_sorter.video.file import FileSource

MS = 1_000_000


def frames_of(source: FrameSource) -> list[Frame]:
    return [picture for picture in source if isinstance(picture, Frame)]


def read(path: Path, **options: object) -> list[Frame]:
    with FileSource(path, clock=ReplayClock(), **options) as source:  # type: ignore[arg-type]
        return frames_of(source)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_every_frame_comes_once_in_order_with_its_time(make_clip, suffix):
    frames = read(make_clip(f"clip.{suffix}"))
    assert [frame.index for frame in frames] == list(range(30))
    assert [number_in(frame.image) for frame in frames] == list(range(30))
    assert [frame.captured_ns for frame in frames] == [number * 40 * MS for number in range(30)]


def test_a_variable_frame_rate_keeps_its_true_times(make_clip):
    pts = [500, 520, 533, 700, 1700, 1701, 1741, 2500]
    frames = read(make_clip("clip.mkv", pts=pts))
    assert [frame.captured_ns for frame in frames] == [(at - 500) * MS for at in pts]


def test_a_stream_without_times_is_spaced_by_its_rate(make_clip):
    with FileSource(make_clip("clip.h264", form="h264"), clock=ReplayClock()) as source:
        frames = frames_of(source)
        step_ns = round(1e9 / source.fps)
        assert source.repaired_times == 30
    assert [frame.captured_ns for frame in frames] == [number * step_ns for number in range(30)]


@pytest.mark.parametrize(
    ("stamps", "expected_ms", "repaired"),
    [
        ([0, 40, 80], [0, 40, 80], 0),
        ([7000, 7040, 7080], [0, 40, 80], 0),
        ([None, None, None], [0, 40, 80], 3),
        ([0, None, 80], [0, 40, 80], 1),
        ([None, 100, 140], [0, 40, 80], 1),
        ([0, 40, 40, 80], [0, 40, 60, 80], 1),
        ([0, 40, 30, 80], [0, 40, 60, 80], 1),
        ([5000, 5040, 0, 40], [0, 40, 80, 120], 1),
        ([0, 40, 900], [0, 40, 900], 0),
        ([-80, -40, 0], [0, 40, 80], 0),
    ],
)
def test_times_start_at_zero_and_always_grow(stamps, expected_ms, repaired):
    from fractions import Fraction

    timeline = Timeline(step_ns=40 * MS)
    assert [timeline.stamp(pts, Fraction(1, 1000)) for pts in stamps] == [at * MS for at in expected_ms]
    assert timeline.repaired == repaired


def test_stamps_are_exact_over_a_day():
    from fractions import Fraction

    timeline = Timeline(step_ns=33_366_667)
    timeline.stamp(0, Fraction(1001, 30000))
    assert timeline.stamp(30 * 86_400, Fraction(1001, 30000)) == 86_486_400_000_000_000 // 1000


def test_the_source_says_what_it_is(make_clip):
    with FileSource(make_clip(), clock=ReplayClock()) as source:
        assert (source.name, source.size_px, source.fps) == ("clip.mp4", (320, 240), 25.0)
        assert (source.frames_total, source.duration_ns, source.drops) == (30, 1200 * MS, {})


@pytest.mark.parametrize(
    ("size", "max_width", "expected"),
    [
        ((320, 240), None, (320, 240)),
        ((320, 240), 640, (320, 240)),
        ((320, 240), 160, (160, 120)),
        ((320, 240), 161, (160, 120)),
        ((320, 180), 128, (128, 72)),
        ((450, 254), 224, (224, 126)),
        ((322, 242), 161, (160, 120)),
    ],
)
def test_wide_pictures_are_scaled_while_decoding(make_clip, size, max_width, expected):
    frames = read(make_clip(size=size), max_width_px=max_width)
    assert {(frame.image.shape[1], frame.image.shape[0]) for frame in frames} == {expected}
    assert [number_in(frame.image) for frame in frames] == list(range(30))


def test_halving_gives_the_colours_of_the_full_picture(make_clip):
    path = make_clip(size=(640, 480))
    full, half = read(path)[7].image, read(path, max_width_px=320)[7].image
    reference = cv2.resize(full, (320, 240), interpolation=cv2.INTER_AREA)
    assert np.abs(reference.astype(int) - half.astype(int)).mean() < 1.0


def test_pictures_are_bgr_contiguous_and_read_only(tmp_path):
    path = tmp_path / "red.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 322, 180, "yuv420p"
        image = np.zeros((180, 322, 3), np.uint8)
        image[..., 2] = 200
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    red = read(path)[1].image
    assert red.flags.c_contiguous and not red.flags.writeable
    assert np.abs(red.mean(axis=(0, 1)) - (0, 0, 200)).max() < 4


def test_a_phone_clip_is_turned_upright(make_clip):
    path = make_clip("upright.mp4")
    try:
        turned = make_clip("turned.mp4", rotate=90)
    except AttributeError:
        pytest.skip("this PyAV cannot write a rotation")
    upright = read(path)[3].image
    frames = read(turned)
    assert frames[3].image.shape == (320, 240, 3)
    # The matrix asks for a counter-clockwise quarter turn to show it.
    assert np.abs(np.rot90(upright).astype(int) - frames[3].image.astype(int)).mean() < 3


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def png() -> bytes:
    return bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint8))[1])


def tone(path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    return path


BAD = {
    "missing": (lambda folder, clip: folder / "no" / "clip.mp4", "does not exist"),
    "folder": (lambda folder, clip: folder, "is a folder"),
    "empty": (lambda folder, clip: written(folder / "empty.mp4", b""), "is empty"),
    "text": (lambda folder, clip: written(folder / "text.mp4", b"hello\n" * 100), "is not a video"),
    "text file": (lambda folder, clip: written(folder / "text.txt", b"hello\n" * 100), "text file"),
    "noise": (lambda folder, clip: written(folder / "n.mp4", np.random.default_rng(0).bytes(5000)), "is not a video"),
    "zeros": (lambda folder, clip: written(folder / "z.mkv", bytes(5000)), "is not a video"),
    "picture": (lambda folder, clip: written(folder / "picture.mp4", png()), "is a picture"),
    "sound": (lambda folder, clip: tone(folder / "sound.mp4"), "holds no video, only audio"),
    "no index": (lambda folder, clip: written(folder / "cut.mp4", clip("a.mp4").read_bytes()[:3000]), "truncated MP4"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_is_refused_with_one_clear_message(tmp_path, make_clip, kind):
    build, said = BAD[kind]
    path = build(tmp_path, make_clip)
    with pytest.raises(VideoError, match=said) as caught:
        open_source(VideoSection(source=str(path)), clock=ReplayClock())
    assert str(path) in str(caught.value) and caught.value.exit_code == 66
    assert not isinstance(caught.value, CameraError)


def test_no_source_at_all_is_refused():
    with pytest.raises(VideoError, match=r"set video\.source"):
        open_source(VideoSection(), clock=ReplayClock())


def test_a_stream_without_frames_is_refused(make_clip, tmp_path):
    clip = make_clip(faststart=True).read_bytes()
    start = clip.index(b"mdat") + 4
    path = written(tmp_path / "hollow.mp4", clip[:start])
    with pytest.raises(VideoError, match="without a single frame"):
        FileSource(path, clock=ReplayClock())


def test_pictures_beyond_8192_px_are_refused(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 8208, 16, "yuvj420p"
        container.mux(stream.encode(av.VideoFrame(8208, 16, "yuvj420p")))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match="8208 x 16 px are larger"):
        FileSource(path, clock=ReplayClock())


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_file_cut_off_gives_its_frames_and_then_says_where_it_broke(make_clip, tmp_path, suffix):
    whole = make_clip(f"a.{suffix}", faststart=suffix == "mp4").read_bytes()
    path = written(tmp_path / f"cut.{suffix}", whole[: len(whole) * 3 // 5])
    frames: list[Frame] = []
    with (
        FileSource(path, clock=ReplayClock()) as source,
        pytest.raises(VideoError, match=r"after frame \d+ \(\d\.\d\d s\).*frames were delivered") as caught,
    ):
        frames.extend(picture for picture in source if isinstance(picture, Frame))
        pytest.fail("a cut clip ended as if it were whole")
    assert str(path) in str(caught.value)


def test_damage_in_the_middle_gives_what_decodes_and_then_says_so(make_clip, tmp_path):
    data = bytearray(make_clip("a.mp4", pts=range(0, 4000, 40), faststart=True).read_bytes())
    middle = len(data) // 2
    data[middle : middle + 300] = np.random.default_rng(1).bytes(300)
    frames: list[Frame] = []
    with FileSource(written(tmp_path / "hurt.mp4", bytes(data)), clock=ReplayClock()) as source:
        iterator = iter(source)
        with pytest.raises(VideoError, match="after frame"):
            while True:
                picture = next(iterator)
                frames += [picture] if picture is not None else []
    assert len(frames) > 80
    assert frames[-1].captured_ns == 3960 * MS, "what lies behind the damage is delivered too"
    assert [frame.captured_ns for frame in frames] == sorted({frame.captured_ns for frame in frames})


def test_a_source_closed_early_stops_its_thread_at_once(make_clip):
    before = threading.active_count()
    source = FileSource(make_clip(pts=range(0, 8000, 40)), clock=ReplayClock())
    next(iter(source))
    assert threading.active_count() == before + 1
    start = time.monotonic()
    source.close()
    source.close()
    assert time.monotonic() - start < 1.0
    assert threading.active_count() == before
    assert list(source) == []


def test_the_decoder_runs_only_a_few_frames_ahead(make_clip):
    with FileSource(make_clip(), clock=ReplayClock()) as source:
        time.sleep(0.3)
        assert source._ahead.qsize() == 3
        assert len(frames_of(source)) == 30


def test_a_bug_in_the_decoder_thread_reaches_the_consumer(make_clip, monkeypatch):
    def broken(self, frame):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("edge_sorter.video.picture.PictureMaker.bgr", broken)
    with FileSource(make_clip(), clock=ReplayClock()) as source, pytest.raises(ZeroDivisionError, match="a bug"):
        list(source)


def test_a_replay_moves_the_clock_with_its_frames(make_clip):
    clock = ReplayClock()
    with FileSource(make_clip(), clock=clock) as source:
        for picture in source:
            assert picture is None or clock.now_ns() == picture.captured_ns


def test_realtime_waits_as_a_camera_would_and_lets_the_consumer_work_meanwhile(make_clip, manual_clock):
    path = make_clip("clip.mkv", pts=[0, 40, 80, 300, 340])
    with FileSource(path, clock=manual_clock, realtime=True) as source:
        seen = []
        for picture in source:
            if picture is not None:
                assert manual_clock.now_ns() == picture.captured_ns
            seen.append(manual_clock.now_ns() // MS)
    # While the belt shows nothing new for 220 ms, the consumer hears of it every 50 ms.
    assert list(dict.fromkeys(seen)) == [0, 40, 80, 130, 180, 230, 280, 300, 340]


def test_realtime_keeps_every_frame_of_a_slow_consumer(make_clip, manual_clock):
    with FileSource(make_clip(), clock=manual_clock, realtime=True) as source:
        count = 0
        for picture in source:
            count += picture is not None
            manual_clock.at_ns += 200 * MS
    assert count == 30


def test_a_file_name_with_a_colon_is_no_protocol(make_clip):
    assert len(read(make_clip("cam:1.mp4"))) == 30


@pytest.mark.parametrize(
    ("clip", "frames", "step_ms"),
    [
        ("cartons_1080p50", 402, 20),
        ("flat_packs", 372, None),
        ("chocolates", 100, 40),
        ("jars", 319, 40),
        ("parcel_hub", 496, 40),
    ],
)
def test_real_footage_comes_whole(footage, clip, frames, step_ms):
    with FileSource(footage / "clips" / clip / "clip.mp4", clock=ReplayClock(), max_width_px=640) as source:
        times_ns = [picture.captured_ns for picture in source if isinstance(picture, Frame)]
        assert source.frames_total == len(times_ns) == frames
    assert times_ns[0] == 0
    if step_ms is not None:
        assert set(np.diff(times_ns)) == {step_ms * MS}
