"""Truth of what is no parcel: where foreign objects lie and hands reach in, and when.

Contract: as in `truth`; a scenario without any gets nothing from here, so its truth is what it always was. Numbers go
on after the parcels', and masks beside the frames carry them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edge_sorter.sim import shutter
from edge_sorter.sim.foreign import PlacedForeign
from edge_sorter.sim.hands import PlacedHand
from edge_sorter.sim.scenario import KINDS, Scenario, expand_foreign, expand_hands
from edge_sorter.sim.truth_boxes import Box, box_of, visible

MOT_FILE = "truth_others_mot.txt"
FOREIGN_KIND, HAND_KIND = len(KINDS) + 1, len(KINDS) + 2
"""In the column of `truth_others_mot.txt` that says what it is; no kind of parcel has these numbers."""


def rows(scenario: Scenario) -> dict[str, Any]:
    """What truth.json says of them, or nothing."""
    if not scenario.foreign and not scenario.hands:
        return {}
    return {
        "foreign": [_foreign_row(scenario, thing) for thing in expand_foreign(scenario)],
        "hands": [_hand_row(hand) for hand in expand_hands(scenario)],
        "others_mot": MOT_FILE,
    }


def _foreign_row(scenario: Scenario, thing: PlacedForeign) -> dict[str, Any]:
    spec, video = thing.spec, scenario.video
    cross_s = scenario.belt.motion.time_at_s(scenario.belt.decision_line_mm - thing.start_mm)
    crosses = cross_s is not None and 0.0 <= cross_s <= (video.frames - 1) / video.fps
    length, width, height = spec.size_mm
    return {
        "id": thing.id,
        "kind": spec.kind,
        "length_mm": length,
        "width_mm": width,
        "height_mm": height,
        "skew_deg": spec.skew_deg,
        "lateral_mm": spec.lateral_mm,
        "start_mm": round(thing.start_mm, 3),
        "crosses": crosses,
        "cross_s": round(cross_s, 4) if crosses and cross_s is not None else None,
    }


def _hand_row(hand: PlacedHand) -> dict[str, Any]:
    spec, (begin_s, end_s) = hand.spec, hand.over_belt_s()
    return {
        "id": hand.id,
        "side": spec.side,
        "at_s": spec.at_s,
        "until_s": round(hand.until_s, 4),
        "over_belt_s": [round(begin_s, 4), round(end_s, 4)],
        "at_mm": spec.at_mm,
        "to_mm": spec.at_mm if spec.to_mm is None else spec.to_mm,
        "reach_mm": spec.reach_mm,
        "height_mm": spec.height_mm,
    }


def hand_box(scenario: Scenario, hand: PlacedHand, time_s: float) -> Box | None:
    """The box of what is to be seen of hand and arm in a frame, or None. Its share is 1: an arm has no whole."""
    video = scenario.video
    camera, vertices = scenario.pinhole(), hand.vertices_mm
    pixels = camera.project(vertices + hand.tip_mm(time_s))
    if video.shutter == "rolling":  # row by row, a hand is where it is when the row is read
        times = time_s + np.linspace(0.0, (video.readout_ms or 0.0) / 1000.0, shutter.KNOTS)
        tips = np.array([hand.tip_mm(float(at)) for at in times])
        for _ in range(shutter.ROLLING_ROUNDS):
            read_s = time_s + shutter.delay_s(video, pixels[:, 1])
            pixels = camera.project(vertices + np.column_stack([np.interp(read_s, times, axis) for axis in tips.T]))
    return visible(pixels, hand.edges, (video.width_px, video.height_px))


def mot_lines(scenario: Scenario) -> list[str]:
    """Boxes in MOT order, as `truth.mot_lines`: foreign objects of kind 8, hands with their arms of kind 9."""
    lines, fps = [], scenario.video.fps
    things, hands = expand_foreign(scenario), expand_hands(scenario)
    for frame in range(scenario.video.frames):
        at_s = frame / fps
        boxes: list[tuple[int, int, Box | None]] = [
            (thing.id, FOREIGN_KIND, box_of(scenario, thing.vertices_mm, at_s)) for thing in things
        ]
        moving = [hand for hand in hands if hand.spec.at_s <= at_s <= hand.until_s]
        boxes += [(hand.id, HAND_KIND, hand_box(scenario, hand, at_s)) for hand in moving]
        for number, kind, box in boxes:
            if box is not None:
                x, y, w, h, share = box
                lines.append(f"{frame + 1},{number},{x:.2f},{y:.2f},{w:.2f},{h:.2f},1,{kind},{share:.3f}")
    return lines
