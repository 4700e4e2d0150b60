"""What `edge-sorter calibrate` does: the page's set-up, from the command line.

Contract: prints what the proposal means; writes only with `--save`, and then exactly what the page would write.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from edge_sorter.belt import BeltMap, load_calibration
from edge_sorter.clock import ReplayClock, SystemClock
from edge_sorter.config import Config, load_config
from edge_sorter.errors import ConfigError, VideoError
from edge_sorter.journal import Journal
from edge_sorter.service.commission import Place, Proposal, check_proposal, proposal_of, save, speed_of
from edge_sorter.types import Frame, Image
from edge_sorter.video import open_source

Numbers = tuple[float, ...]

GRID_MM = 100
STRONG_MM = 500
GREEN, YELLOW, PINK = (140, 235, 120), (62, 210, 255), (129, 61, 255)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for on the command line, as it was typed; None leaves what the configuration says."""

    points: str | None = None
    belt: str | None = None
    line_mm: float | None = None
    speed_mm_s: float | None = None
    crop: str | None = None


def run_calibrate(
    config: Path, wish: Wish, *, journal: Path | None, picture: Path | None, save_it: bool, as_json: bool
) -> None:
    """Do what `edge-sorter calibrate` was asked for.

    Raises:
        EdgeSorterError: The wish, the configuration, the camera or the journal is wrong; nothing was written.
    """
    settings = load_config(config)
    frame = _frame(settings)
    proposal = _proposal(settings, frame, wish)
    check_proposal(proposal, settings)
    result: dict[str, Any] = {"proposal": proposal.model_dump(mode="json")}
    if journal is not None:
        size_px = proposal.calibration.image_size_px
        speed = speed_of(_tracks(journal), proposal.belt_map(), size_px=size_px)
        result["speed"] = speed and {"mm_s": speed.mm_s, "spread_mm_s": speed.spread_mm_s, "tracks": speed.tracks}
    if picture is not None:
        _write_picture(picture, draw_grid(frame.image, proposal))
        result["picture"] = str(picture)
    if save_it:
        clock = SystemClock()
        saved = save(config, proposal, now=clock.wall(clock.now_ns()))
        result |= {"config": str(saved.config), "backup": saved.backup.name, "calibration": saved.calibration.name}
    if as_json:
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        _tell(Console(soft_wrap=True, highlight=False), proposal, result, save_it=save_it)


def draw_grid(image: Image, proposal: Proposal) -> Image:
    """Return the picture with a grid of 100 mm, the four points and the decision line on it."""
    drawn: Image = image.copy()
    belt_map = proposal.belt_map()
    mm = np.asarray(proposal.calibration.belt_points_mm)
    x1, y1 = (np.floor(mm.min(axis=0) / GRID_MM) * GRID_MM).astype(int).tolist()
    x2, y2 = (np.ceil(mm.max(axis=0) / GRID_MM) * GRID_MM).astype(int).tolist()
    for x in range(x1, x2 + 1, GRID_MM):
        _line(drawn, belt_map, ((x, y1), (x, y2)), GREEN, 2 if x % STRONG_MM == 0 else 1)
    for y in range(y1, y2 + 1, GRID_MM):
        _line(drawn, belt_map, ((x1, y), (x2, y)), GREEN, 2 if y % STRONG_MM == 0 else 1)
    _line(drawn, belt_map, ((proposal.line_mm, y1), (proposal.line_mm, y2)), YELLOW, 3)
    for number, (x_px, y_px) in enumerate(proposal.calibration.image_points_px, start=1):
        cv2.circle(drawn, (round(x_px), round(y_px)), 6, PINK, -1, cv2.LINE_AA)
        at = (round(x_px) + 9, round(y_px) - 9)
        cv2.putText(drawn, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, PINK, 2, cv2.LINE_AA)
    return drawn


def _line(
    image: Image, belt_map: BeltMap, ends_mm: tuple[tuple[float, float], ...], colour: tuple[int, ...], width: int
) -> None:
    (ax, ay), (bx, by) = belt_map.to_px(ends_mm).round().astype(int).tolist()
    cv2.line(image, (ax, ay), (bx, by), colour, width, cv2.LINE_AA)


