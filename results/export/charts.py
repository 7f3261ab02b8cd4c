"""The data of charts: a run in as many columns as a chart has room for, whatever the length of the run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from heyfleet.ext import Histogram
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.export.run_view import RunView
from heyfleet.results.metrics import decode_histogram

MAX_COLUMNS = 360
MAX_AGENT_COLUMNS = 120
HEATMAP_ROWS = 48
_SPECTRUM_STEPS_PER_DECADE = 24
_NEVER_NS = 1 << 62
_PERCENTILES = (("p50", 50), ("p99", 99), ("p99.9", 99.9))


@dataclass(slots=True)
class Column:
    """One second or several."""

    begin_ns: int = _NEVER_NS
    end_ns: int = 0
    latency: Histogram = field(default_factory=Histogram)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class AgentChart:
    """One agent over time, in columns of its own."""

    rates: list[float]
    p99_ms: list[float]  # the highest of any snapshot in the column
    responses: int = 0
    errors: int = 0


def columns(view: RunView) -> list[Column]:
    """Return the columns of the selection that have requests."""
    seconds = max((each.second for each in view.intervals()), default=-1) + 1
    width = max(-(-seconds // MAX_COLUMNS), 1)
    by_index: defaultdict[int, Column] = defaultdict(Column)
    for interval in view.intervals():
        merged = interval.merged
        responses, errors = sum(merged.responses.values()), sum(merged.errors.values())
        if not (merged.sent or responses or errors or merged.abandoned):
            continue
        column = by_index[interval.second // width]
        column.begin_ns = min(column.begin_ns, merged.begin_ns)
        column.end_ns = max(column.end_ns, merged.end_ns)
        column.counts.update(sent=merged.sent, responses=responses, errors=errors, abandoned=merged.abandoned)
        if "latency" in merged.histograms:
            column.latency.add(decode_histogram(merged.histograms["latency"]))
    return [by_index[index] for index in sorted(by_index)]


def time_series(columns: list[Column]) -> dict[str, list[float | None]]:
    """Return times in s, rates in 1/s and latencies in ms; None where too few responses came."""
    series: dict[str, list[float | None]] = {
        name: [] for name in ("time", "responses", "errors", "in_flight", "p50", "p99", "p99.9")
    }
    in_flight = 0
    for column in columns:
        counts, seconds = column.counts, max(column.end_ns - column.begin_ns, 1) / 1e9
        in_flight += counts["sent"] - counts["responses"] - counts["errors"] - counts["abandoned"]
        series["time"].append(round((column.begin_ns + column.end_ns) / 2e9, 3))
        series["responses"].append(round(counts["responses"] / seconds, 2))
        series["errors"].append(round(counts["errors"] / seconds, 2))
        series["in_flight"].append(in_flight)
        for name, percent in _PERCENTILES:
            value_ns = percentile_ns(column.latency, percent)
            series[name].append(None if value_ns is None else round(value_ns / 1e6, 4))
    return series


def heatmap(columns: list[Column]) -> dict[str, Any]:
    """Return how many responses took how long: row edges in ms, and for each row the responses of each column."""
    latencies = [column.latency for column in columns if column.latency.count]
    if not latencies:
        return {"edges": [], "rows": []}
    low_ns = max(min(each.min_ns for each in latencies), 1000)
    high_ns = max([low_ns + 1, *(each.max_ns for each in latencies)])
    step = math.log(high_ns / low_ns) / HEATMAP_ROWS
    edges_ns = [low_ns * math.exp(step * row) for row in range(HEATMAP_ROWS + 1)]
    rows: list[list[int | None]] = [[] for _ in range(HEATMAP_ROWS)]
    for column in columns:
        below = [column.latency.count_at_or_below(int(edge_ns)) for edge_ns in edges_ns[1:-1]]
        for row, (first, last) in zip(rows, pairwise([0, *below, column.latency.count]), strict=True):
            row.append(last - first or None)
    return {"edges": [round(edge_ns / 1e6, 5) for edge_ns in edges_ns], "rows": rows}


def spectrum(histogram: Histogram | None) -> dict[str, list[float]]:
    """Return the latency in ms by 1 / (1 - percentile), as far as the sample supports it."""
    points: dict[str, list[float]] = {"tail": [], "ms": []}
    if histogram is None or not histogram.count:
        return points
    for index in range(math.ceil(math.log10(histogram.count) * _SPECTRUM_STEPS_PER_DECADE) + 1):
        tail = min(10 ** (index / _SPECTRUM_STEPS_PER_DECADE), float(histogram.count))
        points["tail"].append(round(tail, 6))
        points["ms"].append(round(histogram.value_at_percentile(100 * (1 - 1 / tail)) / 1e6, 5))
    return points


def agent_charts(view: RunView) -> dict[str, AgentChart]:
    """Return each agent's rate and p99 over time, by its name."""
    end_ns = max((row.end_ns for row in view.agents()), default=0)
    width_ns = max(-(-end_ns // MAX_AGENT_COLUMNS), 1_000_000_000)
    count = -(-end_ns // width_ns)
    charts: dict[str, AgentChart] = {}
    for row in view.agents():
        chart = charts.setdefault(row.agent, AgentChart([0.0] * count, [0.0] * count))
        index = min((row.begin_ns + row.end_ns) // 2 // width_ns, count - 1)
        chart.rates[index] += (row.responses + row.errors) * 1e9 / width_ns
        chart.p99_ms[index] = max(chart.p99_ms[index], row.p99_ns / 1e6)
        chart.responses += row.responses
        chart.errors += row.errors
    return dict(sorted(charts.items()))
