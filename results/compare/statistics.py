"""Intervals for percentiles, rates and shares, and for how they differ between two measurements.

Each way makes draws of what the true value may be; an interval is where 95 % of them lie, and that of a difference comes from
the draws of both sides.

- Between runs, where there are three or more: Student's t of the runs' logarithms. It knows what changes from run to run.
- Over blocks, where a run has thirty or more stretches of time: the bootstrap of whole stretches (Kunsch, 1989; Davison and
  Hinkley, 1997, 8.2.3), so that latencies which depend on their neighbours don't count as so many independent ones.
- By ranks otherwise: how many of a sample lie below the true percentile is binomial (David and Nagaraja, Order Statistics,
  2003, 7.1), whatever the latencies are like, as long as they are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heyfleet.results.compare.sample import Floats, Sample

DRAWS = 2000
RUNS_AT_LEAST = 3
BLOCKS_AT_LEAST = 30
LEVEL = 0.95
_CHUNK = 100
_Z = 1.959964  # 97.5 % of the normal distribution lie below it

BETWEEN_RUNS, OVER_BLOCKS, BY_RANKS = "between runs", "over blocks of time", "by ranks"


Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value, between what its marks allow, and draws of what the true one may be: lower and upper ends."""

    low: float
    high: float
    draws_low: Floats
    draws_high: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """Where the true value lies with 95 % confidence."""
        return interval(self.draws_low, self.draws_high)


def way_of(sample: Sample) -> str:
    """Which of the three ways suits a sample."""
    if len(sample.runs) >= RUNS_AT_LEAST:
        return BETWEEN_RUNS
    if sample.blocks is not None and len(sample.blocks) >= BLOCKS_AT_LEAST:
        return OVER_BLOCKS
    return BY_RANKS


def percentiles(sample: Sample, parts: list[float], rng: np.random.Generator) -> list[Estimate]:
    """Of each part (0.99 is p99), in ns."""
    way = way_of(sample)
    found = [sample.quantile(part) for part in parts]
    if way == BETWEEN_RUNS:
        return [
            Estimate(low, high, *_between([run.quantile(part) for run in sample.runs], rng))
            for part, (low, high) in zip(parts, found, strict=True)
        ]
    places = _over_blocks(sample, parts, rng) if way == OVER_BLOCKS else _by_ranks(sample, parts, rng)
    return [
        Estimate(low, high, sample.low_ns[place], sample.high_ns[place])
        for place, (low, high) in zip(places, found, strict=True)
    ]


def rate(sample: Sample, rng: np.random.Generator) -> Estimate | None:
    """Requests a second; without runs or blocks nothing is known of how it varies, and the draws are the value."""
    if sample.rate is None:
        return None
    way = way_of(sample)
    if way == BETWEEN_RUNS:
        rates = [(run.rate or 0.0, run.rate or 0.0) for run in sample.runs]
        return Estimate(sample.rate, sample.rate, *_between(rates, rng))
    if way == OVER_BLOCKS and sample.block_ended is not None and sample.block_seconds is not None:
        weights = _weights(len(sample.block_ended), DRAWS, rng)
        draws = (weights @ sample.block_ended) / np.maximum(weights @ sample.block_seconds, 1e-9)
        # As wide as Student's t is beside the normal distribution, for that many blocks (Abramowitz and Stegun, 26.7.5).
        draws = sample.rate + (draws - draws.mean()) * (
            1 + (_Z * _Z + 1) / (4 * (len(sample.block_ended) - 1))
        )
        return Estimate(sample.rate, sample.rate, draws, draws)
    draws = np.full(DRAWS, sample.rate)
    return Estimate(sample.rate, sample.rate, draws, draws)


def error_share(sample: Sample, rng: np.random.Generator) -> Estimate | None:
    """Of the requests that ended, 0 to 1 (Jeffreys' interval)."""
    if not sample.requests:
        return None
    share = sample.errors / sample.requests
    draws = rng.beta(sample.errors + 0.5, sample.requests - sample.errors + 0.5, DRAWS)
    none, all_ = sample.errors == 0, sample.errors == sample.requests
    return Estimate(share, share, np.zeros(DRAWS) if none else draws, np.ones(DRAWS) if all_ else draws)


def ratio(before: Estimate, after: Estimate) -> tuple[float, float, float, float]:
    """After / before - 1: least and most by the marks, then the interval."""
    least, most = _quotient(after.low, before.high), _quotient(after.high, before.low)
    low, high = interval(
        _quotient(after.draws_low, before.draws_high), _quotient(after.draws_high, before.draws_low)
    )
    return float(least) - 1, float(most) - 1, low - 1, high - 1


def _quotient(above: Floats | float, below: Floats | float) -> Floats:
    """Without bound where there is nothing below."""
    above, below = np.broadcast_arrays(np.asarray(above, float), np.asarray(below, float))
    quotient: Floats = np.divide(above, below, out=np.full(above.shape, np.inf), where=below > 0)
    return quotient


def difference(before: Estimate, after: Estimate) -> tuple[float, float, float, float]:
    """After - before: the same."""
    ends = interval(after.draws_low - before.draws_high, after.draws_high - before.draws_low)
    return after.low - before.high, after.high - before.low, *ends


def interval(draws_low: Floats, draws_high: Floats) -> tuple[float, float]:
    """Where 95 % of the draws lie."""
    tail = (1 - LEVEL) / 2
    # Not interpolated: some draws may be without bound.
    return (
        float(np.quantile(draws_low, tail, method="lower")),
        float(np.quantile(draws_high, 1 - tail, method="higher")),
    )


def _by_ranks(sample: Sample, parts: list[float], rng: np.random.Generator) -> list[Places]:
    """Places in the marks: ranks of the true percentile, each between two neighbours in the sample."""
    count, sums, places = sample.count, np.cumsum(sample.counts), []
    for part in parts:
        below = rng.binomial(count, part, DRAWS)  # how many of the sample lie below it
        ranks = np.clip(below + rng.integers(0, 2, DRAWS), 1, count)
        places.append(np.asarray(np.searchsorted(sums, ranks)))
    return places


def _over_blocks(sample: Sample, parts: list[float], rng: np.random.Generator) -> list[Places]:
    blocks = np.asarray(sample.blocks, np.float64)
    places = [np.empty(DRAWS, np.intp) for _ in parts]
    for begin in range(0, DRAWS, _CHUNK):
        sums = np.cumsum(_weights(len(blocks), _CHUNK, rng) @ blocks, axis=1)
        for part, place in zip(parts, places, strict=True):
            ranks = np.floor(part * sums[:, -1:]) + rng.integers(0, 2, (_CHUNK, 1))
            ranks = np.clip(ranks, 1, sums[:, -1:])
            place[begin : begin + _CHUNK] = np.minimum((sums < ranks).sum(axis=1), blocks.shape[1] - 1)
    return places


def _weights(blocks: int, draws: int, rng: np.random.Generator) -> Floats:
    """How often each block is drawn. One less than there are: so the variance is not too small for few of them."""
    return rng.multinomial(blocks - 1, np.full(blocks, 1 / blocks), draws).astype(np.float64)


def _between(values: list[tuple[float, float]], rng: np.random.Generator) -> tuple[Floats, Floats]:
    ends = []
    tails = rng.standard_t(len(values) - 1, DRAWS)
    for side in zip(*values, strict=True):
        logs = np.log(np.maximum(side, 1e-12))
        ends.append(np.exp(logs.mean() + tails * logs.std(ddof=1) / np.sqrt(len(logs))))
    return ends[0], ends[1]
