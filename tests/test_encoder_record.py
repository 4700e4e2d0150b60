"""The encoder of a clip: its record is read, told in time, and carries positions in the pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_sorter.belt import EncoderMotion, RecordedEncoder
from edge_sorter.errors import ConfigError

MS = 1_000_000


def record(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "clip.encoder.csv"
    path.write_text(text)
    return path


def rows(*values: tuple[int, int]) -> str:
    return "captured_ns,count\n" + "".join(f"{at},{count}\n" for at, count in values)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "line 1: must be the header captured_ns,count"),
        ("time,count\n0,1\n", "line 1: must be the header"),
        ("captured_ns,count\n", "needs at least two rows"),
        (rows((0, 1)), "needs at least two rows"),
        (rows((0, 1), (10, 2)) + "20,x\n", "line 4: '20,x' is not two whole numbers"),
        (rows((0, 1), (10, 2)) + "20,3,4\n", "line 4: '20,3,4' is not"),
        (rows((0, 1), (10, -2)), "line 3: count -2 does not fit 32 bits"),
        (rows((0, 1), (10, 2**32)), "line 3: count 4294967296 does not fit"),
        (rows((0, 1), (0, 2)), "line 3: time 0 is not after"),
        ("captured_ns,count\n0,1\n10,\xe9\n", "not plain text"),
    ],
)
def test_a_wrong_record_is_explained(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        RecordedEncoder(record(tmp_path, text))


def test_a_missing_record_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.csv cannot be read: No such file"):
        RecordedEncoder(tmp_path / "absent.csv")


def test_rows_are_told_once_up_to_the_first_at_or_after_the_present(tmp_path: Path) -> None:
    encoder = RecordedEncoder(record(tmp_path, rows(*((i * 10 * MS, i) for i in range(10)))))
    assert [event.count for event in encoder.take_events(0)] == [0]
    assert [event.count for event in encoder.take_events(25 * MS)] == [1, 2, 3]
    assert encoder.take_events(29 * MS) == []
    assert [event.at_ns for event in encoder.take_events(40 * MS)] == [40 * MS]
    assert len(encoder.take_events(10**12)) == 5
    assert encoder.take_events(10**13) == []


@pytest.mark.parametrize("pace_ms", [7, 33, 40, 100])
def test_travel_does_not_depend_on_the_pace_of_the_frames(tmp_path: Path, pace_ms: int) -> None:
    """10 ms rows over the wrap, 1 m/s then standing still: any pacing interpolates the same travel."""
    counts = [(4_294_960_000 + 20 * min(i, 500)) % 2**32 for i in range(1000)]
    path = record(tmp_path, rows(*((i * 10 * MS, count) for i, count in enumerate(counts))))
    encoder, motion = RecordedEncoder(path), EncoderMotion(mm_per_count=0.5)
    for now_ns in range(0, 9990 * MS, pace_ms * MS):
        for event in encoder.take_events(now_ns):
            motion.feed(event.at_ns, event.count)
        assert motion.travel_mm(now_ns) == pytest.approx(min(now_ns / 1e6, 5000.0))
        assert motion.ref(now_ns) == "ENC1"


def test_a_clip_that_plays_again_goes_on_counting(tmp_path: Path) -> None:
    path = record(tmp_path, rows(*((i * 10 * MS, 2**32 - 50 + i) for i in range(50))))
    encoder, motion = RecordedEncoder(path), EncoderMotion(mm_per_count=1.0)
    for turn in range(3):
        encoder.restart(turn * 500 * MS)
        for now_ns in range(turn * 500 * MS, (turn + 1) * 500 * MS, 40 * MS):
            for event in encoder.take_events(now_ns):
                motion.feed(event.at_ns, event.count)
            assert motion.travel_mm(now_ns) == pytest.approx(now_ns / 10 / MS)
    assert motion.resets == 0
