"""The latencies of one measurement, whichever tool made it: counts between marks, and how they came over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_MAX_COUNT = 1 << 62
_MAX_NS = 1e19  # 317 years
MAX_BLOCKS = 200  # longer runs have longer blocks
_MAX_SINGLE_VALUES = 20_000
_BUCKETS_PER_DOUBLING = 1024  # none is wider than 0.1 % of its values


@dataclass(slots=True)
class Sample:
    """`counts[i]` latencies lie between `low_ns[i]` and `high_ns[i]`; both ascend.

    `blocks`, of shape (blocks, marks), holds the same counts by stretches of the run, if they are known; `block_completed`
    and `block_seconds` are each block's completed requests and its length. Repeated runs are samples of their own in `runs`.
    """

    name: str
    source: str  # the tool or kind of file
    low_ns: Floats
    high_ns: Floats
    counts: Ints
    seconds: float | None = None  # of the whole measurement
    requests: int = 0  # completed
    errors: int = 0
    blocks: Ints | None = None
    block_completed: Ints | None = None
    block_seconds: Floats | None = None
    runs: list[Sample] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Number of latencies."""
        return int(self.counts.sum())

    @property
    def rate(self) -> float | None:
        """Completed requests a second."""
        return self.requests / self.seconds if self.seconds else None

    def quantile(self, quantile: float) -> tuple[float, float]:
        """Return the marks in ns between which the value of the nearest rank lies; 0.99 is p99."""
        index = int(np.searchsorted(np.cumsum(self.counts), _rank(quantile, self.count)))
        return float(self.low_ns[index]), float(self.high_ns[index])


def _rank(quantile: float, count: int) -> int:
    # Rounded first: 0.999 of 1000 is rank 999, not 1000 because of a rounding error.
    return max(int(np.ceil(round(quantile * count, 6))), 1)


@dataclass(frozen=True, slots=True)
class FileOptions:
    """What a person says about a file that does not say it: the unit of its values, and which tag of a log to read."""

    unit_ns: float | None = None  # of histogram logs and percentiles of other tools
    tag: str = ""


def sample_of_values(name: str, source: str, values_ns: Iterable[float]) -> Sample:
    """Return a sample of single latencies."""
    return _sample_of_buckets(name, source, *_buckets(np.fromiter(values_ns, float)))


def sample_of_timed_values(name: str, source: str, ended_s: Floats, values_ns: Floats) -> Sample:
    """Return a sample of single latencies, with blocks by the instants at which they ended."""
    low_ns, high_ns, indices = _buckets(values_ns)
    sample = _sample_of_buckets(name, source, low_ns, high_ns, indices)
    if not len(ended_s):
        return sample
    ended_s = ended_s - ended_s.min()
    seconds = int(ended_s.max()) + 1
    width = -(-seconds // MAX_BLOCKS)
    blocks = np.zeros((-(-seconds // width), len(low_ns)), np.int64)
    np.add.at(blocks, ((ended_s // width).astype(int), indices), 1)
    sample.seconds = float(ended_s.max()) or None
    sample.blocks = blocks
    sample.block_completed = blocks.sum(axis=1)
    sample.block_seconds = np.full(len(blocks), float(width))
    return sample


def _buckets(values_ns: Floats) -> tuple[Floats, Floats, Ints]:
    """Return the least and the largest value of each bucket, and the bucket of each value. Few values have one each.

    Every block has a count for each bucket, so a million values that all differ would take gigabytes.
    """
    marks, indices = np.unique(values_ns, return_inverse=True)
    if len(marks) <= _MAX_SINGLE_VALUES:
        return marks, marks, indices
    fraction, exponent = np.frexp(np.maximum(values_ns, 1.0))
    keys = 2 * _BUCKETS_PER_DOUBLING * exponent.astype(float) + fraction * 2 * _BUCKETS_PER_DOUBLING
    numbers, indices = np.unique(np.floor(keys), return_inverse=True)
    low_ns, high_ns = np.full(len(numbers), np.inf), np.zeros(len(numbers))
    np.minimum.at(low_ns, indices, values_ns)
    np.maximum.at(high_ns, indices, values_ns)
    return low_ns, high_ns, indices


def _sample_of_buckets(name: str, source: str, low_ns: Floats, high_ns: Floats, indices: Ints) -> Sample:
    counts = np.bincount(indices, minlength=len(low_ns)).astype(np.int64)
    return Sample(name, source, low_ns, high_ns, counts, requests=len(indices))


def check_sums(count: int, highest_ns: float) -> None:
    """Check that the number of latencies and the highest of them are within the limits of arithmetic. Raises ValueError."""
    if count >= _MAX_COUNT:
        raise ValueError(f"it has {count} latencies, which is too many to be true")
    if not highest_ns < _MAX_NS:
        raise ValueError(f"a latency of {highest_ns / 1e9:g} s is too long to be true")


def binned_sample(
    name: str, source: str, low_ns: list[float], high_ns: list[float], counts: list[int]
) -> Sample:
    """Return a sample of counts between marks, without blocks. ValueError if it can't be computed with."""
    check_sums(sum(counts), max(high_ns, default=0.0))
    return Sample(
        name,
        source,
        np.array(low_ns, float),
        np.array(high_ns, float),
        np.array(counts, np.int64),
        requests=sum(counts),
    )
