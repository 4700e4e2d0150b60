"""Between capture and detection: the newest picture wins, and a failure comes out too."""

from __future__ import annotations

import threading

import pytest

from edge_sorter.video.slot import NewestSlot


def test_the_slot_keeps_the_newest_and_counts_what_it_replaced():
    slot: NewestSlot[int] = NewestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert (slot.get(timeout_s=0), slot.replaced) == (3, 2)
    assert slot.get(timeout_s=0.01) is None


def test_the_slot_wakes_a_waiting_consumer():
    slot: NewestSlot[int] = NewestSlot()
    threading.Timer(0.05, slot.put, args=(7,)).start()
    assert slot.get(timeout_s=20) == 7


def test_a_failure_comes_out_of_the_slot_after_the_last_value_and_again():
    slot: NewestSlot[int] = NewestSlot()
    slot.put(1)
    slot.fail(ZeroDivisionError("a bug"))
    assert slot.get(timeout_s=0) == 1
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            slot.get(timeout_s=0)
