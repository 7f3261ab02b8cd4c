"""A comparison as a page: the table, and the spectra one over the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import numpy as np

from heyfleet.results.compare.comparison import Comparison, difference_text, value_text, verdict
from heyfleet.results.compare.sample import Sample
from heyfleet.results.export import html_page as parts

_STEPS = 24  # a decade


def page(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """All of them on one page."""
    title = " and ".join(dict.fromkeys(each.after.name for each in comparisons))
    yield parts.head(f"{comparisons[0].before.name} beside {title}")
    yield f"<header><h1>{escape(comparisons[0].before.name)} beside {escape(title)}</h1></header>\n<main>\n"
    yield '<section class="charts one"><figure><figcaption>Latency by percentile</figcaption>'
    yield '<div class="chart" id="spectrum"></div></figure></section>\n'
    for each in comparisons:
        rows = [
            [
                row.name,
                value_text(row.before, row.name),
                value_text(row.after, row.name),
                difference_text(row),
            ]
            for row in each.rows
        ]
        yield f"<p><strong>{escape(verdict(each))}</strong></p>\n"
        heads = ["", escape(each.before.name), escape(each.after.name), "difference [95 %]"]
        yield parts.table(f"{escape(each.after.made_by)}, {each.after.count:,} latencies", heads, rows)
        yield f"<p>Latencies are in secs. Intervals: {escape(each.way)}.</p>\n"
    yield "</main>\n"
    samples = [comparisons[0].before, *(each.after for each in comparisons)]
    yield parts.foot({"spectra": [_spectrum(each) for each in samples], "stages": []})


def _spectrum(sample: Sample) -> dict[str, Any]:
    """By 1 / (1 - percentile), at the upper marks."""
    steps = np.arange(0, int(np.ceil(np.log10(max(sample.count, 2)) * _STEPS)) + 1)
    tails = np.minimum(10 ** (steps / _STEPS), sample.count)
    return {
        "name": sample.name,
        "tail": [round(float(tail), 6) for tail in tails],
        "ms": [round(sample.quantile(1 - 1 / float(tail))[1] / 1e6, 5) for tail in tails],
    }
