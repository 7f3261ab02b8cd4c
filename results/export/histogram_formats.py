"""HdrHistogram's percentile distribution (hgrm) and interval log (hlog)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from heyfleet.ext import Histogram
from heyfleet.results.archive.histogram_log import write_line
from heyfleet.results.archive.layout import LOG_HEADER_LINES, Tag
from heyfleet.results.distribution import PERCENTILES, minimum_sample
from heyfleet.results.export.run_view import RunView
from heyfleet.text import printable

_MS = 1e6
_TICKS_PER_HALF = 5  # of the remaining distance to 100 %, as in HdrHistogram's own tools


def hgrm(view: RunView) -> Iterator[str]:
    """Return the percentile distribution of the latency in ms, as HdrHistogram's plotter reads it."""
    histogram = view.metrics.histogram("latency") or Histogram()
    yield "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
    for percentile in _ticks(histogram.count):
        value_ns = histogram.value_at_percentile(percentile)
        count = histogram.count_at_or_below(value_ns)
        share = percentile / 100
        tail = f"{1 / (1 - share):14.2f}" if share < 1 else ""
        yield f"{value_ns / _MS:12.6f} {share:2.12f} {count:10d} {tail}".rstrip() + "\n"
    yield f"#[Mean    = {histogram.mean_ns / _MS:12.6f}, StdDeviation   = {histogram.stddev_ns / _MS:12.6f}]\n"
    yield f"#[Max     = {histogram.max_ns / _MS:12.6f}, Total count    = {histogram.count:12d}]\n"
    yield "#[Buckets =           32, SubBuckets     =         2048]\n"


def _ticks(count: int) -> Iterator[float]:
    """Return percentiles ever closer to 100, as far as the sample supports them, and those of reports."""
    if not count:
        return
    ticks = {percent for percent in PERCENTILES if count >= minimum_sample(percent)}
    percentile, half = 0.0, 1.0
    while 100 - percentile > 100 / (2 * count):
        ticks.add(round(percentile, 10))
        while 100 - percentile <= 50 / half:
            half *= 2
        percentile += 100 / (half * 2 * _TICKS_PER_HALF)
    yield from sorted(ticks)
    yield 100.0


def _shown(line: str) -> str:
    return printable(line.removesuffix("\n")) + "\n"


def hlog(view: RunView) -> Iterator[str]:
    """Return the archive's own interval log, or the lines of the selection."""
    if not view.selection:
        yield from map(_shown, view.run.log_lines())
        return
    yield from map(_shown, islice(view.run.log_lines(), LOG_HEADER_LINES))
    for interval in view.intervals():
        merged = interval.merged
        for metric, histogram in sorted(merged.histograms.items()):
            yield write_line(Tag(metric), merged.begin_ns, merged.end_ns, histogram)
