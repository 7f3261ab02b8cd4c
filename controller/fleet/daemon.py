"""A long-running controller: agents stay attached, operators' runs follow each other, and results are kept for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable

from heyfleet import __version__
from heyfleet.controller.fleet.agent_connection import AgentConnection
from heyfleet.controller.fleet.collector import Collector
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.finished_runs import FinishedRun, FinishedRuns
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.fleet.share_seals import ShareSeals
from heyfleet.controller.fleet.status import run_status, status_interval_s
from heyfleet.errors import CannotStartError, HeyfleetError
from heyfleet.plan.validation import validate_run_request
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

_CHUNK_BYTES = 1 << 20
_QUEUE_STATUS_S = 1.0
_REQUEST_LIMIT_S = 60.0  # until an operator that calls says what it wants
_CONFIRM_LIMIT_S = 60.0  # from the last of the result to the operator's word that it has it
_QUEUED_AT_MOST = 16  # each run is held with its plan, which may have 15 MiB
_NOT_WATCHED = "collected from the agents, because the controller that began this run did not see its end"
_NOT_DELIVERED = "collected after the operator of this run had disconnected"
_COLLECTED_AGAIN = "collected again"


class Daemon:
    """Serves operators and handles agents' messages, one run at a time.

    `log` receives a line for each event. Controllers with the same `seals` collect each other's runs.
    """

    def __init__(self, registry: AgentRegistry, log: Callable[[str], None], seals: ShareSeals) -> None:
        self._registry = registry
        self._log = log
        self._seals = seals
        self._turn = asyncio.Lock()
        self._queued = 0
        self._coordinator: RunCoordinator | None = None
        self._finished = FinishedRuns(log)
        registry.run_handler = self

    # Messages of agents: see registry.RunHandler

    def resume_after(self, connection: AgentConnection, offer: Offer) -> int | None:
        """Ask for what is missing of the current run, a finished run, or a run that an earlier controller began."""
        run_id = offer.assignment.run_id
        if self._coordinator is not None and run_id == self._coordinator.run_id:
            return self._coordinator.resume_after(connection, offer)
        finished = self._finished.get(run_id)
        if finished is not None and finished.has_share(connection.agent):
            return finished.resume_after(connection, offer)
        if finished is not None and not finished.is_recovered:
            self._registry.reject(connection.label, f"it offers run {run_id}, of which it was given no share")
            return None
        if not self._is_genuine(connection, offer):
            self._registry.reject(
                connection.label, f"it offers run {run_id}, which no controller of this CA gave to it"
            )
            return None
        finished = finished or self._recover(offer)
        finished.collector.expect(connection, offer.assignment)
        return finished.resume_after(connection, offer)

    def _is_genuine(self, connection: AgentConnection, offer: Offer) -> bool:
        is_its_own = offer.assignment.agent == connection.agent
        return is_its_own and self._seals.is_genuine(offer.assignment, offer.seal)

    def _recover(self, offer: Offer) -> FinishedRun:
        """Begin to collect a run of which nothing is known but a genuine offer."""
        run_id = offer.assignment.run_id
        collector = Collector(run_id, offer.assignment.plan)
        finished = FinishedRun(collector, offer.assignment.connection_stride or 1, _NOT_WATCHED)
        self._finished.add(finished)
        self._log(
            f"run {run_id} was begun by another controller; `heyfleet collect {run_id}` has its results"
        )
        return finished

    def on_attach(self, connection: AgentConnection) -> None:
        """Tell the finished runs and the current one."""
        for finished in self._finished:
            finished.on_attach(connection)
        if self._coordinator is not None:
            self._coordinator.on_attach(connection)

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        """Pass a message to the run that it is about."""
        if self._coordinator is not None and message.run_id == self._coordinator.run_id:
            self._coordinator.on_message(connection, message)
        elif finished := self._finished.get(message.run_id):
            finished.on_message(connection, message)

    def on_invalid_message(self, connection: AgentConnection, run_id: str, reason: str) -> None:
        """Tell the run that the message is about."""
        if self._coordinator is not None and run_id == self._coordinator.run_id:
            self._coordinator.on_invalid_message(connection, run_id, reason)
        elif finished := self._finished.get(run_id):
            finished.on_invalid_message(connection, reason)

    # Calls of operators: see grpc_server.OperatorService

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """Carry out one run after those that were requested before it; yield its status, its seconds and its result."""
        first = None
        with contextlib.suppress(TimeoutError):
            first = await asyncio.wait_for(anext(aiter(messages), None), _REQUEST_LIMIT_S)
        if first is None or not first.HasField("run"):
            return
        if refusal := _version_refusal(first.run.protocol, first.run.version):
            yield ToOperator(refusal=refusal)
            return
        try:
            validate_run_request(first.run)
        except HeyfleetError as error:
            yield _refusal(str(error))
            return
        if self._queued >= _QUEUED_AT_MOST:
            yield _refusal(
                f"{self._queued} runs are queued, and the controller holds no more; try again when one has ended"
            )
            return
        operator = OperatorStream(messages)
        reader = asyncio.create_task(operator.read())
        try:
            async with contextlib.aclosing(self._run_in_turn(first.run, operator)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            reader.cancel()

    async def _run_in_turn(
        self, request: RunRequest, operator: OperatorStream
    ) -> AsyncGenerator[ToOperator, None]:
        turn = asyncio.ensure_future(self._turn.acquire())
        self._queued += 1
        try:
            try:
                while not turn.done():
                    if operator.stopped:
                        yield _refusal("interrupted while the run was queued; nothing was sent")
                        return
                    yield ToOperator(status=self._queue_status(request))
                    await asyncio.wait([turn], timeout=_QUEUE_STATUS_S)
            finally:
                self._queued -= 1
            async with contextlib.aclosing(self._run_now(request, operator)) as answers:
                async for answer in answers:
                    yield answer
        finally:
            if turn.done():
                self._coordinator = None
                self._turn.release()
            else:
                turn.cancel()

    def _queue_status(self, request: RunRequest) -> RunStatus:
        others = self._queued - 1
        message = (
            f"one run is in progress, {others} more are queued" if others else "another run is in progress"
        )
        return RunStatus(stage="queued", message=message, agents_requested=request.agents)

    async def _run_now(
        self, request: RunRequest, operator: OperatorStream
    ) -> AsyncGenerator[ToOperator, None]:
        self._registry.rejections.clear()
        intervals: list[Interval] = []  # not yet sent to the operator
        coordinator = RunCoordinator(self._registry, request, on_interval=intervals.append, seals=self._seals)
        self._coordinator = coordinator
        operator.on_stop(coordinator.stop)
        self._log(f"run {coordinator.run_id} to {request.plan.target.host}")
        run = asyncio.ensure_future(coordinator.run())
        try:
            while not run.done():
                yield ToOperator(status=run_status(coordinator))
                for answer in _drain(intervals):
                    yield answer
                await asyncio.wait([run], timeout=status_interval_s(coordinator))
            measurements = run.result()
        except CannotStartError as error:
            self._log(f"run {coordinator.run_id} did not begin: {error}")
            yield _refusal(str(error))
            return
        finally:
            if not run.done():
                # The operator has disconnected: the load ends, and its results are kept.
                coordinator.stop()
                await run
            elif not run.cancelled() and run.exception() is not None:
                coordinator.stop()  # no load may go on that nobody coordinates
            if coordinator.collector.started_ns:
                self._keep(coordinator)
        if measurements is None:
            yield _refusal("interrupted before the start; nothing was sent")
            return
        self._log(f"run {coordinator.run_id} is over")
        for answer in (*_drain(intervals), *_result_chunks(measurements)):
            yield answer
        if await operator.result_received():
            self._delivered(coordinator)

    def _keep(self, coordinator: RunCoordinator) -> None:
        self._finished.add(
            FinishedRun(
                coordinator.collector,
                coordinator.request.agents,
                _NOT_DELIVERED,
                coordinator.measurements(),
            )
        )

    def _delivered(self, coordinator: RunCoordinator) -> None:
        if finished := self._finished.get(coordinator.run_id):
            finished.recovery_note = _COLLECTED_AGAIN
        coordinator.release()

    async def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """Yield the result of a finished run; of the latest one if the request names none."""
        if refusal := _version_refusal(request.protocol, request.version):
            yield ToOperator(refusal=refusal)
            return
        known = self._finished.ids
        if not known:
            yield _refusal("the controller has no finished runs")
            return
        finished = self._finished.get(request.run_id or known[-1])
        if finished is None:
            yield _refusal(f"the controller has no run {request.run_id}; it has {', '.join(known)}")
            return
        for answer in _result_chunks(finished.measurements()):
            yield answer
        finished.release()

    def roster(self, request: RosterRequest) -> RosterReply:
        """Return all agents that have attached, and those that were rejected since the last run began."""
        if refusal := _version_refusal(request.protocol, request.version):
            return RosterReply(refusal=refusal)
        agents = [
            RosterAgent(
                agent=each.agent, facts=each.facts, attached=each.attached, leave_reason=each.leave_reason
            )
            for each in self._registry.connections.values()
        ]
        return RosterReply(agents=agents, rejections=self._registry.rejections)


class OperatorStream:
    """What the operator of a run sends after its request."""

    def __init__(self, messages: AsyncIterator[FromOperator]) -> None:
        self._messages = messages
        self.stopped = False
        self._stop: Callable[[], None] = lambda: None
        self._is_result_received = False
        self._is_over = asyncio.Event()  # nothing more can change what `result_received` returns

    def on_stop(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the operator asks for the end of the load; at once if that has happened already."""
        self._stop = stop
        if self.stopped:
            stop()

    async def result_received(self) -> bool:
        """Wait until the operator confirms the result or closes its side, a minute at most; return whether it was confirmed."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._is_over.wait(), _CONFIRM_LIMIT_S)
        return self._is_result_received

    async def read(self) -> None:
        """Read until the operator closes its side."""
        try:
            async for message in self._messages:
                if message.HasField("stop"):
                    self.stopped = True
                    self._stop()
                elif message.HasField("result_received"):
                    self._is_result_received = True
                    self._is_over.set()
        finally:
            self._is_over.set()


def _refusal(reason: str) -> ToOperator:
    return ToOperator(refusal=Refusal(reason=reason))


def _version_refusal(protocol: int, version: str) -> Refusal | None:
    if protocol == PROTOCOL:
        return None
    return Refusal(
        reason=f"this command speaks protocol {protocol} (heyfleet {version}), the controller {PROTOCOL}"
        f" (heyfleet {__version__}); install the same version on both"
    )


def _drain(intervals: list[Interval]) -> list[ToOperator]:
    answers = [ToOperator(interval=interval) for interval in intervals]
    intervals.clear()
    return answers


def _result_chunks(measurements: Measurements) -> list[ToOperator]:
    """Return the messages of a result; an empty chunk ends it."""
    whole = to_message(measurements).SerializeToString()
    chunks = [whole[begin : begin + _CHUNK_BYTES] for begin in range(0, len(whole), _CHUNK_BYTES)]
    return [ToOperator(result=chunk) for chunk in [*chunks, b""]]
