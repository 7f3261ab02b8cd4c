"""What one measurement knows of latencies, whichever tool made it: counts between marks, and how they came over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
BLOCKS_AT_MOST = 200  # a longer run has longer blocks


@dataclass(slots=True)
class Sample:
    """`counts[i]` latencies lie within `low_ns[i]` to `high_ns[i]`; both ascend.

    `blocks`, shape (blocks, marks), are the same counts by stretches of the run, where those are known; `ended` and `seconds`
    say of each block how many requests ended in it, and how long it was. Of repeated runs each is a sample in `runs`.
    """

    name: str
    made_by: str
    low_ns: Floats
    high_ns: Floats
    counts: Ints
    seconds: float | None = None  # of the whole
    requests: int = 0  # that ended
    errors: int = 0
    blocks: Ints | None = None
    block_ended: Ints | None = None
    block_seconds: Floats | None = None
    runs: list[Sample] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many latencies."""
        return int(self.counts.sum())

    @property
    def rate(self) -> float | None:
        """Requests that ended, a second."""
        return self.requests / self.seconds if self.seconds else None

    def quantile(self, part: float) -> tuple[float, float]:
        """Within which marks the value of the nearest rank lies, in ns."""
        index = int(np.searchsorted(np.cumsum(self.counts), _rank(part, self.count)))
        return float(self.low_ns[index]), float(self.high_ns[index])


def _rank(part: float, count: int) -> int:
    # As it is written: 0.999 of 1000 is rank 999, not 1000 for a rounding error.
    return max(int(np.ceil(round(part * count, 6))), 1)


def of_values(name: str, made_by: str, values_ns: Iterable[float]) -> Sample:
    """Latencies that are known one by one."""
    marks, counts = np.unique(np.fromiter(values_ns, float), return_counts=True)
    return Sample(name, made_by, marks, marks, counts.astype(np.int64), requests=int(counts.sum()))


def of_timed_values(name: str, made_by: str, at_s: Floats, values_ns: Floats) -> Sample:
    """The same, with the second in which each ended."""
    marks, places = np.unique(values_ns, return_inverse=True)
    sample = of_values(name, made_by, values_ns)
    if not len(at_s):
        return sample
    at_s = at_s - at_s.min()
    seconds = int(at_s.max()) + 1
    width = -(-seconds // BLOCKS_AT_MOST)
    blocks = np.zeros((-(-seconds // width), len(marks)), np.int64)
    np.add.at(blocks, ((at_s // width).astype(int), places), 1)
    sample.seconds = float(at_s.max()) or None
    sample.blocks = blocks
    sample.block_ended = blocks.sum(axis=1)
    sample.block_seconds = np.full(len(blocks), float(width))
    return sample
