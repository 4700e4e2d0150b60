"""What stands over the boxes of an annotated video."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edge_sorter.journal import JournalStep
from edge_sorter.replay.annotate import Overlay
from edge_sorter.types import Detections

CARTON, TUBE, STRANGE = 0, 1, 7


@pytest.fixture
def overlay() -> Overlay:
    return Overlay(line_px=((80.0, 0.0), (80.0, 120.0)), classes=("carton", "tube"), lanes=("L01", "NC"))


def _draw(overlay: Overlay, *, state: str = "CONFIRMED", decisions: tuple[dict[str, Any], ...] = ()) -> np.ndarray:
    picture = np.zeros((120, 160, 3), np.uint8)
    tracks = [[5, state, 20.0, 40.0, 60.0, 80.0, CARTON]]
    overlay.draw(picture, JournalStep(1, None, Detections.empty(40_000_000), (), tracks, list(decisions)))
    return picture


def test_before_its_decision_a_parcel_is_what_it_looks_like(overlay: Overlay) -> None:
    assert overlay.name(5, CARTON) == "#5 carton"
    assert overlay.name(5, STRANGE) == "#5 7"


def test_after_it_a_parcel_is_what_was_decided_however_it_looks_at_the_edge_of_the_view(overlay: Overlay) -> None:
    white = _draw(overlay)
    tube = {"track": 5, "class": "tube", "lane": "NC", "reason": "NON_CONVEYABLE"}
    coloured = _draw(overlay, decisions=(tube,))
    assert overlay.name(5, CARTON) == "#5 tube > NC NON_CONVEYABLE"
    assert not np.array_equal(white, coloured)
    assert overlay.counts == {"NC": 1}


def test_what_a_rule_took_needs_no_reason(overlay: Overlay) -> None:
    _draw(overlay, decisions=({"track": 5, "class": "carton", "lane": "L01", "reason": "PLAN_MATCH"},))
    assert overlay.name(5, TUBE) == "#5 carton > L01"


def test_a_track_that_ended_is_forgotten(overlay: Overlay) -> None:
    _draw(overlay, decisions=({"track": 5, "class": "carton", "lane": "L01", "reason": "PLAN_MATCH"},))
    _draw(overlay, state="ENDED")
    assert overlay.decided == {}
