"""The encoder's watch on belts that stop, start and back up, under tall parcels and a noisy picture."""

from __future__ import annotations

import pytest
from belt_world import SIZE_PX, VIEW_MM, BeltWorld, steady, stop_and_reverse

from edge_sorter.belt import EncoderMotion, EncoderWatch
from edge_sorter.config import TrackSection
from edge_sorter.track import Tracker


def troubles(world: BeltWorld, *, foot: bool, off: float = 1.0, delay_s: float = 0.0) -> set[str | None]:
    """Run a world with an encoder of 50 Hz that is `off` by a factor and late by `delay_s`."""
    motion = EncoderMotion(mm_per_count=1.0)
    watch = EncoderWatch(motion, world.map, SIZE_PX, VIEW_MM / 2 if foot else None, 1.0)
    tracker = Tracker(TrackSection(), high_confidence=0.5, shift=world.map.shift)
    told, seen = 0.0, set()
    for moment in world:
        at_ns = moment.detections.captured_ns
        while told <= at_ns / 1e9 + 0.02:
            motion.feed(round(told * 1e9), round(off * world.travel_mm(max(told - delay_s, 0.0))))
            told += 0.02
        tracks = tracker.update(moment.detections, travel_mm=motion.travel_mm(at_ns))
        seen.add(watch.look(tracks, at_ns=at_ns))
    return seen - {None}


@pytest.mark.parametrize("foot", [True, False])
@pytest.mark.parametrize("tall", [0.0, 0.13])
@pytest.mark.parametrize("speed_mm_s", [300.0, 1000.0, 2500.0])
def test_a_true_encoder_is_never_doubted(speed_mm_s: float, tall: float, foot: bool) -> None:
    """Parcels of up to a tenth of the camera's height, edges that jitter by 3 mm, one look in twenty missed."""
    world = BeltWorld(
        fps=30, travel_mm=steady(speed_mm_s), duration_s=12, length_mm=350, tall=tall, jitter_mm=3.0, miss=0.05
    )
    assert troubles(world, foot=foot and not tall) == set()  # this world's tall boxes have no edge on the ground


@pytest.mark.parametrize("delay_s", [0.0, 0.03])
def test_nor_while_the_belt_stops_starts_and_backs_up(delay_s: float) -> None:
    world = BeltWorld(fps=25, travel_mm=stop_and_reverse(1500), duration_s=12, length_mm=350, jitter_mm=3.0)
    assert troubles(world, foot=True, delay_s=delay_s) == set()


@pytest.mark.parametrize(("off", "cause"), [(0.0, "ENCODER_LOST"), (-1.0, "ENCODER_REVERSED"), (1.1, "ENCODER_SLIP")])
def test_a_false_one_is(off: float, cause: str) -> None:
    world = BeltWorld(fps=25, travel_mm=steady(1000.0), duration_s=6, length_mm=350, jitter_mm=3.0)
    assert cause in troubles(world, foot=True, off=off)


def test_parcels_at_rest_say_nothing() -> None:
    world = BeltWorld(fps=25, travel_mm=steady(0.0), duration_s=6, length_mm=350, jitter_mm=6.0, miss=0.1)
    assert troubles(world, foot=True) == set()
