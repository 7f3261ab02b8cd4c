"""The results of one run as they come in, from any number of agents, in any order, each of them once."""

from __future__ import annotations

from heyfleet.controller.fleet.agent_connection import AWAY, DONE, LOST, AgentConnection
from heyfleet.controller.fleet.registry import ack
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Ready, Snapshot
from heyfleet.results.intervals import Intervals, IntervalSink, ignore
from heyfleet.results.measurements import DONE as PART_DONE
from heyfleet.results.measurements import LOST as PART_LOST
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.rolling_window import RollingWindow
from heyfleet.results.stats import Stats

_FAULTS_AT_MOST = 10  # of one agent that are told one by one


class AgentRun:
    """One agent's share and what has come of it."""

    def __init__(self, session: AgentConnection, share: Assignment, *, per_agent: bool) -> None:
        self.session = session
        self.share = share
        self.state = ""
        self.reason = ""
        self.ready = Ready()
        self.done: Done | None = None
        self.stats = Stats(histograms=per_agent)
        self.latest = Snapshot()
        self.first_worker_ns: int | None = None
        self.last_worker_ns: int | None = None
        self.clock_uncertainty_ns = 0
        self.faults: list[str] = []
        self.more_faults = 0

    @property
    def complete(self) -> bool:
        """Whether its totals are here, and every snapshot that they are of."""
        return self.done is not None and not self.stats.missing(self.share.agent, self.done.last_sequence)

    @property
    def settled(self) -> bool:
        """Whether nothing more is expected of it."""
        return self.state in (DONE, LOST)

    def fault(self, line: str) -> None:
        """Something that it said can't be."""
        if len(self.faults) < _FAULTS_AT_MOST:
            self.faults.append(line)
        else:
            self.more_faults += 1


class Collector:
    """Merges snapshots and totals. `started_ns` is the agreed start on our clock, 0 before or if not known."""

    def __init__(
        self, run_id: str, plan: Plan, *, per_agent: bool = False, take: IntervalSink = ignore
    ) -> None:
        self.run_id = run_id
        self.plan = plan
        self.per_agent = per_agent
        self.started_ns = 0
        self.parts: dict[str, AgentRun] = {}
        self.stats = Stats()
        self.recent = RollingWindow(self.stats)
        self.intervals = Intervals(take, plan)

    def add_part(self, session: AgentConnection, share: Assignment) -> AgentRun:
        """Expect results of an agent."""
        part = self.parts[session.agent] = AgentRun(session, share, per_agent=self.per_agent)
        return part

    def after(self, agent: str) -> int:
        """Up to which sequence all of an agent's snapshots are here."""
        return self.stats.contiguous(agent)

    def snapshot(self, session: AgentConnection, snapshot: Snapshot) -> None:
        """Merge a snapshot, unless it was merged before; acknowledge it in any case."""
        part = self.parts.get(session.agent)
        refused = "this controller expects nothing of this agent in this run" if part is None else ""
        if part is not None:
            try:
                self._merge(part, snapshot)
            except InvalidSnapshotError as error:
                refused = str(error)
                part.fault(f"snapshot {snapshot.sequence} was refused: {error}")
        ack(session, self.run_id, snapshot.sequence, refused)
        if part is not None:
            self._settle(part)

    def _merge(self, part: AgentRun, snapshot: Snapshot) -> None:
        if snapshot.agent != part.share.agent:
            raise InvalidSnapshotError(f"it is of the agent {snapshot.agent!r}")
        if (
            snapshot.sent
            and part.share.request_count
            and self._sent(part, snapshot) > part.share.request_count
        ):
            raise InvalidSnapshotError(
                f"{self._sent(part, snapshot)} requests sent are more than its share of {part.share.request_count}"
            )
        if not self.stats.add(snapshot):
            return
        part.stats.add(snapshot, checked=True)
        self.intervals.add(snapshot)
        if snapshot.end_ns >= part.latest.end_ns and snapshot.end_ns > snapshot.begin_ns:
            part.latest = snapshot
        if part.first_worker_ns is None and snapshot.first_worker_ns and self.started_ns:
            clock = part.session.clock
            part.first_worker_ns = clock.to_ours(snapshot.first_worker_ns) - self.started_ns
            part.last_worker_ns = clock.to_ours(snapshot.last_worker_ns) - self.started_ns
            part.clock_uncertainty_ns = clock.uncertainty_ns(self.started_ns)

    @staticmethod
    def _sent(part: AgentRun, snapshot: Snapshot) -> int:
        return part.stats.counters["sent"] + snapshot.sent

    def done(self, session: AgentConnection, done: Done) -> None:
        """Take an agent's totals."""
        part = self.parts.get(session.agent)
        if part is not None:
            if done.agent != part.share.agent:
                part.fault(f"its totals are of the agent {done.agent!r}")
                return
            part.done = done
            self._settle(part)

    def _settle(self, part: AgentRun) -> None:
        """An agent is done when its totals are here and each snapshot was merged, or refused: it won't come again."""
        if part.done is not None and (part.complete or part.faults):
            part.state = DONE

    def lose(self, part: AgentRun, reason: str) -> None:
        """Expect nothing more."""
        part.state = LOST
        part.reason = reason

    @property
    def settled(self) -> bool:
        """Whether every agent is done or lost."""
        return all(part.settled for part in self.parts.values())

    @property
    def away(self) -> list[AgentRun]:
        """Parts of agents that are not attached, and not settled."""
        return [part for part in self.parts.values() if not part.settled and not part.session.attached]

    @property
    def present(self) -> list[AgentRun]:
        """Parts of attached agents that are not settled."""
        return [part for part in self.parts.values() if not part.settled and part.session.attached]

    def state(self, part: AgentRun) -> str:
        """As the live view shows it."""
        return part.state if part.settled or part.session.attached else AWAY

    def measured(self, *, agents_requested: int = 0, turned_away: list[str] | None = None) -> Measurements:
        """Everything that is here now."""
        return Measurements(
            run_id=self.run_id,
            plan=self.plan,
            stats=self.stats,
            agents=[self._agent_part(part) for part in self.parts.values()],
            agents_requested=agents_requested or len(self.parts),
            rejections=tuple(turned_away or ()),
            trace=self.stats.trace(),
        )

    def _agent_part(self, part: AgentRun) -> AgentMeasurements:
        faults = list(part.faults)
        if part.more_faults:
            faults.append(f"and {part.more_faults} more of this kind")
        heard_ns = part.session.heard_ns - self.started_ns if self.started_ns else part.latest.end_ns
        return AgentMeasurements(
            agent=part.share.agent,
            host=part.session.facts.host,
            state=PART_DONE if part.state == DONE else PART_LOST,
            reason=part.reason,
            last_heard_ns=max(heard_ns, 0) if part.state != DONE else 0,
            share=part.share,
            ready=part.ready,
            done=part.done,
            stats=part.stats,
            clock_uncertainty_ns=part.clock_uncertainty_ns,
            first_worker_ns=part.first_worker_ns,
            last_worker_ns=part.last_worker_ns,
            faults=tuple(faults),
        )
