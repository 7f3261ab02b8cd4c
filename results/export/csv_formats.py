"""CSV: a table of metrics, and the series."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any

from heyfleet.results.archive import snapshot_rows
from heyfleet.results.distribution import PERCENTILES, Distribution, distribution
from heyfleet.results.export.run_view import RunView
from heyfleet.results.export.series import COLUMNS, points
from heyfleet.text import cell

_METRIC_COLUMNS = (
    *("metric", "stage", "request", "count", "average_ns", "fastest_ns", "slowest_ns"),
    *(f"p{percent:g}_ns" for percent in PERCENTILES),
)


def metrics_csv(view: RunView) -> Iterator[str]:
    """Return a row for each metric, and for the latency of each stage and request."""
    return _lines([_METRIC_COLUMNS, *_metric_rows(view)])


def _metric_rows(view: RunView) -> Iterator[list[Any]]:
    for metric, histogram in sorted(view.metrics.histograms.items()):
        yield [metric, view.selection.stage, view.selection.request, *_cells(distribution(histogram))]
    if not view.selection:
        for stage in view.summary.stages:
            yield ["latency", stage.name, "", *_cells(stage.latency)]
        for request in view.summary.requests:
            yield ["latency", "", request.name, *_cells(request.latency)]


def _cells(values: Distribution | None) -> list[Any]:
    if values is None:
        return [0]
    percentiles = [row.value_ns for row in values.percentiles]
    return [
        values.count,
        round(values.average_ns, 1),
        values.fastest_ns,
        values.slowest_ns,
        *percentiles,
    ]


def series_csv(view: RunView) -> Iterator[str]:
    """Return a row for each second, or for each snapshot of the selected agent."""
    if view.selection.agent:
        yield f"{snapshot_rows.HEADER}\n"
        yield from _lines(map(snapshot_rows.cells, view.agents()))
        return
    yield f"{','.join(COLUMNS)}\n"
    yield from _lines(point.values() for point in points(view))


def _lines(rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    """Return rows as CSV, None as an empty cell. Texts are foreign: names of stages, requests and agents."""
    for row in rows:
        line = io.StringIO()
        cells = (cell(value) if isinstance(value, str) else value for value in row)
        csv.writer(line, lineterminator="\n").writerow(cells)
        yield line.getvalue()
