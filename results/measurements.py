"""All that is known of a run when it has ended, whether one agent made the load or a thousand."""

from __future__ import annotations

from dataclasses import dataclass, field

from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Ready
from heyfleet.results.stats import Stats

DONE = "done"  # it said how its load ended, and all its snapshots came
LOST = "lost"  # it was heard no more, or what it held has not come


@dataclass(slots=True, kw_only=True)
class AgentMeasurements:
    """One agent's part. `stats` has its counters, and its histograms only where they were asked for."""

    agent: str
    host: str
    state: str = DONE
    reason: str = ""  # of a loss, in words
    last_heard_ns: int = 0  # since the start of the run; of a loss
    share: Assignment
    ready: Ready
    done: Done | None
    stats: Stats
    clock_uncertainty_ns: int = 0
    # When its workers began to send, since the agreed start, on the controller's clock, within the uncertainty.
    first_worker_ns: int | None = None
    last_worker_ns: int | None = None
    faults: tuple[str, ...] = ()  # what it said that can't be


@dataclass(slots=True, kw_only=True)
class Measurements:
    """One run: everything merged, and each agent's part."""

    plan: Plan
    stats: Stats
    parts: list[AgentMeasurements]
    agents_requested: int = 0  # 0: this host alone, without a fleet
    turned_away: tuple[str, ...] = ()  # who could not take part, and why
    trace: bytes = b""
    interrupted: bool = False
    aborted: str = ""  # the threshold of --abort-on that ended the load, and what was measured
    recovered: str = ""  # how the results came here, if not by a run that was watched to its end
    run_id: str = ""
    faults: tuple[str, ...] = field(default=())
