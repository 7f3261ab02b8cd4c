"""Everything that is known about a run that has ended, whether one agent generated the load or a thousand."""

from __future__ import annotations

from dataclasses import dataclass, field

from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Ready
from heyfleet.results.stats import Stats

DONE = "done"  # the agent's totals and all of its snapshots arrived
LOST = "lost"  # contact was lost, or results are missing


@dataclass(slots=True, kw_only=True)
class AgentMeasurements:
    """What one agent did. `stats` has its counters, and histograms only if they were requested per agent."""

    agent: str
    host: str
    state: str = DONE
    reason: str = ""  # why it was lost
    last_heard_ns: int = 0  # since the start of the run, if it was lost
    share: Assignment
    ready: Ready
    done: Done | None
    stats: Stats
    clock_uncertainty_ns: int = 0
    # When its first and last worker began to send, since the agreed start, on the controller's clock.
    first_worker_ns: int | None = None
    last_worker_ns: int | None = None
    faults: tuple[str, ...] = ()  # contradictions in what it sent

    @property
    def elapsed_ns(self) -> int:
        """How long it generated load; for a lost agent, until its last snapshot."""
        return self.done.elapsed_ns if self.done else self.stats.end_ns


@dataclass(slots=True, kw_only=True)
class Measurements:
    """One run: everything merged, and each agent."""

    plan: Plan
    stats: Stats
    agents: list[AgentMeasurements]
    agents_requested: int = 0  # 0: this host alone, without a fleet
    rejections: tuple[str, ...] = ()  # agents that could not take part, with the reason
    trace: bytes = b""
    interrupted: bool = False
    aborted_by: str = ""  # the --abort-on threshold that ended the load
    recovery_note: str = ""  # how the results got here, if the run was not watched to its end
    run_id: str = ""
    faults: tuple[str, ...] = field(default=())
