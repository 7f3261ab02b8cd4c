"""The progress line of a run on this host."""

from __future__ import annotations

from heyfleet import console
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.stats import Stats


class Progress:
    """One line on stderr that is rewritten with each snapshot. Without a terminal nothing is shown."""

    def __init__(self) -> None:
        self._is_visible = console.is_terminal()

    def show_preparation(self, plan: Plan) -> None:
        """Show that the target's name is being resolved and connections are being opened."""
        self._write(f"opening {plan.connections} connections to {plan.target.host}:{plan.target.port}")

    def show(self, stats: Stats, latest: Snapshot) -> None:
        """Show the totals so far and the rate of the latest snapshot."""
        completed = sum(latest.responses.values()) + sum(latest.errors.values())
        seconds = (latest.end_ns - latest.begin_ns) / 1e9
        rate = f"{completed / seconds:.0f}/s" if seconds > 0 else "-"
        errors = stats.errors.total()
        requests = stats.responses.total() + errors
        self._write(f"{stats.end_ns / 1e9:.0f} s   {requests} requests   {rate}   {errors} errors")

    def erase(self) -> None:
        """Remove the line."""
        self._write("")

    def _write(self, line: str) -> None:
        if self._is_visible:
            console.rewrite(line)
