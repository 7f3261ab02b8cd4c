"""One metric in the numbers that reports show: extremes, average, percentiles by nearest rank, hey's histogram bars."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.ext import Histogram

PERCENTILES = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
BAR_INTERVALS = 10
_MILLIONTHS = 100_000_000  # of a percent, in 100 %


@dataclass(frozen=True, slots=True)
class Percentile:
    """A value by nearest rank, or None if the sample is smaller than `minimum_sample`."""

    percent: float
    value_ns: int | None
    minimum_sample: int


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric. Percentiles are within 0.1 % of the true value; all other numbers are exact."""

    count: int
    average_ns: float
    fastest_ns: int
    slowest_ns: int
    clamped: int
    percentiles: tuple[Percentile, ...]

    def percentile_ns(self, percent: float) -> int | None:
        """Return one of PERCENTILES, or None if the sample can't support it."""
        return next((row.value_ns for row in self.percentiles if row.percent == percent), None)


@dataclass(frozen=True, slots=True)
class Bar:
    """Number of values at or below a mark and above the mark before it."""

    mark_ns: float
    count: int


def minimum_sample(percent: float) -> int:
    """Return how many values a percentile needs so that at least one lies on each side of it: 100 for 99 %."""
    millionths = round(percent * 1e6)
    if not 0 < millionths < _MILLIONTHS:
        return 1  # the extremes
    return int(-(-_MILLIONTHS // min(millionths, _MILLIONTHS - millionths)))


def percentile_ns(histogram: Histogram | None, percent: float) -> int | None:
    """Return a percentile by nearest rank, or None if the sample can't support it."""
    if histogram is None or histogram.count < minimum_sample(percent):
        return None
    return histogram.value_at_percentile(percent)


def distribution(histogram: Histogram | None) -> Distribution | None:
    """Summarize a histogram; None if nothing was recorded."""
    if histogram is None or not histogram.count:
        return None
    return Distribution(
        count=histogram.count,
        average_ns=histogram.mean_ns,
        fastest_ns=histogram.min_ns,
        slowest_ns=histogram.max_ns,
        clamped=histogram.clamped,
        percentiles=tuple(
            Percentile(percent, percentile_ns(histogram, percent), minimum_sample(percent))
            for percent in PERCENTILES
        ),
    )


def bars(histogram: Histogram) -> tuple[Bar, ...]:
    """Return hey's bars: the fastest, nine marks in equal steps, the slowest. Their counts add up to all values."""
    if not histogram.count:
        return ()
    step_ns = (histogram.max_ns - histogram.min_ns) / BAR_INTERVALS
    marks_ns = [histogram.min_ns + index * step_ns for index in range(BAR_INTERVALS)]
    below = [histogram.count_at_or_below(int(mark_ns)) for mark_ns in marks_ns]
    edges = [0, *below, histogram.count]
    marks_ns.append(histogram.max_ns)
    return tuple(
        Bar(mark_ns, high - low) for mark_ns, low, high in zip(marks_ns, edges[:-1], edges[1:], strict=True)
    )
