"""Which measured box belongs to which predicted one: overlaps, gates, and an exact one-to-one assignment.

Contract: pure functions of arrays; the assignment is the one of greatest total weight, with ties broken the same way
on every machine.

scipy has an assignment function too, but takes 145 MB on disk for it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_sorter.types import Box

Floats = NDArray[np.float64]
Pairs = list[tuple[int, int]]
Weights = dict[tuple[int, int], float]
"""How much, above 0, speaks for pairs (row, column), in their order; any other pair is out of the question."""

REACH_WEIGHT = 0.1
"""Greatest weight of a pair that only its distance speaks for; any overlap of `min_iou` counts for more."""
ALIKE = 0.4
"""Boxes of which one is narrower or lower than this share of the other are different objects, unless one is cut."""
CARRIED_INSIDE = 0.8
"""A box of which this share lies in another may be the same object, of which more or less is seen now."""


def overlaps(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return (m, n) intersection over union, and share of each `b` inside each `a`, of boxes (m, 4) and (n, 4)."""
    shared, area_a, area_b = _shared(a, b)
    return shared / np.maximum(area_a + area_b - shared, 1e-9), shared / np.maximum(area_b, 1e-9)


def _shared(a: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the common area (m, n) of boxes, and the areas (m, 1) and (1, n) of both."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    np.maximum(sides, 0.0, out=sides)
    sides_a, sides_b = np.maximum(a[:, 2:] - a[:, :2], 0.0), np.maximum(b[:, 2:] - b[:, :2], 0.0)
    return sides[..., 0] * sides[..., 1], sides_a[:, :1] * sides_a[:, 1:], (sides_b[:, 0] * sides_b[:, 1])[None, :]


def misfit(predicted: Floats, measured: Floats, *, partial: bool) -> Floats:
    """Return how far (m, n, 2) measured boxes (n, 4) lie from predicted ones (m, 4) along x and y, in pixels.

    The best agreement of low edge, high edge and centre counts on each axis: a box that is half hidden still has one
    edge where it belongs. With `partial` any share may be hidden, as when a parcel enters the picture as a sliver;
    without, boxes that are not alike in size are infinitely far apart.
    """
    edges = measured[None, :, :] - predicted[:, None, :]
    low, high, centre = edges[..., :2], edges[..., 2:], (edges[..., :2] + edges[..., 2:]) / 2.0
    off: Floats = np.minimum(np.abs(centre), np.minimum(np.abs(low), np.abs(high)))
    if partial:
        return off
    a, b = _sides(predicted)[:, None, :], _sides(measured)[None, :, :]
    return np.where(np.minimum(a, b) > ALIKE * np.maximum(a, b), off, np.inf)


def carried(predicted: Box, measured: Box, *, slack_px: tuple[float, float]) -> bool:
    """Tell whether a measured box lies where a predicted one must be now, if the belt carried it.

    Three of four edges have to be there: the fourth moves when a parcel enters the picture or is cut in two. Or one box
    lies in the other, as when a parcel that lies askew enters.

    Args:
        predicted, measured: The boxes.
        slack_px: How far along x and y an edge may be off.
    """
    edges = zip(predicted, measured, slack_px * 2, strict=True)
    if sum(abs(found - expected) <= slack for expected, found, slack in edges) >= 3:
        return True
    width = min(predicted[2], measured[2]) - max(predicted[0], measured[0])
    height = min(predicted[3], measured[3]) - max(predicted[1], measured[1])
    smaller = min((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (predicted, measured))
    return max(width, 0.0) * max(height, 0.0) >= CARRIED_INSIDE * max(smaller, 1.0)


def ious(a: Floats, b: Floats) -> Floats:
    """Return (m, n) intersection over union of boxes (m, 4) and (n, 4)."""
    shared, area_a, area_b = _shared(a, b)
    return shared / np.maximum(area_a + area_b - shared, 1e-9)


def by_overlap(iou: Floats, *, min_iou: float) -> Weights:
    """Return how much speaks for each pair where nothing but their overlap (m, n) counts."""
    return weights_of(np.where(iou >= min_iou, iou, 0.0))


def by_reach(
    predicted: Floats, measured: Floats, *, iou: Floats, min_iou: float, reach_px: Floats, partial: bool = False
) -> Floats:
    """Return how much speaks for each pair (m, n) where boxes that lie near may match too; 0 where nothing does.

    Args:
        predicted: Boxes (m, 4), xyxy px.
        measured: Boxes (n, 4), xyxy px.
        iou: Their overlaps (m, n).
        min_iou: Overlap from which on the overlap itself is the weight.
        reach_px: How far (m, 2) off a box may be that overlaps less, less still if it is the smaller one.
        partial: See `misfit`.
    """
    smaller = np.sqrt(_sides(measured).prod(axis=1)[None, :] / _sides(predicted).prod(axis=1)[:, None])
    reach = reach_px[:, None, :] * np.minimum(smaller, 1.0)[..., None]
    near = REACH_WEIGHT * np.maximum(1.0 - ((misfit(predicted, measured, partial=partial) / reach) ** 2).sum(axis=2), 0)
    return np.where((iou >= min_iou) & (iou > near), iou, near)


def weights_of(weight: Floats) -> Weights:
    """Return the entries (m, n) above 0: of all tracks and boxes of a frame few pairs come into question."""
    rows, columns = np.nonzero(weight > 0.0)
    return dict(zip(zip(rows.tolist(), columns.tolist(), strict=True), weight[rows, columns].tolist(), strict=True))


def assign(weights: Weights) -> Pairs:
    """Return the one-to-one pairs (row, column) of greatest total weight, sorted.

    Rows and columns fall into groups that share no pair. Most groups are a single pair, in most frames all of them;
    the others are solved one by one with the Hungarian method.
    """
    linked = list(weights)
    if len({row for row, _ in linked}) == len({column for _, column in linked}) == len(linked):
        return linked
    pairs: Pairs = []
    for rows, columns in _groups(linked):
        if len(rows) == 1 and len(columns) == 1:
            pairs.append((rows[0], columns[0]))
            continue
        tall = len(rows) > len(columns)
        cost = [[-weights.get((row, column), 0.0) for column in columns] for row in rows]
        chosen = _hungarian([list(line) for line in zip(*cost, strict=True)] if tall else cost)
        found = [(rows[j], columns[i]) if tall else (rows[i], columns[j]) for i, j in enumerate(chosen)]
        pairs += [pair for pair in found if pair in weights]
    return sorted(pairs)


def _sides(boxes: Floats) -> Floats:
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 1.0)


def _groups(linked: Pairs) -> list[tuple[list[int], list[int]]]:
    """Return the connected groups of rows and columns, given the pairs that link a row to a column."""
    columns_of: dict[int, list[int]] = {}
    rows_of: dict[int, list[int]] = {}
    for row, column in linked:
        columns_of.setdefault(row, []).append(column)
        rows_of.setdefault(column, []).append(row)
    groups = []
    while columns_of:
        rows, columns = [min(columns_of)], []
        for row in rows:  # grows while it is walked
            for column in columns_of.pop(row):
                if column in rows_of:
                    columns.append(column)
                    rows += [other for other in rows_of.pop(column) if other != row and other not in rows]
        groups.append((sorted(rows), sorted(columns)))
    return groups


def _hungarian(cost: list[list[float]]) -> list[int]:
    """Return the column of each row so that the total cost is least; needs at least as many columns as rows.

    Shortest augmenting paths with dual prices (Kuhn 1955; Jonker and Volgenant 1987): each row starts at its cheapest
    column, and a row that finds it taken pushes others along the cheapest chain of moves.
    """
    width = len(cost[0])
    row_price = [min(row) for row in cost]
    column_price = [0.0] * width
    owner = [-1] * width
    waiting = []
    for i, row in enumerate(cost):
        cheapest = row.index(row_price[i])
        if owner[cheapest] < 0:
            owner[cheapest] = i
        else:
            waiting.append(i)
    for start in waiting:
        _augment(start, cost, row_price, column_price, owner)
    column_of = [-1] * len(cost)
    for j, i in enumerate(owner):
        if i >= 0:
            column_of[i] = j
    return column_of


def _augment(
    start: int, cost: list[list[float]], row_price: list[float], column_price: list[float], owner: list[int]
) -> None:
    """Give row `start` a column: find the cheapest chain to a free one, update the prices, move the chain's owners."""
    width = len(column_price)
    slack = [float("inf")] * width
    via = [-1] * width  # the column whose owner reached this column most cheaply, -1 for the start
    seen: list[int] = []
    rest = list(range(width))
    row, came_from, reached = start, -1, 0.0
    while True:
        nearest, nearest_slack = -1, float("inf")
        for j in rest:
            offer = reached + cost[row][j] - row_price[row] - column_price[j]
            if offer < slack[j]:
                slack[j], via[j] = offer, came_from
            if slack[j] < nearest_slack:
                nearest, nearest_slack = j, slack[j]
        reached = nearest_slack
        if owner[nearest] < 0:
            break
        seen.append(nearest)
        rest.remove(nearest)
        row, came_from = owner[nearest], nearest
    row_price[start] += reached
    for j in seen:
        row_price[owner[j]] += reached - slack[j]
        column_price[j] -= reached - slack[j]
    while nearest >= 0:
        before = via[nearest]
        owner[nearest] = start if before < 0 else owner[before]
        nearest = before
