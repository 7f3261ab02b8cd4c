"""Notes: what a reader of any report should know besides the numbers, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.summary import Summary
from heyfleet.text import plural


def notes(summary: Summary) -> list[str]:
    """Return all notes on a run; contradictions in its numbers come first."""
    return [
        *(f"not reliable: {fault}" for fault in summary.ledger.faults),
        *_fleet_notes(summary),
        *_load_notes(summary),
        *_connection_notes(summary),
        *_http_notes(summary),
        *_number_notes(summary),
    ]


def _fleet_notes(summary: Summary) -> Iterator[str]:
    fleet, ledger = summary.fleet, summary.ledger
    if fleet is None:
        return
    for agent in fleet.agents:
        if agent.last_heard_ns is not None:
            where = f" on {agent.host}" if agent.host else ""
            yield (
                f"agent {agent.agent} was lost: {agent.reason}; last heard {agent.last_heard_ns / 1e9:.1f} s after the "
                f"start; later results are not in this report, but may be in its spool{where}"
            )
    if ledger.missing:
        yield (
            f"{plural(ledger.missing, 'planned request')} of lost or unreliable agents missing: "
            "not known whether they were sent, or how they ended"
        )
    if ledger.lost:
        yield (
            f"{plural(ledger.lost, 'request')} in flight on lost or unreliable agents when they were last heard: "
            "not known how they ended"
        )
    if fleet.agents_joined < fleet.agents_requested:
        yield f"{plural(fleet.agents_requested, 'agent')} requested, {fleet.agents_joined} took part"
    yield from (f"not in this run: {line}" for line in fleet.rejections)
    if fleet.recovery_note:
        yield fleet.recovery_note


def _load_notes(summary: Summary) -> Iterator[str]:
    ledger, generator = summary.ledger, summary.generator
    if generator.connections_used < generator.connections_requested:
        yield (
            f"{plural(generator.connections_requested, 'connection')} requested, {generator.connections_used} used: "
            f"there {'is' if ledger.planned == 1 else 'are'} only {plural(ledger.planned, 'request')}"
        )
    if summary.stopped_by == "signal":
        yield "interrupted: the report covers the run until then"
    if summary.aborted_by:
        yield f"ended by --abort-on: {summary.aborted_by}; the report covers the run until then"
    if summary.stopped_by == "limit":
        yield (
            "the owner of an agent allows no longer run (--max-duration): its load was stopped then, and the report covers "
            "the run until then"
        )
    if ledger.unsent:
        dropped = f", {summary.counters['dropped']} of them dropped because the generator was too late"
        yield (
            f"{plural(ledger.unsent, 'planned request')} not sent before the end of the run"
            f"{dropped if summary.counters['dropped'] else ''}"
        )
    if ledger.abandoned:
        yield (
            f"{plural(ledger.abandoned, 'request')} without a response when the run ended: "
            "counted as abandoned, not included in the times above"
        )


def _connection_notes(summary: Summary) -> Iterator[str]:
    if summary.tls and (tls := summary.plan["tls"]) and not tls["verified"]:
        yield "the server's certificate was not verified (-k)"
    if summary.addresses_unused:
        yield f"addresses of the target that accepted no connection: {', '.join(summary.addresses_unused)}"
    if summary.address_changes:
        yield f"the target's addresses changed {plural(summary.address_changes, 'time')} during the run"
    if summary.lookups_failed:
        yield (
            f"looking up the target's name again failed {plural(summary.lookups_failed, 'time')}: "
            "its previous addresses stayed in use"
        )


def _http_notes(summary: Summary) -> Iterator[str]:
    http, plan = summary.http, summary.plan
    if summary.unfollowed_redirects:
        yield (
            f"{plural(summary.unfollowed_redirects, 'response')} asked for a redirect: "
            "counted like any other status, not followed"
        )
    if summary.counters["unsolicited_responses"]:
        yield (
            f"{plural(summary.counters['unsolicited_responses'], 'connection')} closed because the server sent bytes that no "
            "request had asked for"
        )
    if plan["http"] == "2" and "HTTP/1.1" in http.versions:
        where = " with some agents" if len(http.versions) > 1 else ""
        streams = ", with one request at a time on each connection" if plan["streams"] > 1 else ""
        yield f"the server does not support HTTP/2: HTTP/1.1 was used{where}{streams}"
    if http.streams_allowed is not None and http.streams_allowed < http.streams:
        yield (
            f"the server allows {plural(http.streams_allowed, 'concurrent request')} on each connection, not "
            f"{http.streams}: the others waited, and their latency includes the wait"
        )
    if http.retries:
        yield (
            f"{plural(http.retries, 'retry', 'retries')}: the server refused a request, or closed a kept-alive connection "
            "before it responded; latency counts from the first attempt"
        )


def _number_notes(summary: Summary) -> Iterator[str]:
    if summary.trace_dropped:
        yield f"the rows are incomplete: {plural(summary.trace_dropped, 'response')} did not fit in the trace"
    if summary.latency and summary.latency.clamped:
        yield (
            f"{plural(summary.latency.clamped, 'response')} took longer than the histogram's maximum of 1 hour: "
            "counted there; the average and the slowest are exact"
        )
