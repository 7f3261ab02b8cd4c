"""Merges the results of one run, from any number of agents and in any order, each snapshot once."""

from __future__ import annotations

from collections.abc import Sequence

from heyfleet.controller.fleet.agent_connection import AWAY, DONE, LOST, AgentConnection
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Ready, Snapshot
from heyfleet.results import measurements as results
from heyfleet.results.intervals import Intervals, IntervalSink, ignore
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.rolling_window import RollingWindow
from heyfleet.results.sequence_set import SequenceSet
from heyfleet.results.stats import Stats

_FAULTS_LISTED = 10  # of each agent


class AgentRun:
    """One agent's share of a run, and its results so far."""

    def __init__(self, connection: AgentConnection, assignment: Assignment, *, per_agent: bool) -> None:
        self.connection = connection
        self.assignment = assignment
        self.state = ""
        self.loss_reason = ""
        self.gave_up = False  # it said so, and may delete its results
        self.heard_ns = 0  # when something of this run last arrived from it, on the controller's clock
        self.deadline_ns = (
            0  # when an attached agent must have delivered everything; 0: the load has no fixed end
        )
        self.ready = Ready()
        self.done: Done | None = None
        self.stats = Stats(histograms=per_agent)
        self.merged = SequenceSet()  # snapshots
        self.latest = Snapshot()
        self.first_worker_ns: int | None = None
        self.last_worker_ns: int | None = None
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

    def add_fault(self, line: str) -> None:
        """Record a contradiction in the agent's messages."""
        if len(self.faults) < _FAULTS_LISTED:
            self.faults.append(line)
        else:
            self.unlisted_faults += 1


