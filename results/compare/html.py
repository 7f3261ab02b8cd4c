"""Comparisons as an HTML page: tables, and the latencies by percentile in one chart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from heyfleet.results.compare.comparison import Comparison, difference_text, estimate_text, verdict
from heyfleet.results.compare.sample import Sample
from heyfleet.results.export import html_page
from heyfleet.results.export.html_page import text

_STEPS_PER_DECADE = 24


def page(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Return all comparisons on one page; they must have the same sample as `before`."""
    title = " and ".join(dict.fromkeys(each.after.name for each in comparisons))
    before = comparisons[0].before
    yield html_page.page_start(f"{before.name} compared with {title}")
    yield f"<header><h1>{text(before.name)} compared with {text(title)}</h1></header>\n<main>\n"
    yield '<section class="charts one"><figure><figcaption>Latency by percentile</figcaption>'
    yield '<div class="chart" id="spectrum"></div></figure></section>\n'
    for each in comparisons:
        rows = [
            [
                row.name,
                estimate_text(row.before, row.name),
                estimate_text(row.after, row.name),
                difference_text(row),
            ]
            for row in each.rows
        ]
        yield f"<p><strong>{text(verdict(each))}</strong></p>\n"
        header = ["", text(before.name), text(each.after.name), "difference [95 %]"]
        yield html_page.table(f"{text(each.after.source)}, {each.after.count:,} latencies", header, rows)
        yield f"<p>Confidence intervals: {text(each.method)}.</p>\n"
    yield "</main>\n"
    samples = [before, *(each.after for each in comparisons)]
    yield html_page.page_end({"spectra": [_spectrum(each) for each in samples], "stages": []})


def _spectrum(sample: Sample) -> dict[str, Any]:
    """Return the upper marks in ms by 1 / (1 - percentile)."""
    steps = np.arange(0, int(np.ceil(np.log10(max(sample.count, 2)) * _STEPS_PER_DECADE)) + 1)
    tails = np.minimum(10 ** (steps / _STEPS_PER_DECADE), sample.count)
    return {
        "name": text(sample.name),
        "tail": [round(float(tail), 6) for tail in tails],
        "ms": [round(sample.quantile(1 - 1 / float(tail))[1] / 1e6, 5) for tail in tails],
    }
