"""Takes the agents of a fleet through one run.

waiting for agents    until enough agents are attached and their clocks are known
preparing             each agent gets its assignment, opens its connections and reports that it is ready;
                      if some refuse, or take too long, the plan is dealt out again among the others
running               all agents start at one instant and stream snapshots; one that sends none, or does not end, is lost
collecting            agents that are away have until --lost-timeout to come back with their results
"""

from __future__ import annotations

from collections.abc import Callable

from heyfleet.controller.abort import AbortWatch
from heyfleet.controller.fleet.agent_connection import (
    PREPARING,
    READY,
    RUNNING,
    AgentConnection,
    in_natural_order,
)
from heyfleet.controller.fleet.agent_run import AgentRun
from heyfleet.controller.fleet.collector import Collector
from heyfleet.controller.fleet.receipt import compact
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.fleet.share_seals import ShareSeals, digest_plan
from heyfleet.errors import CannotStartError
from heyfleet.plan.run_id import new_run_id
from heyfleet.plan.sharding import Share, deal
from heyfleet.proto.control_pb2 import FromAgent, Offer, RunRequest
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements

# Between sending the start and the start itself: every agent must have the message, and its workers must have seen it.
_START_MARGIN_NS = 50_000_000
_ROUND_TRIP_AWAITED_NS = 1_000_000_000  # an agent that is farther away starts late, and keeps nobody waiting
_CLOCK_TIMEOUT_S = 5.0
_LOSS_CHECK_S = 0.2
_PREPARE_LIMIT_NS = 150_000_000_000  # the agent's own is shorter, so that its cause is heard
_LATENESS_CHECK_S = 1.0
_LOST_AFTER_STOP_NS = 2_000_000_000  # someone who stops a run by hand does not want to wait for absent agents


