"""Typed face of the native engine."""

from typing import ClassVar, final

ERROR_NAMES: tuple[str, ...]

@final
class Histogram:
    """An HDR histogram of nanoseconds, the same buckets for all, so that merging loses nothing.

    Values up to HIGHEST_NS are told apart to DIGITS significant digits, or in steps of 64 ns where that is
    coarser. Negative values are recorded as 0; values above HIGHEST_NS are counted at HIGHEST_NS and in
    `clamped`. `count`, `sum_ns`, `min_ns` and `max_ns` are exact. Integers beyond 64 bits raise
    OverflowError. The layout and the encoding are those of HdrHistogram.
    """

    LOWEST_NS: ClassVar[int]
    HIGHEST_NS: ClassVar[int]
    DIGITS: ClassVar[int]
    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __init__(self) -> None: ...
    def record(self, value_ns: int, count: int = 1) -> None:
        """Record a value `count` times. ValueError if `count` is below 1, or the total beyond 2**63 - 1."""

    def add(self, other: Histogram) -> None:
        """Add all values of `other`. ValueError, with nothing changed, if the total is beyond 2**63 - 1."""

    def reset(self) -> None:
        """Forget all values."""

    def copy(self) -> Histogram:
        """Another histogram with the same values."""

    def encode(self) -> bytes:
        """The counts in HdrHistogram's V2 encoding, not compressed. The totals are not in it."""

    def add_encoded(
        self, payload: bytes, *, count: int, sum_ns: int, min_ns: int, max_ns: int, clamped: int
    ) -> None:
        """Add what `encode` returned elsewhere, with the totals of that histogram.

        ValueError, with nothing changed, if the payload is not a V2 payload of these settings, or if the
        totals are impossible for its counts: `count` must be the payload's, `min_ns` and `max_ns` in its
        first and last bucket in use, `clamped` not above the count of the last, `sum_ns` within the bounds
        of all.
        """

    @property
    def count(self) -> int:
        """How many values."""

    @property
    def sum_ns(self) -> int:
        """The exact sum of the values, before clamping. Stops at 2**64 - 1 (584 years)."""

    @property
    def min_ns(self) -> int:
        """The exact minimum, before clamping; 0 if empty."""

    @property
    def max_ns(self) -> int:
        """The exact maximum, before clamping; 0 if empty."""

    @property
    def clamped(self) -> int:
        """How many values were above HIGHEST_NS."""

    @property
    def mean_ns(self) -> float:
        """`sum_ns` / `count`; 0.0 if empty."""

    @property
    def stddev_ns(self) -> float:
        """The population's standard deviation, each value taken as the middle of its bucket; 0.0 if empty."""

    def value_at_percentile(self, percentile: float) -> int:
        """The value of rank ceil(percentile / 100 * count), at least 1, in ns: the nearest rank.

        It is the highest value that its bucket can hold, but not outside `min_ns` to `max_ns`; the value of
        the last rank is `max_ns`. The percentile is taken as it is written: 99.9 of 1000 values is rank 999.
        ValueError outside 0 to 100, or if the histogram is empty.
        """

    def count_at_or_below(self, value_ns: int) -> int:
        """How many values lie in the buckets up to the one of `value_ns`, that one included."""

    def buckets(self) -> list[tuple[int, int, int]]:
        """(lowest_ns, highest_ns, count) of each bucket in use, ascending; clamped values are in the last."""
