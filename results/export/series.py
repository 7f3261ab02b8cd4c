"""The series of a run: a row of values for each second."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.ext import Histogram
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.export.run_view import RunView
from heyfleet.results.metrics import decode_histogram

Value = int | float | None
INT_COLUMNS = (
    "second",
    "sent",
    "responses",
    "errors",
    "in_flight",
    "p50_ns",
    "p90_ns",
    "p99_ns",
    "p99.9_ns",
    "max_ns",
)
COLUMNS = (
    *("second", "begin_s", "end_s", "sent", "responses", "errors", "in_flight", "rate"),
    *("average_ns", "p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns"),
)
_PERCENTILES = (50, 90, 99, 99.9)


def points(view: RunView) -> Iterator[dict[str, Value]]:
    """Return the rows; `in_flight` is at the end of the row, and values that the sample can't support are None.

    Snapshots that arrived late make a further row of their second.
    """
    in_flight = 0
    for interval in view.intervals():
        merged = interval.merged
        responses, errors = sum(merged.responses.values()), sum(merged.errors.values())
        if not (responses or errors or merged.sent or merged.abandoned):
            continue
        in_flight += merged.sent - responses - errors - merged.abandoned
        seconds = (merged.end_ns - merged.begin_ns) / 1e9
        latency = (
            decode_histogram(merged.histograms["latency"]) if "latency" in merged.histograms else Histogram()
        )
        values: list[Value] = [
            *(interval.second, round(merged.begin_ns / 1e9, 3), round(merged.end_ns / 1e9, 3)),
            *(merged.sent, responses, errors, in_flight),
            round((responses + errors) / seconds, 3) if seconds > 0 else 0.0,
            round(latency.mean_ns, 1) if latency.count else None,
            *(percentile_ns(latency, percent) for percent in _PERCENTILES),
            latency.max_ns if latency.count else None,
        ]
        yield dict(zip(COLUMNS, values, strict=True))
