"""The report for machines: one JSON document, as docs/report.schema.json describes it."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

from heyfleet.controller.report.notes import notes
from heyfleet.controller.summary import Distribution, Generator, Summary
from heyfleet.controller.target import Url
from heyfleet.proto.fleet_pb2 import Plan

SCHEMA_VERSION = 1
SECRET_HEADER = re.compile(r"auth|cookie|token|secret|key|passw|session|signature|credential", re.IGNORECASE)
HIDDEN = "(hidden)"


def render(summary: Summary, plan: Plan, version: str) -> str:
    """The document as indented text with a line end."""
    return json.dumps(document(summary, plan, version), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(summary: Summary, plan: Plan, version: str) -> dict[str, Any]:
    """The same as plain values; a metric of which nothing was recorded is null."""
    return {
        "schema_version": SCHEMA_VERSION,
        "heyfleet_version": version,
        "plan": _plan(plan),
        "total_ns": summary.total_ns,
        "requests_per_second": summary.requests_per_second,
        "stopped_by": summary.stopped_by,
        "ledger": dataclasses.asdict(summary.ledger),
        "latency": _distribution(summary.latency),
        "latency_histogram": [dataclasses.asdict(bar) for bar in summary.latency_bars],
        "service_time": _distribution(summary.service_time),
        "lookup_ns": summary.lookup_ns,
        "phases": {name: _distribution(phase) for name, phase in summary.phases.items()},
        "statuses": {str(code): count for code, count in summary.statuses.items()},
        "errors": summary.errors,
        "body_bytes": summary.body_bytes,
        "addresses": list(summary.addresses),
        "generator": _generator(summary.generator),
        "notes": notes(summary),
    }


def _plan(plan: Plan) -> dict[str, Any]:
    """What was asked for, without what may be a secret."""
    target = plan.target
    url = Url(target.scheme, target.host, target.port, target.request_target, None)
    return {
        "url": f"{url.scheme}://{url.authority}{url.request_target}",
        "method": plan.method,
        "headers": [
            {"name": header.name, "value": HIDDEN if SECRET_HEADER.search(header.name) else header.value}
            for header in plan.headers
        ],
        "body_bytes": len(plan.body),
        "requests": plan.requests or None,
        "duration_ns": plan.duration_ns or None,
        "connections": plan.connections,
        "rate_per_connection": plan.rate_per_connection or None,
        "timeout_ns": plan.timeout_ns or None,
        "disable_keepalive": plan.disable_keepalive,
        "io": plan.io or None,
        "workers": plan.workers or None,
    }


def _distribution(values: Distribution | None) -> dict[str, Any] | None:
    if values is None:
        return None
    plain = dataclasses.asdict(values)
    plain["percentiles"] = [row for row in plain["percentiles"] if row.pop("needs") <= values.count]
    return plain


def _generator(generator: Generator) -> dict[str, Any]:
    return {
        **dataclasses.asdict(generator),
        "io_note": generator.io_note or None,
        "loop_turn": _distribution(generator.loop_turn),
        "lag": _distribution(generator.lag),
    }
