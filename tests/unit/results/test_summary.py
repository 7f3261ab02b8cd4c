"""The numbers of a summary."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.ext import ERROR_NAMES, Histogram
from heyfleet.results.distribution import PERCENTILES, bars, distribution, minimum_sample, percentile_ns
from heyfleet.results.report.text import ERROR_HINTS


def histogram_of(values_ns: list[int]) -> Histogram:
    histogram = Histogram()
    for value_ns in values_ns:
        histogram.record(value_ns)
    return histogram


@given(st.lists(st.integers(0, 3_600_000_000_000), min_size=1, max_size=50))
def test_bars_add_up_to_all_values(values_ns: list[int]) -> None:
    rows = bars(histogram_of(values_ns))
    assert len(rows) == 11
    assert sum(row.count for row in rows) == len(values_ns)
    assert all(row.count >= 0 for row in rows)
    assert (rows[0].mark_ns, rows[-1].mark_ns) == (min(values_ns), max(values_ns))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 9, 10, 19, 20, 99, 100, 999, 1000, 9999, 10000])
def test_percentiles_by_nearest_rank(count: int) -> None:
    values_ns = [(index + 1) * 1_000_000 for index in range(count)]
    shown = distribution(histogram_of(values_ns))
    assert shown is not None
    for row, percent in zip(shown.percentiles, PERCENTILES, strict=True):
        point = round(percent * 100)
        supported = count * point >= 10000 and count * (10000 - point) >= 10000
        assert (row.value_ns is not None) == supported == (count >= row.minimum_sample)
        if row.value_ns is not None:
            exact_ns = values_ns[math.ceil(count * point / 10000) - 1]
            assert exact_ns <= row.value_ns <= exact_ns * 1.001


def test_empty_metrics() -> None:
    assert distribution(None) is None
    assert distribution(Histogram()) is None
    assert bars(Histogram()) == ()


def test_rate_counts_errors_as_hey_does(kit: Any) -> None:
    summary = kit.summary([kit.snapshot(latencies_ns=[1000] * 3, errors={"reset": 1}, abandoned=5)])
    assert summary.requests_per_second == 2.0  # 4 in 2 s


def test_a_run_without_duration(kit: Any) -> None:
    snapshot = kit.snapshot(latencies_ns=[1000])
    summary = kit.summary([snapshot], kit.done([snapshot], elapsed_ns=0, workers=[]))
    assert summary.requests_per_second == 0
    assert summary.generator.busiest_cpu_share is None


def test_errors_are_ordered_by_count_then_name(kit: Any) -> None:
    summary = kit.summary([kit.snapshot(errors={"other": 1, "reset": 7, "connect refused": 7})])
    assert list(summary.errors) == ["connect refused", "reset", "other"]


def test_unfollowed_redirects_are_counted(kit: Any) -> None:
    snapshots = [
        kit.snapshot(1, latencies_ns=[1000] * 2, status=302),
        kit.snapshot(2, latencies_ns=[1], status=304),
    ]
    assert kit.summary(snapshots).unfollowed_redirects == 2
    assert kit.summary(snapshots, disable_redirects=True).unfollowed_redirects == 0


def test_hints_are_for_kinds_that_exist() -> None:
    assert set(ERROR_HINTS) <= set(ERROR_NAMES)


@pytest.mark.parametrize(
    ("percent", "minimum"),
    [(10, 10), (25, 4), (50, 2), (75, 4), (99, 100), (99.9, 1000), (99.99, 10000), (0, 1), (100, 1)],
)
def test_minimum_samples(percent: float, minimum: int) -> None:
    assert minimum_sample(percent) == minimum
    enough, too_few = (histogram_of(list(range(1, size + 1))) for size in (minimum, minimum - 1))
    assert percentile_ns(enough, percent) is not None
    assert percentile_ns(too_few, percent) is None
    assert percentile_ns(None, percent) is None
