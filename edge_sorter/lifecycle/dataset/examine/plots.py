"""The numbers behind the report's plots, as bars that a page draws itself: no script, no plotting package.

Contract: pure; bars are in the units of the axis, heights relative to the tallest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edge_sorter.lifecycle.dataset.examine import Examined
from edge_sorter.lifecycle.dataset.examine.findings import Limits

BINS = 24


@dataclass(frozen=True)
class Bar:
    """One bar: what it stands for, how many, and its height from 0 to 1."""

    label: str
    count: int
    share: float


@dataclass(frozen=True)
class Plot:
    """One histogram.

    Attributes:
        limit: Where the limit lies along the axis, 0..1, or None.
        ends: First and last value of the axis, in words.
    """

    title: str
    bars: tuple[Bar, ...]
    ends: tuple[str, str]
    limit: float | None = None
    limit_text: str = ""


def class_bars(found: Examined) -> tuple[Bar, ...]:
    """Return boxes a class, in the order of the classes."""
    counts = Counter(box.class_id for picture in found.data.pictures for box in picture.boxes or ())
    largest = max(counts.values(), default=1)
    return tuple(
        Bar(name, counts[class_id], counts[class_id] / largest) for class_id, name in enumerate(found.data.classes)
    )


def histograms(found: Examined, limits: Limits) -> tuple[Plot, ...]:
    """Return box sizes, sharpness and brightness."""
    good = [item for item in found.measured.values() if not item.fault]
    sides = [
        min((box.at.x2 - box.at.x1) * picture.size_px[0], (box.at.y2 - box.at.y1) * picture.size_px[1])
        for picture in found.data.pictures
        for box in picture.boxes or ()
    ]
    return (
        _plot("shorter side of boxes, px", sides, limit=limits.tiny_px),
        _plot("width of the sharpest edges, px at 640 px (less is sharper)", [m.edge_px for m in good], limits.edge_px),
        _plot("brightness of the brightest twentieth, 0..255", [m.bright for m in good], limits.dark, top=255),
        _plot("pure white, % of the picture", [100 * m.burnt for m in good], 100 * limits.burnt, top=100),
    )


def _plot(title: str, values: Sequence[float], limit: float, *, top: float | None = None) -> Plot:
    end = top or max([limit * 1.5, *values])
    counts, edges = np.histogram(np.clip(values, 0, end), bins=BINS, range=(0, end))
    largest = max(1, int(counts.max()))
    bars = tuple(
        Bar(f"{low:.3g} to {high:.3g}: {count}", int(count), count / largest)
        for count, low, high in zip(counts, edges, edges[1:], strict=False)
    )
    return Plot(title, bars, ("0", f"{end:.4g}"), limit / end, f"limit {limit:.3g}")
