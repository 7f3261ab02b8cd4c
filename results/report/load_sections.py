"""Sections of the text report on the load profile, its stages and requests, thresholds and trust."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heyfleet.results.breakdown import BreakdownLine
from heyfleet.results.distribution import Distribution
from heyfleet.results.report.table import table
from heyfleet.results.summary import Summary
from heyfleet.results.thresholds import Verdict
from heyfleet.results.trust import Trust
from heyfleet.results.units import format_time

BREAKDOWN_PERCENTILES = (50, 99)
MAX_LINES = 40


def load(summary: Summary) -> Iterator[str]:
    """Return the load profile in a line or two; nothing for hey's own."""
    plan, warmup = summary.plan, summary.warmup
    if plan["load_model"] == "closed" and warmup is None:
        return
    yield "Load:"
    yield from _profile(plan, summary)
    if warmup is not None:
        p99_ns = warmup.latency.percentile_ns(99) if warmup.latency else None
        yield (
            f"  Warm-up:\t{warmup.seconds:g} s, {warmup.sent} requests sent, {warmup.failed} failed"
            f"{f', 99% in {format_time(p99_ns)}' if p99_ns is not None else ''}; not included in any other number"
        )


def _profile(plan: dict[str, Any], summary: Summary) -> Iterator[str]:
    stages = plan["stages"]
    if plan["load_model"] == "connection_rate":
        yield f"  Rate:\t{plan['rate_per_connection']:g} requests/s on each of {plan['connections']} connections"
    elif plan["load_model"] == "rate":
        seed = f", seed {plan['seed']}" if plan["arrivals"] == "poisson" else ""
        target = f"{stages[0]['first']:g} requests/s" if len(stages) == 1 else "in stages"
        sent = f"; sent {summary.ledger.sent * 1e9 / summary.total_ns:.2f}/s" if summary.total_ns else ""
        yield f"  Rate:\t{target}, {plan['arrivals']}{seed}{sent}"
    elif plan["load_model"] == "users":
        think_time = f", think time {_think_time(plan['think'], plan['seed'])}" if plan["think"] else ""
        yield f"  Users:\t{plan['connections']} at most{think_time}"


def _think_time(think: dict[str, Any], seed: int | None) -> str:
    low_s, high_s = think["low_ns"] / 1e9, think["high_ns"] / 1e9
    if think["kind"] == "exponential":
        return f"{low_s:g} s on average (seed {seed or 0})"
    return f"{low_s:g} s" if low_s == high_s else f"{low_s:g} to {high_s:g} s (seed {seed or 0})"


def breakdown(title: str, kind: str, lines: tuple[BreakdownLine, ...]) -> Iterator[str]:
    """Return a table of stages or requests."""
    if not lines:
        return
    yield title
    header = [
        kind,
        *(["level"] if lines[0].first is not None else []),
        *("seconds", "sent", "responses", "failed", "requests/s"),
        *(f"{percent}%" for percent in BREAKDOWN_PERCENTILES),
        "slowest",
    ]
    rows = [
        [
            line.name,
            *_level(line),
            f"{line.seconds:.1f}",
            *map(str, (line.sent, line.responses, line.failed)),
            f"{line.requests_per_second:.1f}",
            *(_percentile(line.latency, percent) for percent in BREAKDOWN_PERCENTILES),
            format_time(line.latency.slowest_ns) if line.latency else "-",
        ]
        for line in lines[:MAX_LINES]
    ]
    yield from table(header, rows)
    yield from _more(len(lines))


def by_address(summary: Summary) -> Iterator[str]:
    """Return a table of the target's addresses, if there are several."""
    if not summary.by_address:
        return
    yield "By address:"
    header = ["address", "connections", "not opened", "responses", "errors"]
    rows = [
        [line.address, *map(str, (line.connections, line.failures, line.responses, line.errors))]
        for line in summary.by_address[:MAX_LINES]
    ]
    yield from table(header, rows)
    yield from _more(len(summary.by_address))


def _more(count: int) -> Iterator[str]:
    if count > MAX_LINES:
        yield f"  ... and {count - MAX_LINES} more; --json has all of them"


def _level(line: BreakdownLine) -> list[str]:
    if line.first is None:
        return []
    return [f"{line.first:g}" if line.first == line.last else f"{line.first:g}-{line.last:g}"]


def _percentile(values: Distribution | None, percent: float) -> str:
    value_ns = values.percentile_ns(percent) if values else None
    return "-" if value_ns is None else format_time(value_ns)


def thresholds(verdicts: tuple[Verdict, ...], aborted_by: str) -> Iterator[str]:
    """Return one line for each threshold."""
    if not verdicts and not aborted_by:
        return
    yield "Thresholds:"
    if aborted_by:
        yield f"  aborted\t{aborted_by}"
    for verdict in verdicts:
        yield f"  {verdict.result}\t{verdict.text} ({verdict.explanation})"


def trust(verdict: Trust) -> Iterator[str]:
    """Return the verdict and all of its reasons."""
    yield f"Trust: {verdict.verdict}"
    for reason in verdict.reasons:
        yield f"  {reason}"
