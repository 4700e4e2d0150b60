"""The outbox on a real disk: crashes at any moment, a full disk, a file at its limit, two programs at once."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from mosquitto import wait_until

from edge_sorter.clock import SystemClock
from edge_sorter.config import OutboxSection
from edge_sorter.errors import PlcError
from edge_sorter.plc.ahead import SLOTS, AheadLog
from edge_sorter.plc.encode import decision_message
from edge_sorter.plc.outbox import IN_MEMORY, MemoryOutbox, Outbox, open_outbox

MB = 1_000_000


def record(uid: str, outcome: str = "ACCEPTED", size: int = 0) -> bytes:
    return json.dumps({"parcel_uid": uid, "outcome": outcome, "fill": "x" * size}).encode()


def stored(path: Path) -> list[dict]:
    with sqlite3.connect(path) as base:
        rows = base.execute("SELECT payload FROM record ORDER BY id").fetchall()
    base.close()
    return [json.loads(payload) for (payload,) in rows]


def taken(outbox, count: int) -> list[tuple[int, dict]]:
    found = []

    def take() -> None:
        while (item := outbox.next()) is not None:
            found.append((item[0], json.loads(item[1])))

    wait_until(lambda: len(found) >= count, timeout_s=20, what=f"{count} records", meanwhile=take)
    return found


@pytest.fixture
def sent_payload(make_decision):
    clock = SystemClock()

    def make(number: int) -> tuple[str, bytes]:
        decision = make_decision(number)
        message = decision_message(
            decision, clock=clock, published_ns=clock.now_ns(), boot_id="B", model=None, replay=False
        )
        return decision.parcel_uid, message.to_json()

    return make


def test_records_are_forwarded_once_and_stay_as_history(tmp_path):
    path = tmp_path / "state" / "outbox.sqlite"
    outbox = Outbox(path, max_bytes=10 * MB)
    for number in range(300):
        outbox.end(f"B-{number}", record(f"B-{number}"))
    first = taken(outbox, 300)
    assert [data["parcel_uid"] for _, data in first] == [f"B-{number}" for number in range(300)]
    for number, _ in first[:200]:
        outbox.forwarded(number, gone=True)
    outbox.close()
    again = Outbox(path, max_bytes=10 * MB)
    rest = taken(again, 100)
    assert [data["parcel_uid"] for _, data in rest] == [f"B-{number}" for number in range(200, 300)]
    again.forwarded(rest[0][0], gone=False)
    assert taken(again, 1)[0][1] == rest[0][1]
    again.close()
    assert len(stored(path)) == 300


def test_what_was_begun_and_never_ended_is_unfinished(tmp_path, sent_payload):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, max_bytes=10 * MB)
    for number in range(1, 4):
        outbox.begin(*sent_payload(number))
    done = sent_payload(2)[0]
    outbox.end(done, record(done))
    outbox.close()
    Outbox(path, max_bytes=10 * MB).close()
    outcomes = {data["parcel_uid"][-1]: data["outcome"] for data in stored(path)}
    assert outcomes == {"2": "ACCEPTED", "1": "UNFINISHED", "3": "UNFINISHED"}


CHILD = """
import sys
from pathlib import Path
from edge_sorter.plc.outbox import Outbox
sys.path.insert(0, sys.argv[3])
outbox = Outbox(Path(sys.argv[1]), max_bytes=100_000_000)
payload = Path(sys.argv[2]).read_text()
round_ = sys.argv[4]
sys.stdout.write("ready\\n"); sys.stdout.flush()
for number in range(100_000):
    uid = f"{round_}-{number}"
    outbox.begin(uid, payload.replace("UID", uid).encode())
    sys.stdout.write(f"{uid}\\n"); sys.stdout.flush()   # from here on the world may know of it
    if number % 3:
        outbox.end(uid, ('{"parcel_uid":"%s","outcome":"ACCEPTED"}' % uid).encode())
    import time; time.sleep(0.0005)
