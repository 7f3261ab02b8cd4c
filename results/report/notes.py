"""What a reader of any report should know besides the numbers, one line each."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.summary import Summary


def plural(count: int, one: str, many: str = "") -> str:
    """'1 request', '2 requests'."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def faults(summary: Summary) -> list[str]:
    """Why the numbers are not to be relied on, if so."""
    return [f"not to be relied on: {fault}" for fault in summary.ledger.faults]


def notes(summary: Summary) -> list[str]:
    """Every note that this run gives occasion for; what does not add up comes first."""
    return [
        *faults(summary),
        *_of_the_fleet(summary),
        *_of_the_load(summary),
        *_of_the_numbers(summary),
    ]


def _of_the_fleet(summary: Summary) -> Iterator[str]:
    fleet, ledger = summary.fleet, summary.ledger
    if fleet is None:
        return
    for agent in fleet.agents:
        if agent.last_heard_ns is not None:
            where = f" on {agent.host}" if agent.host else ""
            yield (
                f"agent {agent.agent} was lost: {agent.reason}; last heard {agent.last_heard_ns / 1e9:.1f} s after the "
                f"start; what it did after that is not in this report, and may be in its spool{where}"
            )
    if ledger.missing:
        yield (
            f"{plural(ledger.missing, 'planned request')} of lost agents missing: "
            "not known whether they were sent, or how they ended"
        )
    if ledger.lost:
        yield f"{plural(ledger.lost, 'request')} in flight on lost agents when they were last heard: end not known"
    if fleet.joined < fleet.asked:
        yield f"{plural(fleet.asked, 'agent')} asked, {fleet.joined} took part"
    yield from (f"not in this run: {line}" for line in fleet.turned_away)
    if fleet.recovered:
        yield fleet.recovered


def _of_the_load(summary: Summary) -> Iterator[str]:
    ledger, generator = summary.ledger, summary.generator
    if generator.connections_used < generator.connections_asked:
        yield (
            f"{plural(generator.connections_asked, 'connection')} asked, {generator.connections_used} used: "
            f"there {'is' if ledger.planned == 1 else 'are'} only {plural(ledger.planned, 'request')}"
        )
    if summary.stopped_by == "signal":
        yield "interrupted: the report is of what was done until then"
    if summary.aborted:
        yield f"ended by --abort-on: {summary.aborted}; the report is of what was done until then"
    if ledger.unsent:
        dropped = f", {summary.dropped} of them too late by our own fault" if summary.dropped else ""
        yield f"{plural(ledger.unsent, 'planned request')} not sent before the end of the run{dropped}"
    if ledger.abandoned:
        yield (
            f"{plural(ledger.abandoned, 'request')} still without an answer at the end of the run: "
            "counted as abandoned, not waited for, not in the times above"
        )
    if summary.tls and (tls := summary.plan["tls"]) and not tls["verified"]:
        yield "the server's certificate was not verified (-k)"
    yield from _of_http(summary)
    if summary.addresses_unused:
        yield (
            "addresses of the target that accepted no connection, and were not used: "
            + ", ".join(summary.addresses_unused)
        )
    if summary.address_changes:
        yield f"the target's addresses changed {plural(summary.address_changes, 'time')} during the run"
    if summary.lookups_failed:
        yield f"{plural(summary.lookups_failed, 'time')} the target's name was not found again: its old addresses stayed"
    if summary.unfollowed_redirects:
        yield (
            f"{plural(summary.unfollowed_redirects, 'answer')} asked for a redirect: "
            "counted as any status, not followed"
        )
    if summary.unsolicited_responses:
        yield (
            f"{plural(summary.unsolicited_responses, 'connection')} closed by us: the server sent bytes that no "
            "request had asked for"
        )


def _of_http(summary: Summary) -> Iterator[str]:
    http, plan = summary.http, summary.plan
    if plan["http"] == "2" and "HTTP/1.1" in http.spoken:
        where = "on some agents " if len(http.spoken) > 1 else ""
        one = ", one request at a time on each connection" if plan["streams"] > 1 else ""
        yield f"the server does not take HTTP/2: {where}HTTP/1.1 was spoken{one}"
    if http.streams_allowed is not None and http.streams_allowed < http.streams:
        yield (
            f"the server allows {plural(http.streams_allowed, 'request')} at a time on each connection, not {http.streams}: "
            "others waited for one to end, which is in their latency"
        )
    if http.retries:
        yield (
            f"{plural(http.retries, 'time')} a request was sent again: the server had refused it, "
            "or ended a kept connection before it answered; its time ran on"
        )


def _of_the_numbers(summary: Summary) -> Iterator[str]:
    if summary.trace_dropped:
        yield f"the rows are cut: {plural(summary.trace_dropped, 'response')} more than there was room for"
    if summary.latency and summary.latency.clamped:
        yield (
            f"{plural(summary.latency.clamped, 'response')} took longer than the histogram's 1 hour: "
            "counted there; the average and the slowest are exact"
        )
