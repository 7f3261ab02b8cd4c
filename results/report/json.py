"""The report for machines: one JSON document, as docs/report.schema.json describes it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, Protocol

from heyfleet.results.breakdown import BreakdownLine
from heyfleet.results.distribution import Distribution
from heyfleet.results.report.notes import notes
from heyfleet.results.summary import Generator, Summary

SCHEMA_VERSION = 2


class Step(Protocol):
    """One run of a search."""

    @property
    def rate(self) -> float:
        """Requests a second."""
        ...

    @property
    def outcome(self) -> str:
        """Whether it held."""
        ...

    @property
    def why(self) -> str:
        """If not, why."""
        ...

    @property
    def summary(self) -> Summary:
        """Of the run."""
        ...


def render(summary: Summary, version: str) -> str:
    """The document as indented text with a line end."""
    return json.dumps(document(summary, version), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(summary: Summary, version: str) -> dict[str, Any]:
    """The same as plain values; a metric of which nothing was recorded is null."""
    return {
        "schema_version": SCHEMA_VERSION,
        "heyfleet_version": version,
        "plan": summary.plan,
        "total_ns": summary.total_ns,
        "requests_per_second": summary.requests_per_second,
        "stopped_by": summary.stopped_by,
        "ledger": dataclasses.asdict(summary.ledger),
        "latency": distribution_of(summary.latency),
        "latency_histogram": [dataclasses.asdict(bar) for bar in summary.latency_bars],
        "service_time": distribution_of(summary.service_time),
        "kernel_latency": distribution_of(summary.kernel_latency),
        "lookup_ns": summary.lookup_ns,
        "phases": {name: distribution_of(phase) for name, phase in summary.phases.items()},
        "statuses": {str(code): count for code, count in summary.statuses.items()},
        "errors": summary.errors,
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
        "warmup": _part(summary.warmup) if summary.warmup else None,
        "stages": [_part(line) for line in summary.stages],
        "requests": [_part(line) for line in summary.requests],
        "thresholds": [dataclasses.asdict(verdict) for verdict in summary.thresholds],
        "aborted": summary.aborted or None,
        "trust": dataclasses.asdict(summary.trust),
        "fleet": dataclasses.asdict(summary.fleet) if summary.fleet else None,
        "agents": [_agent(agent) for agent in summary.agents],
        "notes": notes(summary),
    }


def render_search(steps: Sequence[Step], best: Step | None, version: str) -> str:
    """What --find-max did, and the whole report of the best run."""
    found = {
        "schema_version": SCHEMA_VERSION,
        "heyfleet_version": version,
        "highest_rate": best.rate if best else None,
        "steps": [{"rate": step.rate, "outcome": step.outcome, "why": step.why} for step in steps],
        "best": document(best.summary, version) if best else None,
    }
    return json.dumps(found, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _agent(summary: Summary) -> dict[str, Any]:
    """What is asked for with --per-agent, of one agent."""
    return {
        "agent": summary.agent,
        "total_ns": summary.total_ns,
        "requests_per_second": summary.requests_per_second,
        "latency": distribution_of(summary.latency),
        "latency_histogram": [dataclasses.asdict(bar) for bar in summary.latency_bars],
        "statuses": {str(code): count for code, count in summary.statuses.items()},
        "errors": summary.errors,
    }


def _part(line: BreakdownLine) -> dict[str, Any]:
    return {**dataclasses.asdict(line), "latency": distribution_of(line.latency)}


def distribution_of(values: Distribution | None) -> dict[str, Any] | None:
    """A metric as plain values; None if nothing was recorded."""
    if values is None:
        return None
    plain = dataclasses.asdict(values)
    plain["percentiles"] = [row for row in plain["percentiles"] if row.pop("needs") <= values.count]
    return plain


def _generator(generator: Generator) -> dict[str, Any]:
    return {
        **dataclasses.asdict(generator),
        "io_note": generator.io_note or None,
        "loop_turn": distribution_of(generator.loop_turn),
        "lag": distribution_of(generator.lag),
        "generator_lag": distribution_of(generator.generator_lag),
    }