class Collector:
    """Merges snapshots and totals. `on_interval` receives each second of the run, merged over all agents.

    `started_ns` is the agreed start on the controller's clock, or 0 before the start and where it is not known.
    """

    def __init__(
        self, run_id: str, plan: Plan, *, per_agent: bool = False, on_interval: IntervalSink = ignore
    ) -> None:
        self.run_id = run_id
        self.plan = plan
        self.started_ns = 0
        self.agent_runs: dict[str, AgentRun] = {}
        self.stats = Stats()
        self.recent = RollingWindow(self.stats)
        self.intervals = Intervals(on_interval, plan)
        self._per_agent = per_agent

    def expect(self, connection: AgentConnection, assignment: Assignment) -> AgentRun:
        """Expect results of an agent's assignment."""
        agent_run = AgentRun(connection, assignment, per_agent=self._per_agent)
        self.agent_runs[connection.agent] = agent_run
        return agent_run

    def contiguous(self, agent: str) -> int:
        """Return the sequence number up to which all of an agent's snapshots are merged."""
        return self.stats.contiguous(agent)

    def on_snapshot(self, connection: AgentConnection, snapshot: Snapshot) -> None:
        """Merge a snapshot unless it is merged already, and acknowledge it in any case, so that it is not sent again."""
        agent_run = self.agent_runs.get(connection.agent)
        refusal_reason = ""
        if agent_run is None:
            refusal_reason = "the controller expects no results of this agent in this run"
        else:
            try:
                self._merge(agent_run, snapshot)
            except InvalidSnapshotError as error:
                refusal_reason = str(error)
                agent_run.add_fault(f"snapshot {snapshot.sequence} was refused: {error}")
        connection.acknowledge(self.run_id, snapshot.sequence, refusal_reason)
        if agent_run is not None:
            self._settle(agent_run)

    def _merge(self, agent_run: AgentRun, snapshot: Snapshot) -> None:
        if snapshot.agent != agent_run.assignment.agent:
            raise InvalidSnapshotError(f"it names the agent {snapshot.agent!r}")
        if snapshot.sequence in agent_run.merged:
            return
        share = agent_run.assignment.request_count
        if snapshot.sent and share and (sent := agent_run.stats.counters["sent"] + snapshot.sent) > share:
            raise InvalidSnapshotError(f"{sent} requests sent are more than the agent's share of {share}")
        self.stats.add(snapshot)
        agent_run.stats.add(snapshot, checked=True)
        agent_run.merged.add(snapshot.sequence)
        self.intervals.add(snapshot)
        if snapshot.end_ns >= agent_run.latest.end_ns and snapshot.end_ns > snapshot.begin_ns:
            agent_run.latest = snapshot
        if agent_run.first_worker_ns is None and snapshot.first_worker_ns and self.started_ns:
            clock = agent_run.connection.clock
            agent_run.first_worker_ns = clock.to_controller_ns(snapshot.first_worker_ns) - self.started_ns
            agent_run.last_worker_ns = clock.to_controller_ns(snapshot.last_worker_ns) - self.started_ns
            agent_run.clock_uncertainty_ns = clock.uncertainty_ns(self.started_ns)

    def on_done(self, connection: AgentConnection, done: Done) -> None:
        """Record an agent's totals."""
        agent_run = self.agent_runs.get(connection.agent)
        if agent_run is None:
            return
        if done.agent != agent_run.assignment.agent:
            agent_run.add_fault(f"its totals name the agent {done.agent!r}")
            return
        agent_run.done = done
        self._settle(agent_run)

    def _settle(self, agent_run: AgentRun) -> None:
        """Mark an agent as done when its totals are here and its snapshots are merged.

        After a refused snapshot the totals suffice: that snapshot will not be sent again.
        """
        if agent_run.done is not None and (agent_run.complete or agent_run.faults):
            agent_run.state = DONE

    def lose(self, agent_run: AgentRun, reason: str, *, gave_up: bool = False) -> None:
        """Expect nothing more of an agent. `gave_up`: the reason is its own."""
        agent_run.state = LOST
        agent_run.loss_reason = reason
        agent_run.gave_up = gave_up

    def release(self) -> None:
        """Let the agents that are through with the run delete their results, which are in safe hands."""
        for agent_run in self.agent_runs.values():
            if agent_run.state == DONE or agent_run.gave_up:
                agent_run.connection.release(self.run_id)

    @property
    def settled(self) -> bool:
        """Whether every agent is done or lost."""
        return all(agent_run.settled for agent_run in self.agent_runs.values())

    @property
    def away(self) -> list[AgentRun]:
        """Unsettled agent runs whose agent is not attached."""
        return [
            each for each in self.agent_runs.values() if not each.settled and not each.connection.attached
        ]

    @property
    def attached(self) -> list[AgentRun]:
        """Unsettled agent runs whose agent is attached."""
        return [each for each in self.agent_runs.values() if not each.settled and each.connection.attached]

    def state(self, agent_run: AgentRun) -> str:
        """Return an agent's state for the live status."""
        return agent_run.state if agent_run.settled or agent_run.connection.attached else AWAY

    def measurements(self, *, agents_requested: int = 0, rejections: Sequence[str] = ()) -> Measurements:
        """Return everything that has arrived so far."""
        return Measurements(
            run_id=self.run_id,
            plan=self.plan,
            stats=self.stats,
            agents=[self._agent_measurements(agent_run) for agent_run in self.agent_runs.values()],
            agents_requested=agents_requested or len(self.agent_runs),
            rejections=tuple(rejections),
            trace=self.stats.trace(),
        )

    def _agent_measurements(self, agent_run: AgentRun) -> AgentMeasurements:
        faults = list(agent_run.faults)
        if agent_run.unlisted_faults:
            faults.append(f"and {agent_run.unlisted_faults} more of this kind")
        is_done = agent_run.state == DONE
        return AgentMeasurements(
            agent=agent_run.assignment.agent,
            host=agent_run.connection.facts.host,
            state=results.DONE if is_done else results.LOST,
            reason=agent_run.loss_reason,
            last_heard_ns=0 if is_done else self._last_heard_ns(agent_run),
            share=agent_run.assignment,
            ready=agent_run.ready,
            done=agent_run.done,
            stats=agent_run.stats,
            clock_uncertainty_ns=agent_run.clock_uncertainty_ns,
            first_worker_ns=agent_run.first_worker_ns,
            last_worker_ns=agent_run.last_worker_ns,
            faults=tuple(faults),
        )

    def _last_heard_ns(self, agent_run: AgentRun) -> int:
        """Return when an agent was last heard, in nanoseconds since the start of the run."""
        if not self.started_ns:
            return agent_run.latest.end_ns
        return max(agent_run.connection.last_heard_ns - self.started_ns, 0)
