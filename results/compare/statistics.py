"""Confidence intervals for percentiles, rates and shares, and for their differences between two measurements.

Each method draws possible true values; an interval is where 95 % of the draws lie. That of a difference comes from the draws
of both sides.

- Between runs, with three or more: Student's t of the runs' logarithms. It covers what changes from run to run.
- Over blocks, if a run has thirty or more stretches of time: the bootstrap of whole stretches (Kunsch, 1989; Davison and
  Hinkley, 1997, 8.2.3), so that latencies that depend on their neighbours don't count as so many independent ones.
- By ranks otherwise: the number of values below the true percentile is binomial (David and Nagaraja, Order Statistics, 2003,
  7.1), whatever the distribution of latencies, as long as they are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heyfleet.results.compare.sample import Floats, Sample

DRAWS = 2000
MIN_RUNS = 3
MIN_BLOCKS = 30
LEVEL = 0.95
_CHUNK = 100
_Z = 1.959964  # 97.5 % of the normal distribution lie below it

BETWEEN_RUNS, OVER_BLOCKS, BY_RANKS = "between runs", "over blocks of time", "by ranks"

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value between the marks `low` and `high`, and draws of its possible true values between their marks."""

    low: float
    high: float
    draws_low: Floats
    draws_high: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval of the true value."""
        return interval(self.draws_low, self.draws_high)


def method_of(sample: Sample) -> str:
    """Return which of the three methods suits a sample."""
    if len(sample.runs) >= MIN_RUNS:
        return BETWEEN_RUNS
    if sample.blocks is not None and len(sample.blocks) >= MIN_BLOCKS:
        return OVER_BLOCKS
    return BY_RANKS


def estimate_quantiles(sample: Sample, quantiles: list[float], rng: np.random.Generator) -> list[Estimate]:
    """Return an estimate in ns for each quantile; 0.99 is p99."""
    method = method_of(sample)
    marks = [sample.quantile(quantile) for quantile in quantiles]
    if method == BETWEEN_RUNS:
        return [
            Estimate(low, high, *_draw_between_runs([run.quantile(quantile) for run in sample.runs], rng))
            for quantile, (low, high) in zip(quantiles, marks, strict=True)
        ]
    draw = _draw_over_blocks if method == OVER_BLOCKS else _draw_by_ranks
    return [
        Estimate(low, high, sample.low_ns[indices], sample.high_ns[indices])
        for indices, (low, high) in zip(draw(sample, quantiles, rng), marks, strict=True)
    ]


def estimate_rate(sample: Sample, rng: np.random.Generator) -> Estimate | None:
    """Return completed requests a second. Without runs or blocks its variation is not known: all draws are the value."""
    if sample.rate is None:
        return None
    method = method_of(sample)
    if method == BETWEEN_RUNS:
        rates = [(run.rate or 0.0, run.rate or 0.0) for run in sample.runs]
        return Estimate(sample.rate, sample.rate, *_draw_between_runs(rates, rng))
    if method == OVER_BLOCKS and sample.block_completed is not None and sample.block_seconds is not None:
        weights = _block_weights(len(sample.block_completed), DRAWS, rng)
        draws = (weights @ sample.block_completed) / np.maximum(weights @ sample.block_seconds, 1e-9)
        # Widened as Student's t is wider than the normal distribution (Abramowitz and Stegun, 26.7.5).
        draws = sample.rate + (draws - draws.mean()) * (
            1 + (_Z * _Z + 1) / (4 * (len(sample.block_completed) - 1))
        )
        return Estimate(sample.rate, sample.rate, draws, draws)
    draws = np.full(DRAWS, sample.rate)
    return Estimate(sample.rate, sample.rate, draws, draws)


def estimate_error_share(sample: Sample, rng: np.random.Generator) -> Estimate | None:
    """Return the share of completed requests that failed, 0 to 1 (Jeffreys' interval)."""
    if not sample.requests:
        return None
    share = sample.errors / sample.requests
    draws = rng.beta(sample.errors + 0.5, sample.requests - sample.errors + 0.5, DRAWS)
    none, all_ = sample.errors == 0, sample.errors == sample.requests
    return Estimate(share, share, np.zeros(DRAWS) if none else draws, np.ones(DRAWS) if all_ else draws)


def ratio(before: Estimate, after: Estimate) -> tuple[float, float, float, float]:
    """Return after / before - 1: the least and the most that the marks allow, then the confidence interval."""
    least, most = _quotient(after.low, before.high), _quotient(after.high, before.low)
    low, high = interval(
        _quotient(after.draws_low, before.draws_high), _quotient(after.draws_high, before.draws_low)
    )
    return float(least) - 1, float(most) - 1, low - 1, high - 1


def _quotient(dividend: Floats | float, divisor: Floats | float) -> Floats:
    """Return the quotient, which is infinite where the divisor is 0."""
    dividend, divisor = np.broadcast_arrays(np.asarray(dividend, float), np.asarray(divisor, float))
    quotient: Floats = np.divide(dividend, divisor, out=np.full(dividend.shape, np.inf), where=divisor > 0)
    return quotient


def difference(before: Estimate, after: Estimate) -> tuple[float, float, float, float]:
    """Return after - before: the least and the most that the marks allow, then the confidence interval."""
    ends = interval(after.draws_low - before.draws_high, after.draws_high - before.draws_low)
    return after.low - before.high, after.high - before.low, *ends


def interval(draws_low: Floats, draws_high: Floats) -> tuple[float, float]:
    """Return the interval that holds 95 % of the draws."""
    tail = (1 - LEVEL) / 2
    # Without interpolation: some draws may be infinite.
    return (
        float(np.quantile(draws_low, tail, method="lower")),
        float(np.quantile(draws_high, 1 - tail, method="higher")),
    )


def _draw_by_ranks(sample: Sample, quantiles: list[float], rng: np.random.Generator) -> list[Indices]:
    """Draw ranks of the true quantile, each between two neighbours in the sample, as indices of marks."""
    count, sums, draws = sample.count, np.cumsum(sample.counts), []
    for quantile in quantiles:
        below = rng.binomial(count, quantile, DRAWS)  # values of the sample below the true quantile
        ranks = np.clip(below + rng.integers(0, 2, DRAWS), 1, count)
        draws.append(np.asarray(np.searchsorted(sums, ranks)))
    return draws


def _draw_over_blocks(sample: Sample, quantiles: list[float], rng: np.random.Generator) -> list[Indices]:
    """Draw blocks with replacement, and find the quantile of each draw, as indices of marks."""
    blocks = np.asarray(sample.blocks, np.float64)
    draws = [np.empty(DRAWS, np.intp) for _ in quantiles]
    for begin in range(0, DRAWS, _CHUNK):
        sums = np.cumsum(_block_weights(len(blocks), _CHUNK, rng) @ blocks, axis=1)
        for quantile, indices in zip(quantiles, draws, strict=True):
            ranks = np.floor(quantile * sums[:, -1:]) + rng.integers(0, 2, (_CHUNK, 1))
            ranks = np.clip(ranks, 1, sums[:, -1:])
            indices[begin : begin + _CHUNK] = np.minimum((sums < ranks).sum(axis=1), blocks.shape[1] - 1)
    return draws


def _block_weights(blocks: int, draws: int, rng: np.random.Generator) -> Floats:
    """Return how often each block is drawn. One draw less than blocks, so that few blocks don't understate the variance."""
    return rng.multinomial(blocks - 1, np.full(blocks, 1 / blocks), draws).astype(np.float64)


def _draw_between_runs(values: list[tuple[float, float]], rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw from Student's t of the logarithms, for the lower and the upper marks of the runs."""
    ends = []
    tails = rng.standard_t(len(values) - 1, DRAWS)
    for side in zip(*values, strict=True):
        logs = np.log(np.maximum(side, 1e-12))
        ends.append(np.exp(logs.mean() + tails * logs.std(ddof=1) / np.sqrt(len(logs))))
    return ends[0], ends[1]
