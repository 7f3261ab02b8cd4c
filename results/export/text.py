"""Exports as text: percentiles (hgrm), tables (CSV), logs, JSON, and the reports of hey and vegeta."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

from heyfleet import __version__
from heyfleet.ext import Histogram
from heyfleet.results.archive import layout
from heyfleet.results.archive.histogram_log import write_line
from heyfleet.results.distribution import PERCENTILES, Distribution, distribution
from heyfleet.results.export.run_view import RunView
from heyfleet.results.report import json as document
from heyfleet.results.report import text as hey_report
from heyfleet.results.stats import decoded

MS = 1e6
_TICKS_PER_HALF = 5  # of the distance to 100 %, as HdrHistogram's own tools have it


def hgrm(source: RunView) -> Iterator[str]:
    """HdrHistogram's percentile distribution of the latency, in ms: what its plotter reads."""
    histogram = source.numbers.histogram("latency") or Histogram()
    yield "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
    for percentile in _ticks(histogram.count):
        value_ns = histogram.value_at_percentile(percentile)
        below = histogram.count_at_or_below(value_ns)
        part = percentile / 100
        tail = f"{1 / (1 - part):14.2f}" if part < 1 else ""
        yield f"{value_ns / MS:12.6f} {part:2.12f} {below:10d} {tail}".rstrip() + "\n"
    yield f"#[Mean    = {histogram.mean_ns / MS:12.6f}, StdDeviation   = {histogram.stddev_ns / MS:12.6f}]\n"
    yield f"#[Max     = {histogram.max_ns / MS:12.6f}, Total count    = {histogram.count:12d}]\n"
    yield "#[Buckets =           32, SubBuckets     =         2048]\n"


def _ticks(count: int) -> Iterator[float]:
    """Percentiles ever closer to 100, as long as each is of another rank; and those that reports have."""
    if not count:
        return
    found = {point / 100 for point in PERCENTILES}
    percentile, half = 0.0, 1.0
    while 100 - percentile > 100 / (2 * count):
        found.add(round(percentile, 10))
        while 100 - percentile <= 50 / half:
            half *= 2
        percentile += 100 / (half * 2 * _TICKS_PER_HALF)
    yield from sorted(found)
    yield 100.0


def hlog(source: RunView) -> Iterator[str]:
    """HdrHistogram's interval log: the archive's own, or the lines of the part that was chosen."""
    if not source.selection:
        yield from source.run.lines(layout.LOG)
        return
    for number, line in enumerate(source.run.lines(layout.LOG)):
        if number < layout.LOG_HEAD_LINES:
            yield line
    for interval in source.intervals():
        for metric, histogram in sorted(interval.merged.histograms.items()):
            yield write_line(layout.Tag(metric), interval.merged.begin_ns, interval.merged.end_ns, histogram)


def json_document(source: RunView) -> Iterator[str]:
    """The report as one document; of a part, its numbers."""
    if not source.selection:
        yield document.render(source.summary, __version__)
        return
    numbers = source.numbers
    made = {
        "selection": {name: getattr(source.selection, name) or None for name in source.selection.__slots__},
        "seconds": source.seconds,
        "statuses": {str(status): count for status, count in sorted(numbers.responses.items())},
        "errors": dict(numbers.errors),
        "totals": {name: count for name, count in numbers.totals.items() if count},
        "metrics": {
            metric: document.distribution_of(distribution(histogram))
            for metric, histogram in sorted(numbers.histograms.items())
        },
    }
    yield json.dumps(made, indent=2, ensure_ascii=False) + "\n"


def table(source: RunView) -> Iterator[str]:
    """CSV: a row for each metric, and for the latency of each stage and request."""
    head = ["metric", "stage", "request", "count", "average_ns", "fastest_ns", "slowest_ns"]
    yield from _csv([[*head, *(f"p{point / 100:g}_ns" for point in PERCENTILES)], *_rows(source)])


def _rows(source: RunView) -> Iterator[list[Any]]:
    for metric, histogram in sorted(source.numbers.histograms.items()):
        yield [metric, source.selection.stage, source.selection.request, *_cells(distribution(histogram))]
    if not source.selection:
        summary = source.summary
        for stage in summary.stages:
            yield ["latency", stage.name, "", *_cells(stage.latency)]
        for request in summary.requests:
            yield ["latency", "", request.name, *_cells(request.latency)]


