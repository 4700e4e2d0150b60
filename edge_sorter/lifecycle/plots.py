"""The one place that knows matplotlib (extras `quantize` and `train`): without it reports have tables and JSON."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
DPI = 100


def figure(*, width_px: int, height_px: int) -> Any:
    """Return an empty matplotlib figure that needs no display, or None where matplotlib is not installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("no picture is drawn without matplotlib: pip install 'edge-sorter[quantize]'")
        return None
    drawing = Figure(figsize=(width_px / DPI, height_px / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(drawing)
    return drawing


def save(drawing: Any, path: Path) -> Path:
    """Write a figure as PNG, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".part-{path.name}")
    drawing.savefig(partial, format="png")
    partial.replace(path)
    return path
