"""What a report says of the shape of the load, of its parts, and of what was to be judged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heyfleet.results.breakdown import BreakdownLine
from heyfleet.results.distribution import Distribution
from heyfleet.results.report.table import table
from heyfleet.results.summary import Summary
from heyfleet.results.thresholds import Verdict, in_words
from heyfleet.results.trust import Trust

PERCENTS = (50, 99)
LINES_AT_MOST = 40


def load(summary: Summary) -> Iterator[str]:
    """The shape in a line or two; nothing for hey's own."""
    plan, warmup = summary.plan, summary.warmup
    if plan["load_model"] == "closed" and warmup is None:
        return
    yield "Load:"
    yield from _shape(plan, summary)
    if warmup is not None:
        p99 = percentile(warmup.latency, 99)
        yield (
            f"  Warm-up:\t{warmup.seconds:g} s, {warmup.sent} requests sent, {warmup.failed} failed"
            f"{f', 99% in {p99} secs' if p99 != '-' else ''}; in no other number of this report"
        )


def _shape(plan: dict[str, Any], summary: Summary) -> Iterator[str]:
    stages = plan["stages"]
    if plan["load_model"] == "connection_rate":
        yield f"  Rate:\t{plan['rate_per_connection']:g} requests/s on each of {plan['connections']} connections"
    elif plan["load_model"] == "rate":
        seed = f", seed {plan['seed']}" if plan["arrivals"] == "poisson" else ""
        asked = f"{stages[0]['first']:g}" if len(stages) == 1 else "in stages,"
        sent = f"; sent {summary.ledger.sent * 1e9 / summary.total_ns:.2f}/s" if summary.total_ns else ""
        yield f"  Rate:\t{asked} requests/s, {plan['arrivals']}{seed}{sent}"
    elif plan["load_model"] == "users":
        thinking = f", thinking {_think(plan['think'], plan['seed'])}" if plan["think"] else ""
        yield f"  Users:\t{plan['connections']} at most{thinking}"


def _think(think: dict[str, Any], seed: int | None) -> str:
    low_s, high_s = think["low_ns"] / 1e9, think["high_ns"] / 1e9
    if think["kind"] == "exponential":
        return f"{low_s:g} s on average (seed {seed or 0})"
    return f"{low_s:g} s" if low_s == high_s else f"{low_s:g} to {high_s:g} s (seed {seed or 0})"


def parts(title: str, what: str, lines: tuple[BreakdownLine, ...]) -> Iterator[str]:
    """A table of stages or requests."""
    if not lines:
        return
    yield title
    head = [
        what,
        *(["level"] if lines[0].first is not None else []),
        "seconds",
        "sent",
        "responses",
        "failed",
    ]
    head += ["requests/s", *(f"{percent}%" for percent in PERCENTS), "slowest"]
    rows = []
    for line in lines[:LINES_AT_MOST]:
        rows.append(
            [
                line.name,
                *_level(line),
                f"{line.seconds:.1f}",
                *map(str, (line.sent, line.responses, line.failed)),
                f"{line.requests_per_second:.1f}",
                *(percentile(line.latency, percent) for percent in PERCENTS),
                f"{line.latency.slowest_ns / 1e9:.4f}" if line.latency else "-",
            ]
        )
    yield from table(head, rows)
    if len(lines) > LINES_AT_MOST:
        yield f"  ... and {len(lines) - LINES_AT_MOST} more, all in the report of --json"


def by_address(summary: Summary) -> Iterator[str]:
    """What each address of the target had, where there are several."""
    if not summary.by_address:
        return
    yield "By address:"
    head = ["address", "connections", "not opened", "responses", "errors"]
    rows = [
        [line.address, *map(str, (line.connections, line.failures, line.responses, line.errors))]
        for line in summary.by_address[:LINES_AT_MOST]
    ]
    yield from table(head, rows)
    if len(summary.by_address) > LINES_AT_MOST:
        yield f"  ... and {len(summary.by_address) - LINES_AT_MOST} more, all in the report of --json"


def _level(line: BreakdownLine) -> list[str]:
    if line.first is None:
        return []
    return [f"{line.first:g}" if line.first == line.last else f"{line.first:g}-{line.last:g}"]


def percentile(values: Distribution | None, percent: float) -> str:
    """In seconds; '-' where there is none."""
    for row in values.percentiles if values else ():
        if row.percent == percent and row.value_ns is not None:
            return f"{row.value_ns / 1e9:.4f}"
    return "-"


def thresholds(verdicts: tuple[Verdict, ...], aborted: str) -> Iterator[str]:
    """One line each."""
    if not verdicts and not aborted:
        return
    yield "Thresholds:"
    if aborted:
        yield f"  aborted on\t{aborted}"
    for verdict in verdicts:
        word = {True: "held", False: "missed", None: "not told"}[verdict.holds]
        yield f"  {word}\t{verdict.text} ({verdict.reason or in_words(verdict)})"


def trust(trusted: Trust) -> Iterator[str]:
    """The verdict, and every reason that there is."""
    yield f"Trust: {trusted.verdict}"
    for reason in trusted.reasons:
        yield f"  {reason}"
