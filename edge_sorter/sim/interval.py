"""What a count says about a rate: the exact interval of Clopper and Pearson (1934), right for 0 of 100,000 too.

Contract: pure functions of numbers, checked against binomial sums. scipy has them too, but takes 145 MB on disk for it.
"""

from __future__ import annotations

import math
from typing import Any


def clopper_pearson(count: int, of: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of a share after seeing `count` in `of` independent trials."""
    if of == 0:
        return 0.0, 1.0
    tail = (1.0 - level) / 2.0
    low = 0.0 if count == 0 else _solve(lambda p: 1.0 - _at_most(count - 1, of, p), tail, growing=True)
    high = 1.0 if count == of else _solve(lambda p: _at_most(count, of, p), tail, growing=False)
    return low, high


def _solve(tail: Any, wanted: float, *, growing: bool) -> float:
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if (tail(middle) < wanted) is growing:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _at_most(count: int, of: int, p: float) -> float:
    """Return the chance of at most `count` in `of` trials of chance p."""
    if p <= 0.0:
        return 1.0
    if p >= 1.0:
        return 1.0 if count >= of else 0.0
    return 1.0 - _beta_share(p, count + 1.0, float(of - count))


def _beta_share(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b), by its continued fraction (Lentz 1976)."""
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_share(1.0 - x, b, a)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d, value = 1.0, 0.0, 1.0
    for m in range(2000):
        half = m // 2
        if m == 0:
            step = 1.0
        elif m % 2 == 0:
            step = half * (b - half) * x / ((a + m - 1.0) * (a + m))
        else:
            step = -(a + half) * (a + b + half) * x / ((a + m - 1.0) * (a + m))
        d = 1.0 / (1.0 + step * d if abs(1.0 + step * d) > tiny else tiny)
        c = 1.0 + step / c if abs(1.0 + step / c) > tiny else tiny
        value *= c * d
        if m and abs(1.0 - c * d) < 1e-14:
            break
    return front * (value - 1.0)
