"""Small plots as SVG text: no plotting library, a few kilobytes each, in the colours of the page, light or dark.

Contract: `lines` draws curves over two axes, `bars` the reliability diagram; both return one `<svg>` element that takes
its colours from the page's CSS variables (`--c0` to `--c7`) and scales with the page.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from edge_sorter.lifecycle.evaluation.reliability import Bin

WIDTH, HEIGHT = 420, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 42
COLOURS = 8


@dataclass(frozen=True)
class Line:
    """One curve, with marks at some of its places; `steps` where y holds from its x to the next one."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    marks: Sequence[tuple[float, float]] = field(default=())
    steps: bool = False

    def corners(self) -> list[tuple[float, float]]:
        """Return the places the line goes through."""
        corners = list(zip(self.x, self.y, strict=True))
        if not self.steps:
            return corners
        places = corners[:1]
        for before, after in pairwise(corners):
            places += [(after[0], before[1]), after]
        return places


@dataclass(frozen=True)
class Axis:
    """One axis; `log` needs a positive `low`."""

    name: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False

    def share(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high one; beyond them is cut off."""
        if self.log:
            part = (math.log(max(value, self.low)) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(max(part, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return decades, or fifths."""
        if self.log:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            return [10.0**power for power in range(first, last + 1)]
        return [self.low + (self.high - self.low) * step / 5 for step in range(6)]


def lines(title: str, curves: Sequence[Line], *, x: Axis, y: Axis) -> str:
    """Draw curves; the first is the thickest."""
    body = [_frame(x, y)]
    for number, curve in enumerate(curves):
        points = " ".join(f"{_px(x, a):.1f},{_py(y, b):.1f}" for a, b in curve.corners())
        colour, width = f"var(--c{number % COLOURS})", 2.5 if number == 0 else 1.5
        body.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}">'
            f"<title>{escape(curve.name)}</title></polyline>"
        )
        body += [
            f'<circle cx="{_px(x, a):.1f}" cy="{_py(y, b):.1f}" r="4" fill="{colour}"><title>{escape(curve.name)}: '
            f"{escape(x.name)} {a:.3g}, {escape(y.name)} {b:.3g}</title></circle>"
            for a, b in curve.marks
        ]
    legend = "".join(
        f'<span class="key"><i style="background:var(--c{number % COLOURS})"></i>{escape(curve.name)}</span>'
        for number, curve in enumerate(curves)
    )
    return _figure(title, "".join(body), legend)


def bars(title: str, bins: Sequence[Bin]) -> str:
    """Draw the reliability diagram: how many of a bin are right, with its interval, beside the diagonal."""
    x, y = Axis("confidence"), Axis("right (precision)")
    body = [_frame(x, y)]
    body.append(f'<line x1="{_px(x, 0)}" y1="{_py(y, 0)}" x2="{_px(x, 1)}" y2="{_py(y, 1)}" class="diagonal"/>')
    for item in bins:
        left, right, top, base = _px(x, item.low), _px(x, item.high), _py(y, item.precision), _py(y, 0)
        middle = (left + right) / 2
        body.append(
            f'<rect x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" height="{base - top:.1f}" '
            f'fill="var(--c0)" opacity="0.55"><title>{item.boxes} boxes of {item.low:.1f} to {item.high:.1f}: '
            f"mean confidence {item.mean_confidence:.2f}, right {item.precision:.2f}</title></rect>"
            f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{_py(y, item.precision_95[0]):.1f}" '
            f'y2="{_py(y, item.precision_95[1]):.1f}" class="whisker"/>'
            f'<circle cx="{_px(x, item.mean_confidence):.1f}" cy="{top:.1f}" r="3" fill="var(--c1)"/>'
        )
    keys = (("--c0", "share that is right, 95 % interval"), ("--c1", "at its mean confidence"))
    legend = "".join(f'<span class="key"><i style="background:var({c})"></i>{text}</span>' for c, text in keys)
    return _figure(title, "".join(body), legend)


def _figure(title: str, body: str, legend: str) -> str:
    return (
        f'<figure class="plot"><figcaption>{escape(title)}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{body}</svg>'
        f'<div class="legend">{legend}</div></figure>'
    )


def _px(axis: Axis, value: float) -> float:
    return LEFT + axis.share(value) * (WIDTH - LEFT - RIGHT)


def _py(axis: Axis, value: float) -> float:
    return HEIGHT - BOTTOM - axis.share(value) * (HEIGHT - TOP - BOTTOM)


def _frame(x: Axis, y: Axis) -> str:
    parts = []
    for value in x.ticks():
        at = _px(x, value)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}" class="grid"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
    for value in y.ticks():
        at = _py(y, value)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x.name)}</text>'
    )
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{escape(y.name)}</text>'
    )
    return "".join(parts)
