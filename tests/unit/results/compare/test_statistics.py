"""95 % intervals contain the true value in about 95 % of trials, with each method."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import pytest

from heyfleet.results.compare import statistics as st
from heyfleet.results.compare.archive_reader import combine_runs
from heyfleet.results.compare.sample import Floats, Sample, sample_of_timed_values, sample_of_values

TRIALS = 1000
# Blocks are drawn anew and again in each trial, which takes its time: TRIALS_OVER_BLOCKS=1000 for as many as of the others.
TRIALS_OVER_BLOCKS = int(os.environ.get("TRIALS_OVER_BLOCKS", "200"))
STEP = 50_000.0  # ns; values lie on marks, so that samples have few of them
PARTS = [0.5, 0.9, 0.99]
NORMAL = [0.0, 1.2815515655446004, 2.3263478740408408]
TRUTH = [float(np.exp(16 + 0.5 * z)) for z in NORMAL]


def latencies(rng: np.random.Generator, count: int, scale: float = 1.0) -> Floats:
    return np.asarray(np.ceil(scale * np.exp(16 + 0.5 * rng.standard_normal(count)) / STEP) * STEP)


def by_ranks(rng: np.random.Generator) -> Sample:
    return sample_of_values("a", "test", latencies(rng, 1000))


def over_blocks(rng: np.random.Generator) -> Sample:
    return sample_of_timed_values("a", "test", np.sort(rng.uniform(0, 40, 3000)), latencies(rng, 3000))


def between_runs(rng: np.random.Generator) -> Sample:
    # Each run has a shift of its own: what single latencies can't tell.
    shifts = np.exp(0.05 * rng.standard_normal(5))
    return combine_runs(
        "a", [sample_of_values(f"{n}", "test", latencies(rng, 3000, shift)) for n, shift in enumerate(shifts)]
    )


@pytest.mark.parametrize(
    ("make", "way", "trials"),
    [
        (by_ranks, st.BY_RANKS, TRIALS),
        (over_blocks, st.OVER_BLOCKS, TRIALS_OVER_BLOCKS),
        (between_runs, st.BETWEEN_RUNS, TRIALS),
    ],
)
def test_percentiles(
    make: Callable[[np.random.Generator], Sample], way: str, trials: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(st, "DRAWS", 400)
    rng = np.random.default_rng(1)
    held = np.zeros(len(PARTS))
    for _ in range(trials):
        sample = make(rng)
        assert st.method_of(sample) == way
        for place, estimate in enumerate(st.estimate_quantiles(sample, PARTS, rng)):
            low, high = estimate.interval
            held[place] += low - STEP <= TRUTH[place] <= high
    assert ((held / trials >= 0.93) & (held / trials <= 0.98)).all(), held / trials


def test_the_ratio_of_two_samples() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(TRIALS):
        before, after = (sample_of_values("a", "test", latencies(rng, 1000, scale)) for scale in (1.0, 0.7))
        pair = [st.estimate_quantiles(sample, [0.9], rng)[0] for sample in (before, after)]
        _, _, low, high = st.ratio(*pair)
        held += low - 0.001 <= -0.3 <= high + 0.001
    assert 0.93 <= held / TRIALS <= 0.97


def test_the_difference_of_two_shares() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(TRIALS):
        pair = []
        for share in (0.02, 0.05):
            sample = sample_of_values("a", "test", [1.0])
            sample.requests, sample.errors = 2000, int(rng.binomial(2000, share))
            estimate = st.estimate_error_share(sample, rng)
            assert estimate is not None
            pair.append(estimate)
        _, _, low, high = st.difference(*pair)
        held += low <= 0.03 <= high
    assert 0.93 <= held / TRIALS <= 0.97


def test_the_rate_over_blocks() -> None:
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(TRIALS_OVER_BLOCKS):
        counts = rng.poisson(40, 50)
        at_s = np.asarray(np.repeat(np.arange(50), counts) + 0.5, np.float64)
        sample = sample_of_timed_values("a", "test", at_s, np.full(len(at_s), STEP))
        sample.seconds = 50.0
        estimate = st.estimate_rate(sample, rng)
        assert estimate is not None
        low, high = estimate.interval
        held += low <= 40 <= high
    assert 0.93 <= held / TRIALS_OVER_BLOCKS <= 0.97


def test_shares_of_zero_and_one() -> None:
    rng = np.random.default_rng(6)
    for errors, low, high in ((0, 0.0, None), (100, None, 1.0)):
        sample = sample_of_values("a", "test", [1.0])
        sample.requests, sample.errors = 100, errors
        estimate = st.estimate_error_share(sample, rng)
        assert estimate is not None
        assert low is None or estimate.interval[0] == low
        assert high is None or estimate.interval[1] == high


def test_wide_marks_widen_intervals() -> None:
    rng = np.random.default_rng(5)
    wide = Sample("a", "test", np.array([0.0, 10.0]), np.array([10.0, 90.0]), np.array([100, 100]))
    estimate = st.estimate_quantiles(wide, [0.9], rng)[0]
    assert (estimate.low, estimate.high) == (10.0, 90.0)
    assert estimate.interval == (10.0, 90.0)
    least, most, low, high = st.ratio(st.estimate_quantiles(wide, [0.1], rng)[0], estimate)
    assert (least, most) == (0.0, float("inf"))
    assert (low, high) == (0.0, float("inf"))


def test_many_values_that_all_differ_share_narrow_buckets() -> None:
    values_ns = np.random.default_rng(7).lognormal(16, 1, 50_000)
    values_ns[:3] = 0.0, 0.5, 1e15
    sample = sample_of_timed_values("a", "test", np.linspace(0, 300, len(values_ns)), values_ns)
    assert sample.blocks is not None
    assert sample.blocks.nbytes < 200 * 20_000 * 8
    assert sample.count == sample.blocks.sum() == len(values_ns)
    assert np.all(np.diff(sample.low_ns) > 0)
    assert np.all(sample.high_ns[:-1] < sample.low_ns[1:])
    for quantile in (0.5, 0.9, 0.999):
        value_ns = np.sort(values_ns)[round(quantile * len(values_ns)) - 1]
        low_ns, high_ns = sample.quantile(quantile)
        assert low_ns <= value_ns <= high_ns <= 1.001 * low_ns
