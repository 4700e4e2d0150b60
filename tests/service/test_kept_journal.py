"""A journal on a disk that fills up or breaks: it gives way, it comes back, and no decision waits for it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from test_line_status import MS, decision, step

from edge_sorter.errors import JournalError
from edge_sorter.events import EncoderCount
from edge_sorter.journal import Journal, JournalWriter, journal_header
from edge_sorter.service.kept_journal import LOOK_NS, REST_NS, KeptJournal, room_on_disk
from edge_sorter.types import Blind

HEADER = journal_header(
    boot_id="B", source="s", size_px=(8, 8), classes=("carton",), high_confidence=0.5, model="m", plan="p#1"
)
S = 1_000 * MS


class Disk:
    room = True

    def __call__(self, folder: Path) -> bool:
        return self.room


@pytest.fixture
def disk() -> Disk:
    return Disk()


def kept(path: Path, disk, told: list[str]) -> KeptJournal:
    return KeptJournal(
        path,
        open_with=lambda: JournalWriter(path, header=HEADER),
        tell=lambda *, writes, why: told.append(why),
        has_room=disk,
    )


def frames(path: Path) -> list[int]:
    return [record.index for record in Journal(path)]


def test_it_writes_what_happens(tmp_path, disk):
    with kept(tmp_path / "j.jsonl", disk, []) as journal:
        journal.on_heard(EncoderCount(1, 2), (), ())
        for n in range(3):
            journal.on_step(step(n, n * MS, decision(n)), (), 0)
        journal.on_blind(Blind(1, "CAM_LOST"))
    assert frames(tmp_path / "j.jsonl") == [0, 1, 2]


def test_a_full_disk_stops_it_and_room_brings_it_back(tmp_path, disk, caplog):
    told: list[str] = []
    path = tmp_path / "j.jsonl"
    with kept(path, disk, told) as journal, caplog.at_level(logging.INFO):
        journal.on_step(step(0, 0), (), 0)
        disk.room = False
        journal.on_step(step(1, LOOK_NS - 1), (), 0)  # nobody looks at the disk for every frame
        journal.on_step(step(2, LOOK_NS), (), 0)
        journal.on_step(step(3, LOOK_NS + REST_NS - 1), (), 0)
        journal.on_heard(EncoderCount(1, 2), (), ())
        disk.room = True
        journal.on_step(step(4, LOOK_NS + REST_NS), (), 0)
        journal.on_step(step(5, LOOK_NS + REST_NS + 1), (), 0)
    assert told == ["journal stopped: the disk is nearly full", "journal goes on"]
    assert journal.skipped == 2
    assert frames(path) == [4, 5]
    assert frames(tmp_path / "j.jsonl.1") == [0, 1]


def test_a_disk_that_stays_full_is_told_once(tmp_path, disk):
    told: list[str] = []
    disk.room = False
    with kept(tmp_path / "j.jsonl", disk, told) as journal:
        for n in range(10):
            journal.on_step(step(n, n * REST_NS), (), 0)
    assert len(told) == 1


def test_an_earlier_run_is_kept(tmp_path, disk):
    path = tmp_path / "j.jsonl"
    for run in range(3):
        with kept(path, disk, []) as journal:
            journal.on_step(step(run, 0), (), 0)
    assert (frames(path), frames(tmp_path / "j.jsonl.1")) == ([2], [1])


def test_writing_that_fails_is_no_reason_to_stop_sorting(tmp_path, disk, caplog):
    """/dev/full answers every write as a full disk does."""
    path = tmp_path / "j.jsonl"
    path.symlink_to("/dev/full")
    told: list[str] = []
    with kept(path, disk, told) as journal:
        for n in range(200):
            journal.on_step(step(n, n * MS, decision(n)), (), 0)
    assert journal.skipped > 150
    assert len(told) == 1
    assert "No space left on device" in told[0]


def test_a_folder_that_cannot_be_written_fails_the_start(tmp_path, disk):
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot be written"):
        kept(tmp_path / "file/j.jsonl", disk, [])


def test_room_is_what_the_disk_says(tmp_path, monkeypatch):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    for free, room in ((51_000_000_000, True), (49_000_000_000, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(1_000_000_000_000, 0, free))
        assert room_on_disk(tmp_path) is room
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1_000_000_000, 0, 199_000_000))
    assert not room_on_disk(tmp_path)
