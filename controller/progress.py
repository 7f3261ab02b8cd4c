"""How a run goes on, while it goes on."""

from __future__ import annotations

import sys

from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.stats import Stats


class Progress:
    """One line on a terminal, rewritten with each snapshot; nothing anywhere else."""

    def __init__(self) -> None:
        self._shown = sys.stderr.isatty()

    def prepare(self, plan: Plan) -> None:
        """The load has not begun: names are looked up, connections opened."""
        if self._shown:
            line = f"opening {plan.connections} connections to {plan.target.host}:{plan.target.port}"
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def show(self, stats: Stats, latest: Snapshot) -> None:
        """How far the run is; the rate is that of the latest snapshot."""
        if not self._shown:
            return
        ended = sum(latest.responses.values()) + sum(latest.errors.values())
        seconds = (latest.end_ns - latest.begin_ns) / 1e9
        rate = f"{ended / seconds:.0f}/s" if seconds > 0 else "-"
        requests, errors = stats.responses.total() + stats.errors.total(), stats.errors.total()
        line = f"{stats.end_ns / 1e9:.0f} s   {requests} requests   {rate}   {errors} errors"
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    def erase(self) -> None:
        """Leave no trace of the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