def _frame(config: Config) -> Frame:
    clock = ReplayClock() if config.video.source and Path(config.video.source).is_file() else SystemClock()
    with open_source(config.video, clock=clock) as source:
        for item in source:
            if isinstance(item, Frame):
                return item
    raise VideoError(f"{config.video.source} gave no picture to set up")


def _proposal(config: Config, frame: Frame, wish: Wish) -> Proposal:
    height, width = frame.image.shape[:2]
    file = config.belt.calibration
    if file is None and (wish.points is None or wish.belt is None):
        raise ConfigError("this belt is not calibrated yet: give --points and --belt")
    now = proposal_of(config, size_px=(width, height), calibration=load_calibration(file) if file else None)
    if wish.points is not None:
        now["calibration"]["image_points_px"] = _points(wish.points, "--points")
    if wish.belt is not None:
        now["calibration"]["belt_points_mm"] = _belt(wish.belt)
    if wish.line_mm is not None:
        now["line_mm"] = wish.line_mm
    if wish.speed_mm_s is not None:
        now["speed_mm_s"] = wish.speed_mm_s
    if wish.crop is not None:
        now["crop"] = _numbers(wish.crop, 4, "--crop")
    try:
        return Proposal.model_validate(now)
    except ValidationError as error:
        said = tuple(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError("this cannot be a camera over a belt", problems=said) from None


def _belt(text: str) -> list[Numbers]:
    if "x" not in text.lower():
        return _points(text, "--belt")
    length, width = _numbers(text.lower().replace("x", ","), 2, "--belt")
    return [(0.0, width), (length, width), (length, 0.0), (0.0, 0.0)]


def _points(text: str, option: str) -> list[Numbers]:
    points = [_numbers(point, 2, option) for point in text.split()]
    if len(points) != 4:
        raise ConfigError(f"{option} needs four points such as '10,20 300,20 300,200 10,200', got {len(points)}")
    return points


def _numbers(text: str, count: int, option: str) -> Numbers:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise ConfigError(f"{option}: {text!r} is not {count} numbers with commas between them")
    return numbers


def _tracks(journal: Path) -> list[list[Place]]:
    tracks: dict[int, list[Place]] = {}
    for step in Journal(journal):
        for track_id, state, x1, y1, x2, y2, _ in step.tracks:
            if state == "CONFIRMED":
                tracks.setdefault(track_id, []).append((step.detections.captured_ns, (x1, y1, x2, y2)))
    return list(tracks.values())


def _write_picture(path: Path, image: Image) -> None:
    try:
        written = cv2.imwrite(str(path), image)
    except cv2.error:
        written = False
    if not written:
        raise ConfigError(f"--picture {path} cannot be written; name a .png or .jpg in a folder that exists")


def _tell(console: Console, proposal: Proposal, result: dict[str, Any], *, save_it: bool) -> None:
    belt_map = proposal.belt_map()
    width, height = proposal.calibration.image_size_px
    (ax, ay), (bx, by) = belt_map.to_mm([(width / 2 - 0.5, height / 2), (width / 2 + 0.5, height / 2)]).tolist()
    console.print(f"picture {width} x {height} px, {np.hypot(bx - ax, by - ay):.2f} mm a pixel in the middle")
    belt_speed = f"{proposal.speed_mm_s:g} mm/s" if proposal.speed_mm_s else "not given"
    console.print(f"decision line at {proposal.line_mm:g} mm, belt speed {belt_speed}")
    speed = result.get("speed")
    if speed:
        console.print(
            f"speed by the journal: [bold]{speed['mm_s']:g} mm/s[/] on {speed['tracks']} parcels, half of them within "
            f"{speed['spread_mm_s']:g}; tall parcels seem faster"
        )
    elif "speed" in result:
        console.print("speed by the journal: no parcel was seen whole for long enough")
    if "picture" in result:
        console.print(f"grid drawn on {escape(result['picture'])}")
    if save_it:
        console.print(
            f"[green]written[/] {escape(result['config'])} and {escape(result['calibration'])}; "
            f"the old configuration is {escape(result['backup'])}"
        )
    else:
        console.print("[dim]nothing written; add --save[/]")
