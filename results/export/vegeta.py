"""The output of `vegeta report -type=json`."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.ext import Histogram
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.export.run_view import RunView
from heyfleet.text import dump_json

_PERCENTILES = (("50th", 50), ("90th", 90), ("95th", 95), ("99th", 99))


def vegeta(view: RunView) -> Iterator[str]:
    """Return one line of JSON; percentiles that the sample can't support are left out."""
    metrics = view.metrics
    histogram = metrics.histogram("latency") or Histogram()
    completed = metrics.completed
    successes = sum(count for status, count in metrics.responses.items() if 200 <= status < 400)
    percentiles = {name: percentile_ns(histogram, percent) for name, percent in _PERCENTILES}
    values = {
        "latencies": {
            "total": histogram.sum_ns,
            "mean": round(histogram.mean_ns),
            **{name: value_ns for name, value_ns in percentiles.items() if value_ns is not None},
            "max": histogram.max_ns,
            "min": histogram.min_ns,
        },
        "bytes_in": _total_and_mean(metrics.counters["body_bytes"], metrics.responses.total()),
        "bytes_out": _total_and_mean(metrics.counters["bytes_sent"], completed),
        "earliest": view.run.started_at,
        "duration": round(view.seconds * 1e9),
        "wait": 0,
        "requests": completed,
        "rate": view.requests_per_second,
        "throughput": successes / view.seconds if view.seconds else 0.0,
        "success": successes / completed if completed else 0.0,
        "status_codes": {
            **({"0": metrics.errors.total()} if metrics.errors else {}),
            **{str(status): count for status, count in sorted(metrics.responses.items())},
        },
        "errors": sorted(metrics.errors) or sorted(view.summary.errors),
    }
    yield dump_json(values, indent=None)


def _total_and_mean(total: int, count: int) -> dict[str, float]:
    return {"total": total, "mean": total / count if count else 0.0}
