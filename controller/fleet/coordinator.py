"""The life of one run on a fleet: agents gathered, prepared, started at one instant, heard to the end."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable

from heyfleet.controller.abort import AbortWatch
from heyfleet.controller.fleet.agent_connection import DONE, PREPARING, READY, RUNNING, AgentConnection
from heyfleet.controller.fleet.collector import AgentRun, Collector
from heyfleet.controller.fleet.registry import AgentRegistry, release
from heyfleet.plan.sharding import Share, deal
from heyfleet.proto.control_pb2 import FromAgent, Offer, RunRequest, Start, Stop, ToAgent
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements

# From the order to the start: every agent must have the order, and its workers must have seen it.
_START_MARGIN_NS = 50_000_000
_CLOCK_TIMEOUT_S = 5.0
_LOST_AFTER_STOP_S = 2.0  # who ends a run by hand does not want to wait for the missing


class CannotStartError(Exception):
    """The run can't begin; nothing was sent."""


class RunCoordinator:
    """Takes the agents of `fleet` through one run.

    `died` tells why an agent can't come back, if so; `absent` of whom it is known, before the run, that they won't join.
    """

    def __init__(
        self,
        fleet: AgentRegistry,
        request: RunRequest,
        *,
        died: Callable[[str], str] = lambda agent: "",
        absent: Callable[[], list[str]] = list,
        take: IntervalSink = ignore,
    ) -> None:
        self.fleet = fleet
        self.request = request
        self.stage = "waiting for agents"
        self.stopped = False
        self.run_id = os.urandom(8).hex()
        self._take = take
        self.gathering = self._new_gathering()
        self._died = died
        self._absent = absent
        self._refused: dict[str, str] = {}
        self._offered: set[str] = set()
        self._quiet_since_s = 0.0  # since when no agent that is attached has work left
        self._left_out: list[str] = []
        self._watch: AbortWatch | None = None
        self.aborted = ""  # the threshold that ended the load

    def _new_gathering(self) -> Collector:
        return Collector(self.run_id, self.request.plan, per_agent=self.request.per_agent, take=self._take)

    # What the fleet tells

    def wants(self, session: AgentConnection, offer: Offer) -> int | None:
        """The rest of what this very run is to have of the agent."""
        if offer.assignment.run_id != self.run_id or session.agent not in self.gathering.parts:
            return None
        self._offered.add(session.agent)
        return self.gathering.after(session.agent)

    def returned(self, session: AgentConnection) -> None:
        """Go on with an agent that was away; without its results it is lost, whatever it calls itself."""
        part = self.gathering.parts.get(session.agent)
        if part is not None and part.state == RUNNING:
            if session.agent not in self._offered:
                self.gathering.lose(part, "it was started again, and holds nothing of this run")
            elif self.stopped:
                session.send(ToAgent(stop=Stop(), run_id=self.run_id))
        self._offered.discard(session.agent)

    def receive(self, session: AgentConnection, message: FromAgent) -> None:
        """A message of a run from an agent; of another run than this, nothing."""
        part = self.gathering.parts.get(session.agent)
        if message.run_id != self.run_id or part is None:
            return
        match message.WhichOneof("message"):
            case "snapshot":
                settled = part.settled
                self.gathering.snapshot(session, message.snapshot)
                self._look_whether_to_abort()
                if settled == part.settled:
                    return
            case "done":
                self.gathering.done(session, message.done)
            case "ready" if part.state == PREPARING:
                part.ready, part.state = message.ready, READY
            case "refusal" if part.state == PREPARING:
                part.state = ""
                self._refused[session.agent] = message.refusal.reason
        self.fleet.changes.notify()

    def _look_whether_to_abort(self) -> None:
        if not self.stopped and self._watch is not None and (text := self._watch.look(time.monotonic())):
            self.aborted = text
            self.stop()

    # The life

    async def conduct(self) -> Measurements | None:
        """The whole run. None if it was stopped before the start; CannotStartError if too few agents can take part."""
        sessions = await self._enough_agents()
        while not self.stopped:
            self.stage = "preparing"
            failed = await self._prepare(sessions)
            if self.stopped or not failed:
                break
            sessions = [session for session in sessions if session.agent not in failed]
            if len(sessions) < self._least:
                self._give_up()
                raise CannotStartError(self._why(failed))
            for agent, reason in failed.items():
                self.fleet.turn_away(agent, reason)
        if not self.stopped:
            await self._start()
        if self.stopped and not self.gathering.started_ns:
            self._give_up()
            return None
        await self._hear_to_the_end()
        self.gathering.intervals.close()
        return self.measured()

    def stop(self) -> None:
        """End the load at once; what was measured is still gathered."""
        if not self.stopped:
            self.stopped = True
            for part in self.gathering.present:
                part.session.send(ToAgent(stop=Stop(), run_id=self.run_id))
            self.fleet.changes.notify()

    def measured(self) -> Measurements:
        """All that is known now."""
        measured = self.gathering.measured(
            agents_requested=self.request.agents, turned_away=[*self.fleet.turned_away, *self._left_out]
        )
        measured.interrupted = self.stopped and not self.aborted
        measured.aborted = self.aborted
        return measured

    def release(self) -> None:
        """The results are in safe hands: agents may forget what they hold."""
        for part in self.gathering.parts.values():
            if part.state == DONE:
                release(part.session, self.run_id)

    @property
    def _least(self) -> int:
        return self.request.min_agents or self.request.agents

    def _usable(self) -> list[AgentConnection]:
        return [session for session in self.fleet.attached if session.clock.measured and not session.left]

    async def _enough_agents(self) -> list[AgentConnection]:
        if not self.request.agents:
            self.request.agents = max(len(self.fleet.attached), 1)  # all that are there now
        wanted = self.request.agents
        timeout_s = self.request.join_timeout_ns / 1e9

        def decided() -> bool:
            possible = wanted - len(self._absent())
            return self.stopped or possible < self._least or len(self._usable()) >= possible

        await self.fleet.changes.until(decided, timeout_s)
        usable, absent = self._usable(), list(dict.fromkeys(self._absent()))
        if not self.stopped and len(usable) < self._least:
            missing = "; ".join(absent) or (
                f"{len(usable)} of {wanted} agents joined within {timeout_s:g} s"
                f" (at least {self._least} are needed; --join-timeout waits longer)"
            )
            raise CannotStartError("; ".join([missing, *self.fleet.turned_away]))
        for line in absent:
            who, _, why = line.partition(": ")
            self.fleet.turn_away(who, why)
        return sorted(usable[:wanted], key=lambda session: _natural(session.agent))

    async def _prepare(self, sessions: list[AgentConnection]) -> dict[str, str]:
        """Deal the plan out; who can't take part, and why."""
        self._refused.clear()
        self.gathering = self._new_gathering()
        shares = deal(len(sessions), self.request.plan.connections, self.request.plan.request_count)
        self._left_out = [
            f"{session.label}: there was nothing to do for it: the plan has only {len(shares)} connections"
            for session in sessions[len(shares) :]
        ]
        for session, share in zip(sessions, shares, strict=False):
            part = self.gathering.add_part(session, self._assignment(session, share))
            part.state = PREPARING
            session.send(ToAgent(assignment=part.share, run_id=self.run_id))
        await self.fleet.changes.until(lambda: self.stopped or not self._preparing())
        failed = dict(self._refused)
        for part in self.gathering.parts.values():
            if not part.session.attached:
                failed[part.session.agent] = "it left before the start"
        return failed

    def _preparing(self) -> list[AgentRun]:
        return [
            part
            for part in self.gathering.parts.values()
            if part.state == PREPARING and part.session.attached
        ]

    def _assignment(self, session: AgentConnection, share: Share) -> Assignment:
        plan = self.request.plan
        rows = plan.trace_rows
        return Assignment(
            run_id=self.run_id,
            agent=session.agent,
            plan=plan,
            request_count=share.request_count,
            connections=share.connections,
            first_connection=share.first,
            connection_stride=share.stride,
            trace_rows=-(-rows * share.request_count // plan.request_count)
            if plan.request_count
            else rows // share.stride,
        )

    def _why(self, failed: dict[str, str]) -> str:
        reasons = set(failed.values())
        if len(reasons) == 1:
            return f"{', '.join(failed)}: {reasons.pop()}"
        return "; ".join(f"{agent}: {reason}" for agent, reason in failed.items())

    def _give_up(self) -> None:
        for part in self.gathering.parts.values():
            part.session.send(ToAgent(stop=Stop(), run_id=self.run_id))
            release(part.session, self.run_id)

    async def _start(self) -> None:
        parts = list(self.gathering.parts.values())
        for part in parts:
            part.session.measure_clock()
        await self.fleet.changes.until(
            lambda: self.stopped or all(p.session.clock.measured or not p.session.attached for p in parts),
            _CLOCK_TIMEOUT_S,
        )
        if self.stopped:
            return
        round_trip_ns = max(part.session.clock.round_trip_ns for part in parts)
        start_ns = time.monotonic_ns() + _START_MARGIN_NS + 4 * round_trip_ns
        self.gathering.started_ns = start_ns
        self.stage = "running"
        self._watch = AbortWatch(self.request.plan, self.gathering.stats)
        for part in parts:
            part.state = RUNNING
            at_ns = part.session.clock.to_agent(start_ns)
            part.session.send(ToAgent(start=Start(at_ns=at_ns), run_id=self.run_id))
        self.fleet.changes.notify()

    async def _hear_to_the_end(self) -> None:
        gathering = self.gathering
        while not gathering.settled:
            await self.fleet.changes.until(lambda: gathering.settled or not gathering.present, None)
            self.stage = "collecting"
            self._quiet_since_s = time.monotonic()
            while not gathering.settled and not gathering.present:
                self._lose_the_overdue()
                await self.fleet.changes.until(lambda: gathering.settled or bool(gathering.present), 0.2)

    def _lose_the_overdue(self) -> None:
        patience_s = self.request.lost_timeout_ns / 1e9
        if self.stopped:
            patience_s = min(patience_s, _LOST_AFTER_STOP_S)
        for part in self.gathering.away:
            session = part.session
            died = self._died(session.agent)
            waited_s = time.monotonic() - max(session.away_since_s, self._quiet_since_s)
            if died:
                self.gathering.lose(part, died)
            elif session.left:
                self.gathering.lose(part, f"it left: {session.left}")
            elif waited_s >= patience_s:
                self.gathering.lose(part, f"not heard of again, {patience_s:g} s after the others had ended")


def _natural(name: str) -> list[tuple[int, str]]:
    """For sorting: numbers in a name by their value."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)]
