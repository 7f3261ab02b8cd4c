"""The report as one JSON document, described by docs/reference/report.schema.json."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

from heyfleet import __version__
from heyfleet.results.breakdown import BreakdownLine
from heyfleet.results.distribution import Distribution
from heyfleet.results.report.notes import notes
from heyfleet.results.summary import Generator, Summary
from heyfleet.text import dump_json

SCHEMA_VERSION = 3


class SearchStep(Protocol):
    """One run of a search for the highest rate."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        ...

    @property
    def result(self) -> str:
        """Whether the rate passed."""
        ...

    @property
    def reason(self) -> str:
        """Why it did not pass."""
        ...

    @property
    def summary(self) -> Summary:
        """The run."""
        ...


def render(summary: Summary) -> str:
    """Return the document as indented text that ends with a newline."""
    return dump_json(document(summary))


def document(summary: Summary) -> dict[str, Any]:
    """Return the document as plain values; a metric without values is None."""
    return {
        "schema_version": SCHEMA_VERSION,
        "heyfleet_version": __version__,
        "plan": summary.plan,
        "total_ns": summary.total_ns,
        "requests_per_second": summary.requests_per_second,
        "stopped_by": summary.stopped_by,
        "aborted_by": summary.aborted_by or None,
        "ledger": dataclasses.asdict(summary.ledger),
        "latency": distribution_values(summary.latency),
        "latency_histogram": [dataclasses.asdict(bar) for bar in summary.latency_bars],
        "service_time": distribution_values(summary.service_time),
        "kernel_latency": distribution_values(summary.kernel_latency),
        "lookup_ns": summary.lookup_ns,
        "phases": {name: distribution_values(phase) for name, phase in summary.phases.items()},
        "statuses": {str(code): count for code, count in summary.statuses.items()},
        "errors": summary.errors,
        "counters": summary.counters,
        "body_bytes": summary.body_bytes,
        "decoded_bytes": summary.decoded_bytes,
        "redirects": summary.redirects,
        "addresses": list(summary.addresses),
        "addresses_unused": list(summary.addresses_unused),
        "by_address": [dataclasses.asdict(line) for line in summary.by_address],
        "address_changes": summary.address_changes,
        "lookups_failed": summary.lookups_failed,
        "http": dataclasses.asdict(summary.http),
        "tls": dataclasses.asdict(summary.tls) if summary.tls else None,
        "generator": _generator(summary.generator),
        "warmup": _breakdown(summary.warmup) if summary.warmup else None,
        "stages": [_breakdown(line) for line in summary.stages],
        "requests": [_breakdown(line) for line in summary.requests],
        "thresholds": [dataclasses.asdict(verdict) for verdict in summary.thresholds],
        "trust": dataclasses.asdict(summary.trust),
        "fleet": dataclasses.asdict(summary.fleet) if summary.fleet else None,
        "agents": [_agent(agent) for agent in summary.agents],
        "notes": notes(summary),
    }


def render_search(steps: Sequence[SearchStep], best: SearchStep | None) -> str:
    """Return the steps of --find-max and the whole report of the best run."""
    return dump_json(
        {
            "schema_version": SCHEMA_VERSION,
            "heyfleet_version": __version__,
            "highest_rate": best.rate if best else None,
            "steps": [{"rate": step.rate, "result": step.result, "reason": step.reason} for step in steps],
            "best": document(best.summary) if best else None,
        }
    )


def _agent(summary: Summary) -> dict[str, Any]:
    """Return the numbers of one agent, for --per-agent."""
    return {
        "agent": summary.agent,
        "total_ns": summary.total_ns,
        "requests_per_second": summary.requests_per_second,
        "latency": distribution_values(summary.latency),
        "latency_histogram": [dataclasses.asdict(bar) for bar in summary.latency_bars],
        "statuses": {str(code): count for code, count in summary.statuses.items()},
        "errors": summary.errors,
    }


def _breakdown(line: BreakdownLine) -> dict[str, Any]:
    return {**dataclasses.asdict(line), "latency": distribution_values(line.latency)}


def distribution_values(values: Distribution | None) -> dict[str, Any] | None:
    """Return a metric as plain values, with the percentiles that the sample supports; None if it has no values."""
    if values is None:
        return None
    plain = dataclasses.asdict(values)
    plain["percentiles"] = [
        {"percent": row.percent, "value_ns": row.value_ns}
        for row in values.percentiles
        if row.value_ns is not None
    ]
    return plain


def _generator(generator: Generator) -> dict[str, Any]:
    return {
        **dataclasses.asdict(generator),
        "io_note": generator.io_note or None,
        "loop_turn": distribution_values(generator.loop_turn),
        "lag": distribution_values(generator.lag),
        "generator_lag": distribution_values(generator.generator_lag),
    }
