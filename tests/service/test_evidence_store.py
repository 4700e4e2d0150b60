"""The evidence on the disk: what goes after a time, what a crash left, what is served."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from recorded_demo import NOW

from edge_sorter.service.evidence import Store
from edge_sorter.service.evidence.store import name_of


def store_with(folder: Path, *ages_h: float) -> Store:
    store = Store(folder)
    for age_h in ages_h:
        name = name_of(NOW - timedelta(hours=age_h), "mark", f"B-{age_h:g}-0".replace(".", "_"))
        (folder / f"{name}.mp4").write_bytes(bytes(1000))
        store.add(name, {"why": "mark"})
    return store


def test_old_evidence_goes_and_so_does_what_is_too_much(tmp_path):
    store = store_with(tmp_path, 1, 50, 71.9, 72.1, 100)
    assert store.sweep(NOW, retention=timedelta(hours=72), most_bytes=10**9) == 2
    assert len(list(tmp_path.glob("*.mp4"))) == len(list(tmp_path.glob("*.json"))) == 3
    assert store.sweep(NOW, retention=timedelta(hours=72), most_bytes=2500) == 1
    assert [round((NOW - entry.at) / timedelta(hours=1)) for entry in store.entries()] == [1, 50]


def test_what_a_crash_left_is_removed_and_what_is_whole_is_found_again(tmp_path):
    store_with(tmp_path, 1)
    old, young = (name_of(NOW - timedelta(minutes=m), "mark", "B-9-0") for m in (30, 1))
    for name in (f"{old}.mp4", f".{old}.part.mp4", f".{old}.json.123.part", f".{old}.jpg.9.part", f"{young}.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "notes.txt").write_text("somebody's own")
    again = Store(tmp_path)
    assert len(again.entries()) == 1
    again.sweep(NOW, retention=timedelta(hours=72), most_bytes=10**9)
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json")[-1] == "notes.txt"
    assert not [path for path in tmp_path.iterdir() if old in path.name]
    assert (tmp_path / f"{young}.mp4").exists()


@pytest.mark.parametrize(
    "name", ["../salt", "salt", "", "..", "x/../../etc/passwd", "20261121T120000000000Z-mark-B-1-0"]
)
def test_only_what_is_in_the_store_is_served(tmp_path, name):
    store = store_with(tmp_path, 1)
    (tmp_path / "salt").write_bytes(bytes(32))
    assert store.file(name, "") is None
    assert store.file(name, ".json") is None
