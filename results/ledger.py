"""The ledger: planned = sent + unsent + missing, and sent = responses + errors + abandoned + lost.

Every way in which totals, shares and merged snapshots contradict each other becomes a fault. The totals of an agent
that contradicts itself count for nothing: the ledger has what was merged of it, as of an agent that was lost.
"""

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
    missing: int  # planned for agents that were lost; not known whether they were sent
    responses: int
    errors: int
    abandoned: int
    lost: int  # in flight on agents when they were last heard
    faults: tuple[str, ...]  # why the numbers are not reliable, one line each


def balance(measurements: Measurements) -> Ledger:
    """Add up the agents' totals and check them against their shares and the merged snapshots."""
    stats = measurements.stats
    planned = unsent = missing = lost = 0
    faults: list[str] = list(measurements.faults)
    for agent in measurements.agents:
        prefix = f"agent {agent.agent}: " if measurements.agents_requested else ""
        contradictions = (*agent.faults, *_contradictions(agent))
        faults += [f"{prefix}{fault}" for fault in contradictions]
        if agent.done is not None and agent.done.fault:
            faults.append(f"{prefix}the load ended early: {agent.done.fault}")
        sent = agent.stats.counters["sent"]
        if agent.done is not None and not contradictions:
            planned += agent.done.planned
            unsent += agent.done.unsent
        else:
            planned += max(agent.share.request_count, sent)
            missing += max(agent.share.request_count - sent, 0)
            lost += max(agent.stats.in_flight, 0)
    merged = _totals(stats)
    faults += _sum_faults(planned - unsent - missing, merged, lost)
    latency = stats.histogram("latency")
    latencies = latency.count if latency else 0
    if latencies != merged["responses"]:
        faults.append(f"{merged['responses']} responses, but {latencies} latencies")
    if measurements.agents_requested:
        faults += _share_faults(measurements)
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


def _totals(stats: Stats) -> dict[str, int]:
    return {
        "sent": stats.counters["sent"],
        "responses": stats.responses.total(),
        "errors": stats.errors.total(),
        "abandoned": stats.counters["abandoned"],
    }


def _contradictions(agent: AgentMeasurements) -> Iterator[str]:
    """Contradictions between one agent's totals and its snapshots."""
    if agent.stats.in_flight < 0:
        yield "its snapshots end more requests than they send"
    done = agent.done
    if done is None:
        return
    if done.agent != agent.agent:
        yield f"its totals are those of agent {done.agent!r}"
    missing = agent.stats.missing(agent.agent, done.last_sequence)
    if missing:
        yield f"{missing} of {done.last_sequence} snapshots did not arrive"
    yield from _total_faults(agent.stats, done)
    if agent.share.request_count not in (0, done.planned):
        yield f"it planned {done.planned} requests, its share is {agent.share.request_count}"
    if done.planned != done.sent + done.unsent:
        yield f"planned {done.planned} is not sent {done.sent} + unsent {done.unsent}"
    if done.sent != done.responses + done.errors + done.abandoned:
        yield (
            f"sent {done.sent} is not responses {done.responses} + errors {done.errors}"
            f" + abandoned {done.abandoned}"
        )


def _total_faults(stats: Stats, done: Done) -> Iterator[str]:
    for name, value in _totals(stats).items():
        if value != (total := getattr(done, name)):
            yield f"{name}: the snapshots add up to {value}, the agent's total is {total}"


def _sum_faults(sent: int, merged: dict[str, int], lost: int) -> Iterator[str]:
    if sent != merged["sent"]:
        yield f"planned - unsent - missing is {sent}, but {merged['sent']} were sent"
    total = merged["responses"] + merged["errors"] + merged["abandoned"] + lost
    if total != merged["sent"]:
        yield f"responses + errors + abandoned + lost is {total}, but {merged['sent']} were sent"


def _share_faults(measurements: Measurements) -> Iterator[str]:
    """Differences between the sum of all shares and the plan."""
    plan, shares = measurements.plan, [agent.share for agent in measurements.agents]
    if len(shares) < max((share.connection_stride for share in shares), default=0):
        return  # not all shares are known
    for name, label in (("request_count", "requests"), ("connections", "connections")):
        if (total := sum(getattr(share, name) for share in shares)) != getattr(plan, name):
            yield f"the shares add up to {total} {label}, the plan has {getattr(plan, name)}"