def _cells(values: Distribution | None) -> list[Any]:
    if values is None:
        return [0]
    rows = ["" if row.value_ns is None else row.value_ns for row in values.percentiles]
    return [values.count, round(values.average_ns, 1), values.fastest_ns, values.slowest_ns, *rows]


SERIES = "second,begin_s,end_s,sent,responses,errors,in_flight,rate,average_ns,p50_ns,p90_ns,p99_ns,p99.9_ns,max_ns"


def series(source: RunView) -> Iterator[str]:
    """CSV: a row for each second, or for each snapshot of the agent that was chosen."""
    if source.selection.agent:
        yield f"{layout.SERIES_HEAD}\n"
        for row in source.agents():
            yield ",".join(str(getattr(row, name)) for name in layout.SERIES_HEAD.split(",")) + "\n"
        return
    yield f"{SERIES}\n"
    for point in points(source):
        yield ",".join(str(value) for value in point.values()) + "\n"


def points(source: RunView) -> Iterator[dict[str, int | float]]:
    """The series as values. A second comes again where snapshots were late; `in_flight` is that at the row's end."""
    in_flight = 0
    names = SERIES.split(",")
    for interval in source.intervals():
        merged = interval.merged
        responses, errors = sum(merged.responses.values()), sum(merged.errors.values())
        if not (responses or errors or merged.sent or merged.abandoned):
            continue
        in_flight += merged.sent - responses - errors - merged.abandoned
        seconds = (merged.end_ns - merged.begin_ns) / 1e9
        latency = decoded(merged.histograms["latency"]) if "latency" in merged.histograms else Histogram()
        values: list[int | float] = [
            *(interval.second, round(merged.begin_ns / 1e9, 3), round(merged.end_ns / 1e9, 3)),
            *(merged.sent, responses, errors, in_flight),
            round((responses + errors) / seconds, 3) if seconds > 0 else 0.0,
            round(latency.mean_ns, 1),
            *(latency.value_at_percentile(each) if latency.count else 0 for each in (50, 90, 99, 99.9)),
            latency.max_ns,
        ]
        yield dict(zip(names, values, strict=True))


def hey(source: RunView) -> Iterator[str]:
    """The report as it was printed."""
    yield hey_report.render(source.summary)


def vegeta(source: RunView) -> Iterator[str]:
    """What `vegeta report -type=json` prints."""
    numbers, summary = source.numbers, source.summary
    histogram = numbers.histogram("latency") or Histogram()
    ended, answered = numbers.ended, numbers.responses.total()
    good = sum(count for status, count in numbers.responses.items() if 200 <= status < 400)
    percentiles = (("50th", 50), ("90th", 90), ("95th", 95), ("99th", 99))
    begun = source.run.began_at
    made = {
        "latencies": {
            "total": histogram.sum_ns,
            "mean": round(histogram.mean_ns),
            **{
                name: histogram.value_at_percentile(each) if histogram.count else 0
                for name, each in percentiles
            },
            "max": histogram.max_ns,
            "min": histogram.min_ns,
        },
        "bytes_in": _sum_and_mean(numbers.totals["body_bytes"], answered),
        "bytes_out": _sum_and_mean(numbers.totals["bytes_sent"], ended),
        "earliest": begun,
        "duration": round(source.seconds * 1e9),
        "wait": 0,
        "requests": ended,
        "rate": ended / source.seconds if source.seconds else 0.0,
        "throughput": good / source.seconds if source.seconds else 0.0,
        "success": good / ended if ended else 0.0,
        "status_codes": {
            **({"0": numbers.errors.total()} if numbers.errors else {}),
            **{str(status): count for status, count in sorted(numbers.responses.items())},
        },
        "errors": sorted(numbers.errors) or sorted(summary.errors),
    }
    yield json.dumps(made) + "\n"


def _sum_and_mean(total: int, count: int) -> dict[str, float]:
    return {"total": total, "mean": total / count if count else 0.0}


def _csv(rows: Iterable[list[Any]]) -> Iterator[str]:
    for row in rows:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        yield line.getvalue()
