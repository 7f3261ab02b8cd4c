"""The series of a run in as many columns as a picture has room for, whatever the length of the run."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from heyfleet.ext import Histogram
from heyfleet.results.export.run_view import RunView
from heyfleet.results.stats import decoded

COLUMNS = 360
AGENT_COLUMNS = 120
HEAT_ROWS = 48
_NEVER = 1 << 62


@dataclass(slots=True)
class Column:
    """One or several seconds."""

    begin_ns: int = _NEVER
    end_ns: int = 0
    latency: Histogram = field(default_factory=Histogram)
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class AgentLine:
    """One agent, in columns of its own."""

    rates: list[float]
    p99_ms: list[float]  # the highest of any snapshot
    responses: int = 0
    errors: int = 0


def columns(source: RunView) -> list[Column]:
    """The whole part that was chosen."""
    seconds = max((each.second for each in source.intervals()), default=-1) + 1
    width = max(-(-seconds // COLUMNS), 1)
    found: defaultdict[int, Column] = defaultdict(Column)
    for interval in source.intervals():
        merged = interval.merged
        responses, errors = sum(merged.responses.values()), sum(merged.errors.values())
        if not (merged.sent or responses or errors or merged.abandoned):
            continue
        column = found[interval.second // width]
        column.begin_ns = min(column.begin_ns, merged.begin_ns)
        column.end_ns = max(column.end_ns, merged.end_ns)
        column.counts.update(sent=merged.sent, responses=responses, errors=errors, abandoned=merged.abandoned)
        if "latency" in merged.histograms:
            column.latency.add(decoded(merged.histograms["latency"]))
    return [found[index] for index in sorted(found)]


def series(made: list[Column]) -> dict[str, list[float | None]]:
    """Times in s, rates in 1/s, latencies in ms; None where there was no answer."""
    rows: dict[str, list[float | None]] = {
        name: [] for name in ("time", "responses", "errors", "in_flight", "p50", "p99", "p99.9")
    }
    in_flight = 0
    for column in made:
        counts, seconds = column.counts, max(column.end_ns - column.begin_ns, 1) / 1e9
        in_flight += counts["sent"] - counts["responses"] - counts["errors"] - counts["abandoned"]
        rows["time"].append(round((column.begin_ns + column.end_ns) / 2e9, 3))
        rows["responses"].append(round(counts["responses"] / seconds, 2))
        rows["errors"].append(round(counts["errors"] / seconds, 2))
        rows["in_flight"].append(in_flight)
        for name, percentile in (("p50", 50), ("p99", 99), ("p99.9", 99.9)):
            enough = column.latency.count * (100 - percentile) >= 100
            rows[name].append(
                round(column.latency.value_at_percentile(percentile) / 1e6, 4) if enough else None
            )
    return rows


def heat(made: list[Column]) -> dict[str, Any]:
    """How many answers took how long: marks of the rows in ms, and for each row how many answers of each column."""
    with_answers = [column.latency for column in made if column.latency.count]
    if not with_answers:
        return {"marks": [], "rows": []}
    low = max(min(each.min_ns for each in with_answers), 1000)
    high = max([low + 1, *(each.max_ns for each in with_answers)])
    step = math.log(high / low) / HEAT_ROWS
    edges = [low * math.exp(step * row) for row in range(HEAT_ROWS + 1)]
    rows: list[list[int | None]] = [[] for _ in range(HEAT_ROWS)]
    for column in made:
        total = column.latency.count
        below = [column.latency.count_at_or_below(int(edge)) for edge in edges[1:-1]]
        for row, (first, last) in zip(rows, pairwise([0, *below, total]), strict=True):
            row.append(last - first or None)
    return {"marks": [round(edge / 1e6, 5) for edge in edges], "rows": rows}


def spectrum(histogram: Histogram | None) -> dict[str, list[float]]:
    """The latency by 1 / (1 - percentile), up to what the count supports; in ms."""
    made: dict[str, list[float]] = {"tail": [], "ms": []}
    if histogram is None or not histogram.count:
        return made
    steps = 24  # a decade
    for index in range(math.ceil(math.log10(histogram.count) * steps) + 1):
        tail = min(10 ** (index / steps), float(histogram.count))
        made["tail"].append(round(tail, 6))
        made["ms"].append(round(histogram.value_at_percentile(100 * (1 - 1 / tail)) / 1e6, 5))
    return made


def agents(source: RunView) -> dict[str, AgentLine]:
    """Each agent's rate and p99 over time."""
    end_ns = max((row.end_ns for row in source.agents()), default=0)
    width_ns = max(-(-end_ns // AGENT_COLUMNS), 1_000_000_000)
    count = -(-end_ns // width_ns)
    found: dict[str, AgentLine] = {}
    for row in source.agents():
        line = found.setdefault(row.agent, AgentLine([0.0] * count, [0.0] * count))
        index = min((row.begin_ns + row.end_ns) // 2 // width_ns, count - 1)
        line.rates[index] += (row.responses + row.errors) * 1e9 / width_ns
        line.p99_ms[index] = max(line.p99_ms[index], row.p99_ns / 1e6)
        line.responses += row.responses
        line.errors += row.errors
    return dict(sorted(found.items()))
