"""The `edge-sorter calibrate` command: its options; the work is in `calibrate.py`, loaded only when asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def calibrate(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="Configuration to set up")],
    points: Annotated[
        str | None, typer.Option("--points", help="Four points of the picture, px: 'x,y x,y x,y x,y', in order around")
    ] = None,
    belt: Annotated[
        str | None,
        typer.Option("--belt", help="Where they lie, mm: 'x,y x,y x,y x,y', or 'LENGTHxWIDTH' of a rectangle"),
    ] = None,
    line_mm: Annotated[float | None, typer.Option("--line", help="Decision line, mm along the belt")] = None,
    speed_mm_s: Annotated[float | None, typer.Option("--speed", help="Belt speed, mm/s")] = None,
    crop: Annotated[str | None, typer.Option("--crop", help="Region to look at: 'x1,y1,x2,y2', 0 to 1")] = None,
    journal: Annotated[
        Path | None, typer.Option("--journal", metavar="FILE", help="Measure the belt's speed from this journal")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="Draw the millimetre grid on a picture of the camera"),
    ] = None,
    save_it: Annotated[bool, typer.Option("--save", help="Write it; the old configuration is kept beside it")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
) -> None:
    """Set up a camera over its belt: four points, a decision line, a region, a speed.

    Without --save it only says what it would mean. Point 1 is upstream, point 2 downstream of it, then round; a
    rectangle has its origin at point 4. What is not given stays as the configuration says.
    """
    from edge_sorter.service.calibrate import Wish, run_calibrate

    wish = Wish(points, belt, line_mm, speed_mm_s, crop)
    run_calibrate(config, wish, journal=journal, picture=picture, save_it=save_it, as_json=as_json)
