"""Whether it adds up: planned = sent + unsent, sent = responses + errors + abandoned, snapshots = totals."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.controller.stats import Stats
from heyfleet.proto.fleet_pb2 import Done


@dataclass(frozen=True, slots=True)
class Ledger:
    """Where every planned request went."""

    planned: int
    sent: int
    unsent: int
    responses: int
    errors: int
    abandoned: int
    faults: tuple[str, ...]  # why the numbers are not to be relied on, one line each


def balance(stats: Stats, done: Done) -> Ledger:
    """The agent's totals, with every way in which they and the merged snapshots contradict each other."""
    merged = {
        "sent": stats.totals["sent"],
        "responses": stats.responses.total(),
        "errors": stats.errors.total(),
        "abandoned": stats.totals["abandoned"],
    }
    faults = [
        f"{name}: the snapshots add up to {value}, the agent's total is {total}"
        for name, value in merged.items()
        if value != (total := getattr(done, name))
    ]
    if done.fault:
        faults.append(f"the load ended early: {done.fault}")
    if done.planned != done.sent + done.unsent:
        faults.append(f"planned {done.planned} is not sent {done.sent} + unsent {done.unsent}")
    if done.sent != done.responses + done.errors + done.abandoned:
        faults.append(
            f"sent {done.sent} is not responses {done.responses} + errors {done.errors}"
            f" + abandoned {done.abandoned}"
        )
    latency = stats.histogram("latency")
    recorded = latency.count if latency else 0
    if recorded != merged["responses"]:
        faults.append(f"latency: {recorded} were recorded, of {merged['responses']} responses")
    if missing := stats.missing(done.agent, done.last_sequence):
        faults.append(f"snapshots: {missing} of {done.last_sequence} did not arrive")
    return Ledger(
        planned=done.planned,
        sent=done.sent,
        unsent=done.unsent,
        responses=merged["responses"],
        errors=merged["errors"],
        abandoned=merged["abandoned"],
        faults=tuple(faults),
    )
