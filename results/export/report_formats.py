"""The reports of heyfleet itself: as JSON, and as text."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.distribution import distribution
from heyfleet.results.export.run_view import RunView
from heyfleet.results.report import json as json_report
from heyfleet.results.report import text as hey_report
from heyfleet.text import dump_json


def json_document(view: RunView) -> Iterator[str]:
    """Return the report as one document, or the metrics of the selection."""
    if not view.selection:
        yield json_report.render(view.summary)
        return
    metrics, selection = view.metrics, view.selection
    values = {
        "selection": {name: getattr(selection, name) or None for name in selection.__slots__},
        "seconds": view.seconds,
        "statuses": {str(status): count for status, count in sorted(metrics.responses.items())},
        "errors": dict(metrics.errors),
        "counters": {name: count for name, count in metrics.counters.items() if count},
        "metrics": {
            metric: json_report.distribution_values(distribution(histogram))
            for metric, histogram in sorted(metrics.histograms.items())
        },
    }
    yield dump_json(values)


def text_report(view: RunView) -> Iterator[str]:
    """Return the report as it was printed."""
    yield hey_report.render(view.summary)
