"""Percentiles from buckets agree with exact ones."""

from __future__ import annotations

import numpy as np
import pytest

from edge_sorter.replay.histogram import Histogram


@pytest.mark.parametrize("percent", [1, 50, 95, 99, 99.9, 100])
def test_percentiles_are_right_to_two_percent(percent: float) -> None:
    values = np.random.default_rng(0).lognormal(mean=16, sigma=1.5, size=20_000).astype(int)
    histogram = Histogram()
    for value in values:
        histogram.record(int(value))
    exact_ms = np.percentile(values, percent, method="higher") / 1e6
    assert histogram.percentile_ms(percent) == pytest.approx(exact_ms, rel=0.021)
    assert histogram.max_ns == values.max()


def test_empty_and_out_of_range() -> None:
    histogram = Histogram()
    assert histogram.percentile_ms(50) is None
    assert histogram.summary_ms()["p99"] is None
    for value in (-5, 0, 10**15):
        histogram.record(value)
    assert histogram.count == 3
    assert histogram.percentile_ms(100) == pytest.approx(60e3, rel=0.05)