"""


def test_killed_at_random_moments_no_parcel_is_unheard_of_or_told_twice(tmp_path, sent_payload):
    path, template = tmp_path / "outbox.sqlite", tmp_path / "payload.json"
    uid, payload = sent_payload(1)
    template.write_text(payload.decode().replace(uid, "UID"))
    known: set[str] = set()
    chance = random.Random(5)
    for number in range(12):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path), str(template), str(tmp_path), str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(chance.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        lines = child.stdout.read().splitlines(keepends=True)
        known |= {line.strip() for line in lines if line.endswith("\n")}
        child.stdout.close()
        child.wait(10)
    Outbox(path, max_bytes=100 * MB).close()
    found = Counter(data["parcel_uid"] for data in stored(path))
    assert len(known) > 500
    assert known <= set(found)
    assert set(found.values()) == {1}


def test_a_file_at_its_limit_loses_the_oldest_and_forwarded_ones_first(tmp_path):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, max_bytes=2 * MB)
    for number in range(900):
        outbox.end(f"B-{number}", record(f"B-{number}", size=1500))
    first = taken(outbox, 100)
    for number, _ in first[:100]:
        outbox.forwarded(number, gone=True)
    wait_until(lambda: not outbox._gone, timeout_s=20, what="marked")
    assert outbox.dropped == 0
    for number in range(900, 2600):
        outbox.end(f"B-{number}", record(f"B-{number}", size=1500))
        if number % 200 == 0:
            wait_until(lambda: not outbox._ahead.entries(), timeout_s=20, what="moved")
    wait_until(lambda: not outbox._ahead.entries(), timeout_s=20, what="moved")
    assert outbox.dropped > 0
    outbox.close()
    left = [data["parcel_uid"] for data in stored(path)]
    assert left == [f"B-{number}" for number in range(2600 - len(left), 2600)]  # the newest, without a hole
    assert len(left) + outbox.dropped + 100 == 2600
    assert path.stat().st_size < 4 * MB


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_row_23_a_full_disk_delays_nothing_and_what_fits_in_memory_is_stored_later(tiny_disk):
    outbox = Outbox(tiny_disk / "outbox.sqlite", max_bytes=100 * MB)
    outbox.end("B-0", record("B-0"))
    wait_until(lambda: not outbox._ahead.entries(), timeout_s=20, what="moved")
    filler = tiny_disk / "filler"
    with pytest.raises(OSError, match="No space"), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)
    longest_s = 0.0
    for number in range(1, 601):
        began = time.perf_counter()
        outbox.end(f"B-{number}", record(f"B-{number}", size=1000))
        longest_s = max(longest_s, time.perf_counter() - began)
    wait_until(lambda: outbox.trouble, timeout_s=20, what="trouble noticed")
    assert longest_s < 0.5  # memory, even on a machine that is busy
    assert outbox.dropped == 0
    filler.unlink()
    wait_until(lambda: not outbox.trouble and not outbox._ahead.entries(), timeout_s=30, what="stored after all")
    outbox.close()
    assert [data["parcel_uid"] for data in stored(tiny_disk / "outbox.sqlite")] == [f"B-{n}" for n in range(601)]


LIMITED = """
import resource, sys, time
from pathlib import Path
from edge_sorter.plc.outbox import Outbox
outbox = Outbox(Path(sys.argv[1]), max_bytes=100_000_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
for number in range(3000):
    outbox.end(f"B-{number}", ('{"parcel_uid":"B-%d","fill":"%s"}' % (number, "x" * 1000)).encode())
until = time.monotonic() + 30
while not outbox.trouble and time.monotonic() < until:
    time.sleep(0.05)
print(outbox.trouble or "no trouble", outbox.dropped > 0)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
while outbox.trouble and time.monotonic() < until:
    time.sleep(0.05)
print(repr(outbox.trouble))
outbox.close()
"""


def test_row_23_a_file_that_may_not_grow_costs_the_oldest_and_says_so(tmp_path):
    path = tmp_path / "outbox.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=120, check=True
    )
    trouble, after = done.stdout.splitlines()
    assert not trouble.startswith("no trouble")
    assert trouble.endswith("True")  # more than the slots hold: counted
    assert after == "''"
    left = [data["parcel_uid"] for data in stored(path)]
    assert left[-1] == "B-2999"
    assert len(left) == len(set(left)) >= SLOTS


def test_two_programs_cannot_use_one_outbox(tmp_path):
    path = tmp_path / "outbox.sqlite"
    outbox = Outbox(path, max_bytes=MB)
    with pytest.raises(PlcError, match=r"plc\.outbox\.path .*outbox\.sqlite cannot be used"):
        Outbox(path, max_bytes=MB)
    outbox.close()


def test_a_place_that_cannot_be_written_is_said_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlcError, match=r"plc\.outbox\.path"):
        Outbox(tmp_path / "file" / "outbox.sqlite", max_bytes=MB)


def test_a_broken_file_is_moved_aside_and_sorting_goes_on(tmp_path):
    path = tmp_path / "outbox.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    Outbox(path, max_bytes=MB).close()
    assert path.with_name("outbox.sqlite.broken").read_bytes().startswith(b"this is no database")


def test_a_torn_slot_is_not_read_back(tmp_path):
    log = AheadLog(tmp_path / "a")
    for number in range(5):
        log.put(1, b"entry %d" % number)
    third = log.entries()[2]
    log._map[third.number * 4096 + 20] ^= 0xFF
    assert [entry.data for entry in log.entries()] == [b"entry 0", b"entry 1", b"entry 3", b"entry 4"]
    log.close()
    log = AheadLog(tmp_path / "a")
    assert len(log.entries()) == 4
    log.close()


def test_slots_come_round_again_and_count_what_is_lost(tmp_path):
    log = AheadLog(tmp_path / "a")
    for number in range(SLOTS + 10):
        log.put(1, b"%d" % number)
    assert log.overwritten == 10
    assert [int(entry.data) for entry in log.entries()] == list(range(10, SLOTS + 10))
    log.remove(log.entries())
    assert log.entries() == []
    log.put(2, b"next")
    assert log.entries()[0].number == SLOTS + 11
    log.close()


def test_memory_is_bounded_too():
    outbox = MemoryOutbox()
    for number in range(IN_MEMORY + 5):
        outbox.end(f"B-{number}", b"%d" % number)
    assert outbox.dropped == 5
    number, payload = outbox.next() or (0, b"")
    assert payload == b"5"
    outbox.forwarded(number, gone=False)
    assert outbox.next() == (number, b"5")


def test_where_records_are_kept(tmp_path, monkeypatch, caplog):
    assert isinstance(open_outbox(OutboxSection(), replay=False), MemoryOutbox)
    assert "records wait in memory" in caplog.text
    assert isinstance(open_outbox(OutboxSection(path=tmp_path / "a"), replay=True), MemoryOutbox)
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path / 'state'}:{tmp_path / 'state/line01'}")
    outbox = open_outbox(OutboxSection(), replay=False)
    assert isinstance(outbox, Outbox)
    outbox.close()
    assert (tmp_path / "state/line01/outbox.sqlite").is_file(), "two lines on one machine share nothing"


def test_writing_ahead_costs_microseconds(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite", max_bytes=100 * MB)
    payload, times = record("B", size=600), []
    for number in range(2000):
        began = time.perf_counter()
        outbox.begin(f"B-{number}", payload)
        outbox.end(f"B-{number}", payload)
        times.append(time.perf_counter() - began)
        if number % 100 == 0:
            time.sleep(0.06)
    outbox.close()
    times.sort()
    assert times[len(times) // 2] < 0.001