class RunCoordinator:
    """Coordinates one run. Time is read from the registry's clock, and waits use the event loop's.

    `exit_reason` tells why an agent can't come back, or returns "". `absent` lists agents that are known not to join,
    each as `name: reason`. `on_interval` receives each second of the run, merged over all agents. With `seals`, a later
    controller can collect the run.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        request: RunRequest,
        *,
        exit_reason: Callable[[str], str] = lambda agent: "",
        absent: Callable[[], list[str]] = list,
        on_interval: IntervalSink = ignore,
        seals: ShareSeals | None = None,
    ) -> None:
        self.registry = registry
        self.request = request
        self.run_id = new_run_id()
        self.stage = "waiting for agents"
        self.stopped = False
        self.abort_reason = ""  # the threshold of --abort-on that stopped the load
        self._on_interval = on_interval
        self._seals = seals
        self.collector = self._new_collector()
        self._exit_reason = exit_reason
        self._absent = absent
        self._refusals: dict[str, str] = {}
        self._excluded: set[str] = set()  # agents that failed to prepare
        self._offered: set[str] = set()  # agents that are attaching and hold results of this run
        self._idle_agents: list[str] = []
        self._all_away_since_ns = 0
        self._abort_watch: AbortWatch | None = None

    def _new_collector(self) -> Collector:
        return Collector(
            self.run_id,
            self.request.plan,
            per_agent=self.request.per_agent,
            on_interval=self._on_interval,
        )

    # Messages of agents: see registry.RunHandler

    def resume_after(self, connection: AgentConnection, offer: Offer) -> int | None:
        """Ask for what is missing of this run. Other runs are not needed."""
        if offer.assignment.run_id != self.run_id or connection.agent not in self.collector.agent_runs:
            return None
        self._offered.add(connection.agent)
        return self.collector.contiguous(connection.agent)

    def on_attach(self, connection: AgentConnection) -> None:
        """Continue with an agent that was away."""
        agent_run = self.collector.agent_runs.get(connection.agent)
        if agent_run is not None:
            self._expect_results(agent_run, self.registry.now_ns())
        if connection.agent in self._excluded:
            # It must not keep connections open for a run that goes on without it.
            connection.stop(self.run_id)
        elif agent_run is None or agent_run.settled or connection.agent in self._refusals:
            pass
        elif not self.collector.started_ns:
            # Its answer may have been lost with the stream, and its preparation with the lease.
            agent_run.state = PREPARING
            connection.assign(agent_run.assignment)
        elif connection.agent not in self._offered:
            self.collector.lose(agent_run, "it was restarted and has lost its results of this run")
            connection.stop(self.run_id)
        elif self.stopped:
            connection.stop(self.run_id)
        self._offered.discard(connection.agent)

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        """Handle a message about this run and ignore others."""
        agent_run = self.collector.agent_runs.get(connection.agent)
        if message.run_id != self.run_id or agent_run is None:
            return
        agent_run.heard_ns = self.registry.now_ns()
        match message.WhichOneof("message"):
            case "snapshot" | "done" if not self.collector.started_ns:
                self.on_invalid_message(connection, message.run_id, "it sent results before the start")
            case "snapshot":
                was_settled = agent_run.settled
                self.collector.on_snapshot(connection, message.snapshot)
                self._check_abort()
                if agent_run.settled == was_settled:
                    return
            case "done":
                self.collector.on_done(connection, message.done)
            case "ready" if agent_run.state == PREPARING:
                agent_run.ready, agent_run.state = compact(message.ready), READY
            case "refusal" if agent_run.state in (PREPARING, READY):
                agent_run.state = ""
                self._refusals[connection.agent] = message.refusal.reason
            case "refusal" if not agent_run.settled:
                self.collector.lose(agent_run, message.refusal.reason, gave_up=True)
        self.registry.changes.notify()

    def on_invalid_message(self, connection: AgentConnection, run_id: str, reason: str) -> None:
        """Go on without an agent that has sent something impossible about this run."""
        agent_run = self.collector.agent_runs.get(connection.agent)
        if run_id != self.run_id or agent_run is None or agent_run.settled:
            return
        if not self.collector.started_ns:
            agent_run.state = ""
            self._refusals[connection.agent] = reason
            connection.stop(self.run_id)
        else:
            self.collector.discredit(agent_run, reason)
        self.registry.changes.notify()

    def _check_abort(self) -> None:
        if self.stopped or self._abort_watch is None:
            return
        if reason := self._abort_watch.check(self.registry.now_ns() / 1e9):
            self.abort_reason = reason
            self.stop()

    # The run

    async def run(self) -> Measurements | None:
        """Carry out the whole run. Return None if it was stopped before the start.

        Raises CannotStartError if too few agents can take part.
        """
        connections = await self._enough_agents()
        while not self.stopped:
            self.stage = "preparing"
            failures = await self._prepare(connections)
            if self.stopped or not failures:
                break
            self._exclude(failures)
            connections = [each for each in connections if each.agent not in failures]
            if len(connections) < self._min_agents:
                self._cancel()
                raise CannotStartError(_summary(failures))
            for agent, reason in failures.items():
                self.registry.reject(agent, reason)
        if self.stopped:
            self._cancel()
            return None
        self._start()
        await self._collect()
        self.collector.intervals.close()
        return self.measurements()

    def stop(self) -> None:
        """Stop the load at once. Results up to here are still collected."""
        if not self.stopped:
            self.stopped = True
            for agent_run in self.collector.agent_runs.values():
                agent_run.stop_at(self.registry.now_ns())
            for agent_run in self.collector.attached:
                agent_run.connection.stop(self.run_id)
            self.registry.changes.notify()

    def measurements(self) -> Measurements:
        """Return everything that is known so far."""
        measurements = self.collector.measurements(
            agents_requested=self.request.agents,
            rejections=[*self.registry.rejections, *self._idle_agents],
        )
        measurements.interrupted = self.stopped and not self.abort_reason
        measurements.aborted_by = self.abort_reason
        return measurements

    def release(self) -> None:
        """Let the agents delete their results, which are in safe hands."""
        self.collector.release()

    @property
    def _min_agents(self) -> int:
        return self.request.min_agents or self.request.agents

    def _usable(self) -> list[AgentConnection]:
        return [each for each in self.registry.attached if each.clock.synchronized and not each.leave_reason]

    async def _enough_agents(self) -> list[AgentConnection]:
        """Wait for the requested number of agents, or for as many as can still come, until --join-timeout."""
        if not self.request.agents:
            self.request.agents = max(len(self.registry.attached), 1)  # all that are attached now
        requested = self.request.agents
        timeout_s = self.request.join_timeout_ns / 1e9

        def decided() -> bool:
            possible = requested - len(self._absent())
            return self.stopped or possible < self._min_agents or len(self._usable()) >= possible

        await self.registry.changes.until(decided, timeout_s)
        usable, absent = self._usable(), list(dict.fromkeys(self._absent()))
        if not self.stopped and len(usable) < self._min_agents:
            causes = absent or [f"{len(usable)} of {requested} agents joined within {timeout_s:g} s"]
            cure = "" if absent else "wait longer with --join-timeout, or accept fewer with --min-agents"
            raise CannotStartError("; ".join([*causes, *self.registry.rejections]), cure)
        for line in absent:
            who, _, reason = line.partition(": ")
            self.registry.reject(who, reason)
        return in_natural_order(usable[:requested])

    async def _prepare(self, connections: list[AgentConnection]) -> dict[str, str]:
        """Take agents to the point where they can start. Return by name why some can't take part."""
        self._deal(connections)
        deadline_ns = self.registry.now_ns() + _PREPARE_LIMIT_NS
        while True:
            left_s = (deadline_ns - self.registry.now_ns()) / 1e9
            await self.registry.changes.until(lambda: self.stopped or not self._preparing(), left_s)
            failures = {**self._refusals, **self._departures(), **self._laggards()}
            if self.stopped or failures:
                return failures
            await self._synchronize_clocks()
            failures = {**self._refusals, **self._departures()}
            if self.stopped or failures or not self._preparing():
                return failures

    def _deal(self, connections: list[AgentConnection]) -> None:
        """Send each agent its share of the plan."""
        self._refusals.clear()
        self.collector = self._new_collector()
        plan = self.request.plan
        shares = deal(len(connections), plan.connections, plan.request_count)
        self._idle_agents = [
            f"{connection.label}: no work left, because the plan has only {len(shares)} connections"
            for connection in connections[len(shares) :]
        ]
        plan_digest = digest_plan(plan) if self._seals else b""
        for connection, share in zip(connections, shares, strict=False):
            agent_run = self.collector.expect(connection, self._assignment(connection, share))
            if self._seals:
                agent_run.seal = self._seals.seal(agent_run.assignment, plan_digest)
            agent_run.state = PREPARING
            connection.assign(agent_run.assignment)

    def _departures(self) -> dict[str, str]:
        return {
            agent: "it left before the start"
            for agent, agent_run in self.collector.agent_runs.items()
            if not agent_run.connection.attached
        }

    def _laggards(self) -> dict[str, str]:
        limit_s = _PREPARE_LIMIT_NS / 1e9
        return {each.connection.agent: f"it was not ready after {limit_s:g} s" for each in self._preparing()}

    def _exclude(self, failures: dict[str, str]) -> None:
        """Go on without some agents, which must not keep connections open for the run."""
        self._excluded.update(failures)
        for agent in failures:
            self.collector.agent_runs[agent].connection.stop(self.run_id)

    async def _synchronize_clocks(self) -> None:
        """Measure the agents' clocks again, shortly before the start."""
        connections = [agent_run.connection for agent_run in self.collector.agent_runs.values()]
        for connection in connections:
            connection.synchronize_clock()
        await self.registry.changes.until(
            lambda: self.stopped or all(each.clock.synchronized or not each.attached for each in connections),
            _CLOCK_TIMEOUT_S,
        )

    def _preparing(self) -> list[AgentRun]:
        return [each for each in self.collector.attached if each.state == PREPARING]

    def _assignment(self, connection: AgentConnection, share: Share) -> Assignment:
        plan = self.request.plan
        if plan.request_count:
            trace_rows = -(-plan.trace_rows * share.request_count // plan.request_count)
        else:
            trace_rows = plan.trace_rows // share.stride
        return Assignment(
            run_id=self.run_id,
            agent=connection.agent,
            plan=plan,
            request_count=share.request_count,
            connections=share.connections,
            first_connection=share.first,
            connection_stride=share.stride,
            trace_rows=trace_rows,
        )

    def _cancel(self) -> None:
        """Give up a run that has not started."""
        for agent_run in self.collector.agent_runs.values():
            agent_run.connection.stop(self.run_id)
            agent_run.connection.release(self.run_id)

    def _start(self) -> None:
        """Tell all agents the instant at which to start."""
        agent_runs = self.collector.agent_runs.values()
        round_trip_ns = max(agent_run.connection.clock.round_trip_ns for agent_run in agent_runs)
        round_trip_ns = min(round_trip_ns, _ROUND_TRIP_AWAITED_NS)
        start_ns = self.registry.now_ns() + _START_MARGIN_NS + 4 * round_trip_ns
        self.collector.started_ns = start_ns
        self.stage = "running"
        self._abort_watch = AbortWatch(self.request.plan, self.collector.stats)
        for agent_run in agent_runs:
            agent_run.state = RUNNING
            self._expect_results(agent_run, start_ns)
            agent_run.connection.start(self.run_id, start_ns, agent_run.seal)
        self.registry.changes.notify()

    async def _collect(self) -> None:
        """Wait until every agent is done or lost. While any is attached, absent agents have time to come back."""
        collector, changes = self.collector, self.registry.changes
        while not collector.settled:
            await changes.until(lambda: collector.settled or not collector.attached, _LATENESS_CHECK_S)
            self._lose_late_agents()
            if collector.attached:
                continue
            self.stage = "collecting"
            self._all_away_since_ns = self.registry.now_ns()
            while not collector.settled and not collector.attached:
                self._lose_overdue_agents()
                await changes.until(lambda: collector.settled or bool(collector.attached), _LOSS_CHECK_S)

    def _expect_results(self, agent_run: AgentRun, since_ns: int) -> None:
        plan = self.request.plan
        end_ns = since_ns if self.stopped or agent_run.done is not None else 0
        if plan.duration_ns and not self.stopped:
            end_ns = self.collector.started_ns + plan.warmup_ns + plan.duration_ns
        agent_run.expect_results(since_ns, end_ns)

    def _lose_late_agents(self) -> None:
        """Expect nothing more of agents that are attached, and neither deliver nor end."""
        for agent_run in self.collector.attached:
            if reason := agent_run.lateness(self.registry.now_ns()):
                agent_run.connection.stop(self.run_id)
                self.collector.lose(agent_run, reason)

    def _lose_overdue_agents(self) -> None:
        timeout_ns = self.request.lost_timeout_ns
        if self.stopped:
            timeout_ns = min(timeout_ns, _LOST_AFTER_STOP_NS)
        for agent_run in self.collector.away:
            connection = agent_run.connection
            away_since_ns = max(connection.detached_ns, self._all_away_since_ns)
            if exit_reason := self._exit_reason(connection.agent):
                self.collector.lose(agent_run, exit_reason)
            elif connection.leave_reason:
                self.collector.lose(agent_run, f"it left: {connection.leave_reason}")
            elif self.registry.now_ns() - away_since_ns >= timeout_ns:
                timeout_s = timeout_ns / 1e9
                self.collector.lose(
                    agent_run, f"not heard from for {timeout_s:g} s after the others had ended"
                )


def _summary(failures: dict[str, str]) -> str:
    """Return one line; agents that fail for the same reason share it."""
    agents_by_reason: dict[str, list[str]] = {}
    for agent, reason in failures.items():
        agents_by_reason.setdefault(reason, []).append(agent)
    return "; ".join(f"{', '.join(agents)}: {reason}" for reason, agents in agents_by_reason.items())
