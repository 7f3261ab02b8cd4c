"""One agent in one run: its share, its results so far, and what is wrong with them."""

from __future__ import annotations

from heyfleet.controller.fleet.agent_connection import DONE, LOST, AgentConnection
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, Ready, Snapshot
from heyfleet.results.sequence_set import SequenceSet
from heyfleet.results.stats import Stats
from heyfleet.text import shorten

_FAULTS_LISTED = 10
# How long an attached agent may take. Its own limits are shorter (agent/held_run.py), so that its cause is heard.
_SILENCE_LIMIT_NS = 90_000_000_000  # between two messages about the run
_OVERRUN_LIMIT_NS = 600_000_000_000  # from the end of the load, or from attaching again, to the last result


class AgentRun:
    """One agent's share of a run, and its results so far."""

    def __init__(self, connection: AgentConnection, assignment: Assignment, *, per_agent: bool) -> None:
        self.connection = connection
        self.assignment = assignment
        self.state = ""
        self.loss_reason = ""
        self.gave_up = False  # it said so, and may delete its results
        self.heard_ns = 0  # when something of this run last arrived from it, on the controller's clock
        # When an attached agent must have delivered everything; 0: the load has no fixed end.
        self.deadline_ns = 0
        self.seal = b""  # of its share; sent with the start
        self.discredited = False  # nothing more is accepted from it
        self.ready = Ready()
        self.done: Done | None = None
        self.stats = Stats(histograms=per_agent)
        self.merged = SequenceSet()  # snapshots
        self.refused = SequenceSet()
        self.numbers = 0  # the sum of each snapshot's largest number, which no sum over snapshots exceeds
        self.trace_bytes = 0
        self.latest = Snapshot()
        self.first_worker_ns: int | None = None
        self.last_worker_ns: int | None = None
        self.start_noted = False
        self.clock_uncertainty_ns = 0
        self.faults: list[str] = []
        self.unlisted_faults = 0

    @property
    def complete(self) -> bool:
        """Whether the totals and all snapshots that they cover have arrived."""
        return self.done is not None and not self.stats.missing(
            self.assignment.agent, self.done.last_sequence
        )

    @property
    def settled(self) -> bool:
        """Whether nothing more is expected of the agent."""
        return self.state in (DONE, LOST)

    def expect_results(self, since_ns: int, end_ns: int) -> None:
        """Set from when the agent must send results, and when its load ends; 0 for a load without a fixed end."""
        self.heard_ns = since_ns
        self.deadline_ns = max(end_ns, since_ns) + _OVERRUN_LIMIT_NS if end_ns else 0

    def stop_at(self, now_ns: int) -> None:
        """Expect the end of a load that was stopped at an instant."""
        end_ns = now_ns + _OVERRUN_LIMIT_NS
        self.deadline_ns = min(self.deadline_ns or end_ns, end_ns)

    def lateness(self, now_ns: int) -> str:
        """Return what takes an attached agent too long, or ""."""
        if now_ns - self.heard_ns > _SILENCE_LIMIT_NS:
            return f"it is attached, but sent no results for {_SILENCE_LIMIT_NS / 1e9:g} s"
        if self.deadline_ns and now_ns > self.deadline_ns:
            return f"its load did not end {_OVERRUN_LIMIT_NS / 1e9:g} s after it should have"
        return ""

    def add_fault(self, line: str) -> None:
        """Record a contradiction in the agent's messages."""
        if len(self.faults) < _FAULTS_LISTED:
            self.faults.append(shorten(line))
        else:
            self.unlisted_faults += 1
