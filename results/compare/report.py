"""A comparison as text and as JSON values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heyfleet.results.compare import statistics
from heyfleet.results.compare.comparison import (
    Comparison,
    Row,
    difference_text,
    estimate_text,
    verdict,
)
from heyfleet.results.compare.sample import Sample
from heyfleet.results.report.table import table


def text_lines(comparison: Comparison) -> Iterator[str]:
    """Return a comparison as text."""
    before, after = comparison.before, comparison.after
    yield ""
    yield f"Before:\t{before.name} ({before.source}, {before.count} latencies)"
    yield f"After:\t{after.name} ({after.source}, {after.count} latencies)"
    yield ""
    yield verdict(comparison)
    yield ""
    rows = [
        [
            row.name,
            estimate_text(row.before, row.name),
            estimate_text(row.after, row.name),
            difference_text(row),
        ]
        for row in comparison.rows
    ]
    yield from table(["", "before", "after", "difference [95 %]"], rows)
    yield ""
    yield f"Confidence intervals: {comparison.method}."
    if statistics.BY_RANKS in comparison.method:
        yield (
            "By ranks, latencies are taken as independent of each other; where they are not, the true intervals are wider."
        )


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as values for JSON."""
    return {
        "before": _sample_values(comparison.before),
        "after": _sample_values(comparison.after),
        "verdict": verdict(comparison),
        "interval_method": comparison.method,
        "rows": [_row_values(row) for row in comparison.rows],
    }


def _sample_values(sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "source": sample.source,
        "latencies": sample.count,
        "requests": sample.requests,
        "errors": sample.errors,
        "seconds": sample.seconds,
        "runs": len(sample.runs) or None,
    }


def _row_values(row: Row) -> dict[str, Any]:
    """Return latencies in ns, rates in requests a second, errors and differences as shares; None: unknown or unlimited."""

    def finite(low: float, high: float) -> list[float | None]:
        return [None if abs(each) == float("inf") else each for each in (low, high)]

    values: dict[str, Any] = {"name": row.name}
    for side, estimate in (("before", row.before), ("after", row.after)):
        values[side] = (
            {"value": [estimate.low, estimate.high], "interval": list(estimate.interval)}
            if estimate
            else None
        )
    values["difference"] = (
        {"value": finite(row.least, row.most), "interval": finite(row.low, row.high)}
        if row.comparable
        else None
    )
    return values
