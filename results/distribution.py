"""One metric as a reader wants it: extremes, average, percentiles by nearest rank, hey's bars."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.ext import Histogram

# In hundredths of a percent, so that what a sample can support is decided in whole numbers.
PERCENTILES = (1000, 2500, 5000, 7500, 9000, 9500, 9900, 9990, 9999)
WHOLE = 10000
INTERVALS = 10


@dataclass(frozen=True, slots=True)
class Percentile:
    """A value by nearest rank; None where so few values can't support it."""

    percent: float
    value_ns: int | None
    needs: int  # values, for this row to mean something


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric. All but `percentiles` are exact; those are within 0.1 %."""

    count: int
    average_ns: float
    fastest_ns: int
    slowest_ns: int
    clamped: int
    percentiles: tuple[Percentile, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """How many values lie at or below a mark and above the mark before it."""

    mark_ns: float
    count: int


def distribution(histogram: Histogram | None) -> Distribution | None:
    """Everything about one metric; None if nothing was recorded."""
    if histogram is None or not histogram.count:
        return None
    return Distribution(
        count=histogram.count,
        average_ns=histogram.mean_ns,
        fastest_ns=histogram.min_ns,
        slowest_ns=histogram.max_ns,
        clamped=histogram.clamped,
        percentiles=tuple(_percentile(histogram, point) for point in PERCENTILES),
    )


def _percentile(histogram: Histogram, point: int) -> Percentile:
    needs = -(-WHOLE // min(point, WHOLE - point))
    if histogram.count < needs:
        return Percentile(point / 100, None, needs)
    return Percentile(point / 100, histogram.value_at_percentile(point / 100), needs)


def bars(histogram: Histogram) -> tuple[Bar, ...]:
    """hey's marks: the fastest, nine in equal steps, the slowest. The counts add up to all values."""
    if not histogram.count:
        return ()
    step_ns = (histogram.max_ns - histogram.min_ns) / INTERVALS
    marks_ns = [histogram.min_ns + index * step_ns for index in range(INTERVALS)]
    below = [histogram.count_at_or_below(int(mark_ns)) for mark_ns in marks_ns]
    edges = [0, *below, histogram.count]
    marks_ns.append(histogram.max_ns)
    return tuple(
        Bar(mark_ns, high - low) for mark_ns, low, high in zip(marks_ns, edges[:-1], edges[1:], strict=True)
    )
