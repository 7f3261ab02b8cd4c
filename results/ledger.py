"""Whether it adds up: planned = sent + unsent + missing, sent = responses + errors + abandoned + lost, snapshots = totals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from heyfleet.proto.stats_pb2 import Done
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where every planned request went."""

    planned: int
    sent: int
    unsent: int
    missing: int  # planned for agents that were lost; it is not known whether they were sent
    responses: int
    errors: int
    abandoned: int
    lost: int  # in flight on agents that were lost, when they were last heard
    faults: tuple[str, ...]  # why the numbers are not to be relied on, one line each


def balance(measured: Measurements) -> Ledger:
    """The agents' totals, with every way in which they, their shares and the merged snapshots contradict each other."""
    stats = measured.stats
    planned = unsent = missing = lost = 0
    faults: list[str] = list(measured.faults)
    for part in measured.parts:
        who = f"agent {part.agent}: " if measured.agents_requested else ""
        faults += [f"{who}{fault}" for fault in (*part.faults, *_of_part(part))]
        sent = part.stats.totals["sent"]
        if part.done is not None:
            planned += part.done.planned
            unsent += part.done.unsent
            missing += max(part.done.sent - sent, 0)
        else:
            planned += part.share.request_count or sent
            missing += max(part.share.request_count - sent, 0)
        lost += _in_flight(part.stats) if part.done is None else 0
    merged = _merged(stats)
    if not faults:
        faults += _of_sums(planned - unsent - missing, merged, lost)
    latency = stats.histogram("latency")
    recorded = latency.count if latency else 0
    if recorded != merged["responses"]:
        faults.append(f"latency: {recorded} were recorded, of {merged['responses']} responses")
    if measured.agents_requested:
        faults += _of_shares(measured)
    return Ledger(
        planned=planned,
        sent=merged["sent"],
        unsent=unsent,
        missing=missing,
        responses=merged["responses"],
        errors=merged["errors"],
        abandoned=merged["abandoned"],
        lost=lost,
        faults=tuple(faults),
    )


def _merged(stats: Stats) -> dict[str, int]:
    return {
        "sent": stats.totals["sent"],
        "responses": stats.responses.total(),
        "errors": stats.errors.total(),
        "abandoned": stats.totals["abandoned"],
    }


def _in_flight(stats: Stats) -> int:
    merged = _merged(stats)
    return merged["sent"] - merged["responses"] - merged["errors"] - merged["abandoned"]


def _of_part(part: AgentMeasurements) -> Iterator[str]:
    """What one agent's totals and snapshots have against each other."""
    if _in_flight(part.stats) < 0:
        yield "its snapshots have more ends of requests than requests"
    done = part.done
    if done is None:
        return
    if done.agent != part.agent:
        yield f"its totals are of the agent {done.agent!r}"
    missing = part.stats.missing(part.agent, done.last_sequence)
    if missing:
        yield f"snapshots: {missing} of {done.last_sequence} did not arrive"
    yield from _of_totals(part.stats, done)
    if done.fault:
        yield f"the load ended early: {done.fault}"
    if done.planned != done.sent + done.unsent:
        yield f"planned {done.planned} is not sent {done.sent} + unsent {done.unsent}"
    if done.sent != done.responses + done.errors + done.abandoned:
        yield (
            f"sent {done.sent} is not responses {done.responses} + errors {done.errors}"
            f" + abandoned {done.abandoned}"
        )


def _of_totals(stats: Stats, done: Done) -> Iterator[str]:
    for name, value in _merged(stats).items():
        if value != (total := getattr(done, name)):
            yield f"{name}: the snapshots add up to {value}, the agent's total is {total}"


def _of_sums(sent: int, merged: dict[str, int], lost: int) -> Iterator[str]:
    if sent != merged["sent"]:
        yield f"planned - unsent - missing is {sent}, but {merged['sent']} were sent"
    ended = merged["responses"] + merged["errors"] + merged["abandoned"] + lost
    if ended != merged["sent"]:
        yield f"responses + errors + abandoned + lost is {ended}, but {merged['sent']} were sent"


def _of_shares(measured: Measurements) -> Iterator[str]:
    """The agents planned what their shares were, and the shares are the plan, where all of them are known."""
    plan, shares = measured.plan, [part.share for part in measured.parts]
    for part in measured.parts:
        if part.done is not None and part.share.request_count not in (0, part.done.planned):
            yield f"agent {part.agent}: it planned {part.done.planned} requests, its share was {part.share.request_count}"
    if len(shares) < max((share.connection_stride for share in shares), default=0):
        return
    for name, label in (("request_count", "requests"), ("connections", "connections")):
        if (total := sum(getattr(share, name) for share in shares)) != getattr(plan, name):
            yield f"the shares have {total} {label}, the plan has {getattr(plan, name)}"
