"""HOTA: how well tracks detect, and how well they keep identities, in one figure (Luiten et al. 2021).

Contract: `hota` is a pure function of identities and overlaps, frame by frame; its result equals that of TrackEval, the
authors' own program, to rounding (a test holds them together where TrackEval is installed). TrackEval itself is no
dependency: it pulls in the desktop build of OpenCV, which overwrites the headless one the runtime uses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_sorter.lifecycle.evaluation.match import Doubles

ALPHAS = np.arange(0.05, 0.99, 0.05)
"""Overlaps from which a box counts as found; HOTA is the mean over them."""


@dataclass(frozen=True)
class Moment:
    """One frame: identities of true boxes (n,) and of tracks (m,), counted from 0, and their overlaps (n, m)."""

    true_ids: NDArray[np.int64]
    track_ids: NDArray[np.int64]
    overlap: Doubles


@dataclass(frozen=True)
class Hota:
    """Means over `ALPHAS`: the figure, its halves (detection, association), and how tight the boxes are."""

    hota: float
    det_a: float
    ass_a: float
    loc_a: float


def hota(moments: Sequence[Moment]) -> Hota:
    """Score a sequence; all zero where there is no true box or no track."""
    from scipy.optimize import linear_sum_assignment

    trues = 1 + max((int(m.true_ids.max()) for m in moments if len(m.true_ids)), default=-1)
    tracks = 1 + max((int(m.track_ids.max()) for m in moments if len(m.track_ids)), default=-1)
    if not trues or not tracks:
        return Hota(0.0, 0.0, 0.0, 0.0)
    true_seen, track_seen = np.zeros(trues), np.zeros(tracks)
    for moment in moments:
        true_seen[moment.true_ids] += 1
        track_seen[moment.track_ids] += 1
    alignment = _alignment(moments, true_seen, track_seen)
    together = np.zeros((len(ALPHAS), trues, tracks))
    overlap_sum = np.zeros(len(ALPHAS))
    for moment in moments:
        if not len(moment.true_ids) or not len(moment.track_ids):
            continue
        likely = alignment[np.ix_(moment.true_ids, moment.track_ids)] * moment.overlap
        rows, columns = linear_sum_assignment(-likely)
        overlap = moment.overlap[rows, columns]
        for level, alpha in enumerate(ALPHAS):
            good = overlap >= alpha - np.finfo(float).eps
            together[level, moment.true_ids[rows[good]], moment.track_ids[columns[good]]] += 1
            overlap_sum[level] += overlap[good].sum()
    return _final(together, overlap_sum, true_seen, track_seen)


def _alignment(moments: Sequence[Moment], true_seen: Doubles, track_seen: Doubles) -> Doubles:
    """How much each identity and each track belong together over the whole sequence."""
    shared = np.zeros((len(true_seen), len(track_seen)))
    for moment in moments:
        overlap = moment.overlap
        rest = overlap.sum(axis=0)[None, :] + overlap.sum(axis=1)[:, None] - overlap
        part = np.divide(overlap, rest, out=np.zeros_like(overlap), where=rest > np.finfo(float).eps)
        shared[np.ix_(moment.true_ids, moment.track_ids)] += part
    return np.asarray(shared / (true_seen[:, None] + track_seen[None, :] - shared))


def _final(together: Doubles, overlap_sum: Doubles, true_seen: Doubles, track_seen: Doubles) -> Hota:
    hits = together.sum(axis=(1, 2))
    detection = hits / (true_seen.sum() + track_seen.sum() - hits)
    jaccard = together / np.maximum(true_seen[:, None] + track_seen[None, :] - together, 1)
    association = (together * jaccard).sum(axis=(1, 2)) / np.maximum(hits, 1)
    tightness = np.maximum(overlap_sum, 1e-10) / np.maximum(hits, 1e-10)
    return Hota(
        hota=float(np.sqrt(detection * association).mean()),
        det_a=float(detection.mean()),
        ass_a=float(association.mean()),
        loc_a=float(tightness.mean()),
    )
