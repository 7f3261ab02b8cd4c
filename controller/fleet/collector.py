"""Merges the results of one run, from any number of agents and in any order, each snapshot once."""

from __future__ import annotations

from collections.abc import Sequence

from heyfleet.controller.fleet.agent_connection import AWAY, DONE, LOST, AgentConnection
from heyfleet.controller.fleet.agent_run import AgentRun
from heyfleet.controller.fleet.receipt import compact
from heyfleet.controller.fleet.share_limits import check_share, check_totals
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Snapshot
from heyfleet.results import measurements as results
from heyfleet.results.intervals import Intervals, IntervalSink, ignore
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.rolling_window import RollingWindow
from heyfleet.results.stats import Stats
from heyfleet.text import shorten

_REFUSALS_REMEMBERED = 10_000  # of each agent
_START_SLACK_NS = 1_000_000_000


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
                refusal_reason = shorten(str(error))
                self._refuse(agent_run, snapshot.sequence, refusal_reason)
        connection.acknowledge(self.run_id, snapshot.sequence, refusal_reason)
        if agent_run is not None:
            self._settle(agent_run)

    @staticmethod
    def _refuse(agent_run: AgentRun, sequence: int, reason: str) -> None:
        if sequence in agent_run.refused or agent_run.discredited:
            return
        agent_run.add_fault(f"snapshot {sequence} was refused: {reason}")
        if agent_run.refused.gaps < _REFUSALS_REMEMBERED:
            agent_run.refused.add(sequence)

    def _elapsed_ns(self, agent_run: AgentRun) -> int:
        """Return the time from the start to an agent's latest message, or 0 if it is not known."""
        if not self.started_ns:
            return 0
        return max(agent_run.connection.last_heard_ns - self.started_ns, 1)

    def _merge(self, agent_run: AgentRun, snapshot: Snapshot) -> None:
        if agent_run.discredited:
            raise InvalidSnapshotError("nothing more is accepted from this agent in this run")
        if snapshot.agent != agent_run.assignment.agent:
            raise InvalidSnapshotError(f"it names the agent {snapshot.agent!r}")
        if snapshot.sequence in agent_run.merged:
            return
        if snapshot.sequence in agent_run.refused:
            raise InvalidSnapshotError("it was refused before")
        largest = check_share(agent_run, snapshot, self._elapsed_ns(agent_run))
        self.stats.add(snapshot, checked=True)
        agent_run.stats.add(snapshot, checked=True)
        agent_run.merged.add(snapshot.sequence)
        agent_run.numbers += largest
        agent_run.trace_bytes += len(snapshot.trace)
        self.intervals.add(snapshot)
        if snapshot.end_ns >= agent_run.latest.end_ns and snapshot.end_ns > snapshot.begin_ns:
            agent_run.latest = snapshot
        if not agent_run.start_noted and snapshot.first_worker_ns and self.started_ns:
            self._note_start(agent_run, snapshot)

    def _note_start(self, agent_run: AgentRun, snapshot: Snapshot) -> None:
        """Note when an agent's workers began, if that is possible: the skew of all agents is computed from it."""
        agent_run.start_noted = True
        clock = agent_run.connection.clock
        uncertainty_ns = clock.uncertainty_ns(self.started_ns)
        first_ns = clock.to_controller_ns(snapshot.first_worker_ns) - self.started_ns
        last_ns = clock.to_controller_ns(snapshot.last_worker_ns) - self.started_ns
        slack_ns = uncertainty_ns + _START_SLACK_NS
        if not -slack_ns <= first_ns <= last_ns <= self._elapsed_ns(agent_run) + slack_ns:
            agent_run.add_fault(f"its workers began {first_ns} to {last_ns} ns after the agreed start")
            return
        agent_run.first_worker_ns, agent_run.last_worker_ns = first_ns, last_ns
        agent_run.clock_uncertainty_ns = uncertainty_ns

    def on_done(self, connection: AgentConnection, done: Done) -> None:
        """Record an agent's totals; later ones change nothing."""
        agent_run = self.agent_runs.get(connection.agent)
        if agent_run is None or agent_run.discredited:
            return
        if reason := check_totals(agent_run, done, self._elapsed_ns(agent_run)):
            self.discredit(agent_run, reason)
            return
        if agent_run.done is None:
            agent_run.done = compact(done)
            agent_run.stop_at(connection.last_heard_ns)  # the load has ended, and its last snapshots are due
        self._settle(agent_run)

    def discredit(self, agent_run: AgentRun, reason: str) -> None:
        """Go on without an agent that has sent something impossible: it loses its part of the run."""
        agent_run.add_fault(reason)
        agent_run.discredited = True
        self.lose(agent_run, reason)
        agent_run.connection.stop(self.run_id)

    def _settle(self, agent_run: AgentRun) -> None:
        """Mark an agent as done when its totals are here and its snapshots are merged.

        After a refused snapshot the totals suffice: that snapshot will not be sent again.
        """
        if agent_run.discredited:
            return
        if agent_run.done is not None and (agent_run.complete or agent_run.faults):
            agent_run.state = DONE

    def lose(self, agent_run: AgentRun, reason: str, *, gave_up: bool = False) -> None:
        """Expect nothing more of an agent. `gave_up`: the reason is its own."""
        agent_run.state = LOST
        agent_run.loss_reason = shorten(reason)
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
