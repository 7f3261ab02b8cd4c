"""A controller that keeps running: agents stay attached, operators' runs follow each other, results wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from heyfleet import __version__
from heyfleet.controller.fleet.agent_connection import DONE, AgentConnection
from heyfleet.controller.fleet.collector import Collector
from heyfleet.controller.fleet.coordinator import CannotStartError, RunCoordinator
from heyfleet.controller.fleet.registry import AgentRegistry, release
from heyfleet.controller.fleet.status import interval_s, view
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromAgent,
    FromOperator,
    Interval,
    Offer,
    RosterAgent,
    RosterReply,
    RosterRequest,
    RunRequest,
    RunStatus,
    ToOperator,
)
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Refusal
from heyfleet.results.codec import to_message
from heyfleet.results.measurements import Measurements

_RUNS_KEPT = 16
_CHUNK_BYTES = 1 << 20
_NOT_WATCHED = "gathered from what the agents held: the controller that began this run did not see its end"
_NOT_DELIVERED = "gathered after the operator of this run had gone"


class FinishedRun:
    """A run that is over for its operator, or whose operator is unknown: more of it may still come from agents."""

    def __init__(self, gathering: Collector, agents: int, recovered: str) -> None:
        self.gathering = gathering
        self.agents = agents
        self.recovered = recovered
        self.base: Measurements | None = None

    def measured(self) -> Measurements:
        """What is here by now."""
        for part in self.gathering.parts.values():
            if not part.settled:
                part.reason = "its results have not all come here yet; ask again later"
        measured = self.gathering.measured(agents_requested=self.agents)
        if self.base is not None:
            measured.turned_away = self.base.turned_away
            measured.interrupted = self.base.interrupted
            measured.aborted = self.base.aborted
        measured.recovered = self.recovered
        return measured

    def release(self) -> None:
        """The results were handed on."""
        for part in self.gathering.parts.values():
            if part.state == DONE:
                release(part.session, self.gathering.run_id)


class Daemon:
    """Takes operators' calls and agents' messages; says what happens, a line each."""

    def __init__(self, fleet: AgentRegistry, say: Callable[[str], None]) -> None:
        self.fleet = fleet
        self._say = say
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0
        self._conductor: RunCoordinator | None = None
        self._kept: dict[str, FinishedRun] = {}
        fleet.receiver = self

    # What the fleet tells

    def wants(self, session: AgentConnection, offer: Offer) -> int | None:
        """The current run's, a kept run's, or all of one that an earlier controller began."""
        conductor, run_id = self._conductor, offer.assignment.run_id
        if conductor is not None and run_id == conductor.run_id:
            return conductor.wants(session, offer)
        kept = self._kept.get(run_id)
        if kept is None:
            gathering = Collector(run_id, offer.assignment.plan)
            kept = self._keep(gathering, offer.assignment.connection_stride or 1, _NOT_WATCHED)
            self._say(f"run {run_id} was begun by another controller; its results are gathered for `collect`")
        gathering = kept.gathering
        part = gathering.parts.get(session.agent)
        if part is None:
            part = gathering.add_part(session, offer.assignment)
        part.session = session
        if part.state != DONE:
            part.state = ""
        return gathering.after(session.agent)

    def returned(self, session: AgentConnection) -> None:
        """Tell the run, if there is one."""
        if self._conductor is not None:
            self._conductor.returned(session)

    def receive(self, session: AgentConnection, message: FromAgent) -> None:
        """To the run that it is of."""
        if self._conductor is not None and message.run_id == self._conductor.run_id:
            self._conductor.receive(session, message)
            return
        kept = self._kept.get(message.run_id)
        if kept is None:
            return
        match message.WhichOneof("message"):
            case "snapshot":
                kept.gathering.snapshot(session, message.snapshot)
            case "done":
                kept.gathering.done(session, message.done)
            case "ready":
                kept.gathering.parts[session.agent].ready = message.ready

    def _keep(self, gathering: Collector, agents: int, recovered: str) -> FinishedRun:
        kept = self._kept[gathering.run_id] = FinishedRun(gathering, agents, recovered)
        while len(self._kept) > _RUNS_KEPT:
            oldest = next(iter(self._kept))
            self._say(f"run {oldest} is forgotten: {_RUNS_KEPT} newer ones are kept")
            del self._kept[oldest]
        return kept

    # What operators ask

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """One run, when those asked for before it are over."""
        first = await anext(aiter(messages), None)
        if first is None or not first.HasField("run"):
            return
        if refusal := _other_version(first.run.protocol, first.run.version):
            yield refusal
            return
        operator = OperatorStream(messages)
        reader = asyncio.create_task(operator.listen())
        try:
            async with contextlib.aclosing(self._in_turn(first.run, operator)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            reader.cancel()

    async def _in_turn(
        self, request: RunRequest, operator: OperatorStream
    ) -> AsyncGenerator[ToOperator, None]:
        self._waiting += 1
        turn = asyncio.ensure_future(self._one_at_a_time.acquire())
        try:
            while not turn.done():
                if operator.stop.is_set():
                    yield _refused("interrupted while it waited for its turn; nothing was sent")
                    return
                before = (
                    "another run is being made"
                    if self._waiting == 1
                    else f"{self._waiting - 1} runs wait, one is made"
                )
                yield ToOperator(
                    status=RunStatus(stage="queued", message=before, agents_requested=request.agents)
                )
                await asyncio.wait([turn], timeout=1.0)
        finally:
            self._waiting -= 1
            if not turn.done():
                turn.cancel()
        try:
            async with contextlib.aclosing(self._conduct(request, operator)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            self._conductor = None
            self._one_at_a_time.release()

    async def _conduct(
        self, request: RunRequest, operator: OperatorStream
    ) -> AsyncGenerator[ToOperator, None]:
        self.fleet.turned_away.clear()
        intervals: list[Interval] = []  # that the operator has not been sent
        conductor = self._conductor = RunCoordinator(self.fleet, request, take=intervals.append)
        operator.on_stop(conductor.stop)
        self._say(f"run {conductor.run_id} to {request.plan.target.host}")
        conducting = asyncio.ensure_future(conductor.conduct())
        try:
            while not conducting.done():
                yield ToOperator(status=view(conductor))
                for answer in _taken(intervals):
                    yield answer
                await asyncio.wait([conducting], timeout=interval_s(conductor))
            measured = conducting.result()
        except CannotStartError as error:
            self._say(f"run {conductor.run_id} did not begin: {error}")
            yield _refused(str(error))
            return
        finally:
            if not conducting.done():
                # The operator is gone: the load ends, and what was measured is kept.
                conductor.stop()
                measured = await conducting
            if conductor.gathering.started_ns:
                self._keep(conductor.gathering, request.agents, _NOT_DELIVERED).base = conductor.measured()
        if measured is None:
            yield _refused("interrupted before the start; nothing was sent")
            return
        self._say(f"run {conductor.run_id} is over")
        for answer in (*_taken(intervals), *_parts(measured)):
            yield answer
        await operator.received.wait()
        self._kept[conductor.run_id].recovered = "collected again"
        conductor.release()

    async def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """The result of a run that is kept here; the latest, if none is named."""
        if refusal := _other_version(request.protocol, request.version):
            yield refusal
            return
        run_id = request.run_id or next(reversed(self._kept), "")
        kept = self._kept.get(run_id)
        if kept is None:
            known = ", ".join(self._kept) or "none"
            yield _refused(
                f"there is no run {run_id or 'yet'} here; there is {known}"
                if run_id
                else "no run is kept here"
            )
            return
        for answer in _parts(kept.measured()):
            yield answer
        kept.release()

    def roster(self, request: RosterRequest) -> RosterReply:
        """All agents that have joined, and who could not."""
        if refusal := _other_version(request.protocol, request.version):
            return RosterReply(refusal=refusal.refusal)
        agents = [
            RosterAgent(agent=each.agent, facts=each.facts, attached=each.attached, leave_reason=each.left)
            for each in self.fleet.sessions.values()
        ]
        return RosterReply(agents=agents, turned_away=self.fleet.turned_away)


class OperatorStream:
    """What the operator of a run says after its request."""

    def __init__(self, messages: AsyncIterator[FromOperator]) -> None:
        self._messages = messages
        self.stop = asyncio.Event()
        self.received = asyncio.Event()
        self._then: Callable[[], None] = lambda: None

    def on_stop(self, then: Callable[[], None]) -> None:
        """What to do when the operator wants the end; at once, if that was said already."""
        self._then = then
        if self.stop.is_set():
            then()

    async def listen(self) -> None:
        """Until the operator has no more to say."""
        async for message in self._messages:
            if message.HasField("stop"):
                self.stop.set()
                self._then()
            elif message.HasField("result_received"):
                self.received.set()


def _refused(reason: str) -> ToOperator:
    return ToOperator(refusal=Refusal(reason=reason))


def _other_version(spoken: int, version: str) -> ToOperator | None:
    if spoken == PROTOCOL:
        return None
    return _refused(
        f"this command speaks protocol {spoken} (heyfleet {version}), the controller {PROTOCOL} "
        f"(heyfleet {__version__}): install the same version on both"
    )


def _taken(intervals: list[Interval]) -> list[ToOperator]:
    taken = [ToOperator(interval=interval) for interval in intervals]
    intervals.clear()
    return taken


def _parts(measured: Measurements) -> list[ToOperator]:
    whole = to_message(measured).SerializeToString()
    parts = [whole[begin : begin + _CHUNK_BYTES] for begin in range(0, len(whole), _CHUNK_BYTES)]
    return [ToOperator(result=part) for part in [*parts, b""]]
