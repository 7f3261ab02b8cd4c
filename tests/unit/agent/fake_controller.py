"""A runner, a controller and the streams between them, for an agent in virtual time; all of them hold it to its promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

from heyfleet.agent.credentials import Certificate, Token
from heyfleet.agent.errors import DeniedError, UnreachableError
from heyfleet.agent.held_run import HeldRun
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.service import AgentService
from heyfleet.proto.control_pb2 import (
    Ack,
    Dismissal,
    FromAgent,
    Ping,
    Release,
    ResumeFrom,
    Start,
    Stop,
    ToAgent,
    Welcome,
)
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, Ready, Record, Refusal, Snapshot

from ... import plans
from ...virtual_time import current_loop

LEASE_S = 3.0
# The lease is checked every 100 ms; the watchdog below looks every 50 ms.
LEASE_SLACK_S = 0.16


def assignment(
    run_id: str, *, agent: str = "a1", duration_s: float = 3.0, connections: int = 4, **fields: Any
) -> Assignment:
    """An assignment of a whole plan."""
    duration_ns = round(duration_s * 1e9)
    whole_plan = plans.plan(request_count=0, duration_ns=duration_ns, connections=connections, **fields)
    return plans.whole(whole_plan, run_id=run_id, agent=agent)


class World:
    """The host of the agent: its runners, its disk, and the promise that one load runs at a time, under a lease."""

    def __init__(self, seed: int = 0, *, faulty: bool = False) -> None:
        self.random = Random(seed)
        self.faulty = faulty  # whether runners refuse and fail now and then
        self.answer: Ready | Refusal | Exception = Ready(addresses=["127.0.0.1"], workers=1)
        self.stop_s = 0.05  # how long a load takes to stop, at most
        self.prepare_s = 1.0  # how long a preparation takes, at most
        self.start_error: Exception | None = None
        self.results_error: Exception | None = None  # of the second snapshot
        self.is_stuck = False  # whether loads give no results
        self.disk_error: OSError | None = None
        self.runners: list[FakeRunner] = []
        self.active: FakeRunner | None = None
        self.spooled: dict[str, set[int]] = {}
        self.delivered_s = 0.0  # when the agent last received a message
        self.log: list[str] = []
        self.early_stops: list[str] = []  # loads that were stopped within the lease

    def new_runner(self, policy: HostPolicy) -> FakeRunner:
        """Create a runner, as AgentService asks for it."""
        self.runners.append(FakeRunner(self))
        return self.runners[-1]

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Access a file after a while, or fail; remember which snapshots were written."""
        await asyncio.sleep(self.random.uniform(0, 0.02))
        if self.disk_error is not None:
            raise self.disk_error
        result = function(*args)
        run = getattr(function, "__self__", None)
        if args and isinstance(run, HeldRun) and isinstance(record := args[0], Record):
            self.spooled.setdefault(run.run_id, set()).add(record.snapshot.sequence)
        return result

    def service(self, folder: Path, agent: str = "a1", **options: Any) -> AgentService:
        """Create the agent's service in this world."""
        options = {**options, "log": self.record}
        return AgentService(
            agent,
            folder,
            new_runner=self.new_runner,
            clock_ns=current_loop().now_ns,
            in_thread=self.in_thread,
            **options,
        )

    def record(self, line: str) -> None:
        """Take a line of the log."""
        self.log.append(line)
        if "load stopped" in line and current_loop().time() - self.delivered_s < LEASE_S:
            self.early_stops.append(line)

    async def watch_lease(self) -> None:
        """Fail as soon as a load has gone on for longer than the lease without a message."""
        while True:
            await asyncio.sleep(0.05)
            if self.active is not None and not self.active.stopped.is_set():
                silent_s = current_loop().time() - self.delivered_s
                assert silent_s <= LEASE_S + LEASE_SLACK_S, f"load without a controller for {silent_s:g} s"


class FakeRunner:
    """Counts requests that it does not send: up to 100 a second, until its plan's duration is over."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._assignment = Assignment()
        self._sent = 0
        self._sequence = 0
        self._stopped_by = "duration"
        self.stopped = asyncio.Event()

    async def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Take a while, and answer as the world says."""
        self._assignment = assignment
        world = self._world
        await asyncio.sleep(world.random.uniform(0, 1.0) * world.prepare_s)
        answer = world.answer
        if world.faulty and world.random.random() < 0.1:
            faults = (Refusal(reason="no ports"), OSError("no io_uring"), MemoryError())
            answer = faults[world.random.randrange(len(faults))]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def start(self, at_ns: int) -> None:
        """Begin the load; no other may run."""
        assert self._world.active is None, "two loads at once"
        assert not self.stopped.is_set(), "a stopped run was started"
        if self._world.start_error is not None:
            raise self._world.start_error
        self._world.active = self

    def stop(self) -> None:
        """End the load soon."""
        self.stopped.set()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield a snapshot a second, and a last one at the end."""
        world, loop = self._world, current_loop()
        end_s = loop.time() + self._assignment.plan.duration_ns / 1e9
        while world.active is self:
            if world.is_stuck:
                await asyncio.sleep(1)
                continue
            if world.results_error is not None and self._sequence:
                world.active = None
                raise world.results_error
            try:
                await asyncio.wait_for(self.stopped.wait(), min(1.0, max(end_s - loop.time(), 0.001)))
                self._stopped_by = "signal"
                await asyncio.sleep(world.random.uniform(world.stop_s / 2, world.stop_s))
            except TimeoutError:
                pass
            if self.stopped.is_set() or loop.time() >= end_s:
                world.active = None
            self._sequence += 1
            sent = world.random.randrange(100)
            self._sent += sent
            yield Snapshot(agent="a1", sequence=self._sequence, sent=sent)

    async def done(self) -> Done:
        """Return the totals."""
        assert self._world.active is not self
        return Done(agent="a1", last_sequence=self._sequence, sent=self._sent, stopped_by=self._stopped_by)


class ReceivedRun:
    """What the controller has received of one run."""

    def __init__(self) -> None:
        self.ready = False
        self.snapshots: dict[int, int] = {}  # sent by sequence
        self.done: Done | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing, and it adds up."""
        if self.done is None or sorted(self.snapshots) != list(range(1, self.done.last_sequence + 1)):
            return False
        assert sum(self.snapshots.values()) == self.done.sent
        return True


class FakeController:
    """The client of an agent process, and the controller behind it; everything sent arrives late, or never."""

    def __init__(self, world: World, *, latency_s: float = 0.02) -> None:
        self._world = world
        self._latency_s = latency_s
        self._break = asyncio.Event()
        self._queue: asyncio.Queue[ToAgent] | None = None
        self._pings = 0
        self._agent = ""
        self.reachable = True
        self.denial = ""
        self.joins = 0
        self.streams = 0
        self.said_bye = ""
        self.offers: list[str] = []  # run ids of the latest hello
        self.runs: dict[str, ReceivedRun] = {}
        self.refusals: dict[str, str] = {}
        self.received: list[FromAgent] = []

    # As the client of the agent process

    async def join(self, address: str, ca_pem: bytes, token: Token, name: str) -> tuple[str, Certificate]:
        """Give any agent a certificate, if the controller can be reached."""
        self.joins += 1
        await asyncio.sleep(self._latency_s)
        self._check_reachable()
        return f"{name}-1", Certificate(ca_pem, b"", b"")

    async def attach(self, address: str, certificate: Certificate | None, service: AgentService) -> None:
        """Carry messages both ways until the service has left or the stream breaks."""
        await asyncio.sleep(self._latency_s)
        self._check_reachable()
        self._agent = service.agent
        self.streams += 1
        self._break.clear()
        outgoing: asyncio.Queue[FromAgent] = asyncio.Queue()
        queue = self._queue = asyncio.Queue()
        self._welcome(FromAgent(hello=service.hello()))
        tasks = [
            asyncio.ensure_future(self._carry_to_agent(queue, service, outgoing)),
            asyncio.ensure_future(self._carry_from_agent(outgoing)),
            asyncio.ensure_future(self._break.wait()),
            asyncio.ensure_future(service.left.wait()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if not service.left.is_set():
                raise UnreachableError("the stream broke")
        finally:
            service.detach()
            self._queue = None
            for task in tasks:
                task.cancel()

    def _check_reachable(self) -> None:
        if self.denial:
            raise DeniedError(self.denial)
        if not self.reachable:
            raise UnreachableError("Connection refused")

    async def _carry_to_agent(
        self, queue: asyncio.Queue[ToAgent], service: AgentService, outgoing: asyncio.Queue[FromAgent]
    ) -> None:
        while True:
            message = await queue.get()
            await asyncio.sleep(self._world.random.uniform(0, self._latency_s))
            self._world.delivered_s = current_loop().time()
            if not service.is_attached:
                service.attach(outgoing)
            service.on_message(message)

    async def _carry_from_agent(self, outgoing: asyncio.Queue[FromAgent]) -> None:
        while True:
            message = await outgoing.get()
            await asyncio.sleep(self._world.random.uniform(0, self._latency_s))
            self._receive(message)
            outgoing.task_done()

    # What the controller says

    def send(self, message: ToAgent) -> None:
        """Send a message, if there is a stream."""
        if self._queue is not None:
            self._queue.put_nowait(message)

    def ping(self) -> None:
        """Renew the lease."""
        self._pings += 1
        self.send(ToAgent(ping=Ping(sequence=self._pings)))

    def assign(self, run_id: str, **plan: Any) -> None:
        """Assign a run."""
        self.send(ToAgent(assignment=assignment(run_id, agent=self._agent, **plan), run_id=run_id))

    def start(self, run_id: str) -> None:
        """Start a run at once."""
        self.send(ToAgent(start=Start(at_ns=current_loop().now_ns()), run_id=run_id))

    def stop(self, run_id: str) -> None:
        """Stop a run."""
        self.send(ToAgent(stop=Stop(), run_id=run_id))

    def release(self, run_id: str) -> None:
        """Release a run."""
        self.send(ToAgent(release=Release(), run_id=run_id))

    def dismiss(self) -> None:
        """Dismiss the agent."""
        self.send(ToAgent(dismissal=Dismissal(reason="the run is over")))

    def break_stream(self) -> None:
        """Lose the stream, with all that is on its way."""
        self._break.set()

    def forget(self) -> None:
        """Lose all results, as a controller that is restarted."""
        self.runs.clear()

    # What the controller receives

    def _welcome(self, message: FromAgent) -> None:
        self.received.append(message)
        self.offers = [offer.assignment.run_id for offer in message.hello.offers]
        resume_from = []
        for run_id in self.offers:
            run = self.runs.setdefault(run_id, ReceivedRun())
            if not run.is_complete:
                first_missing = next(n for n in range(1, 10**9) if n not in run.snapshots)
                resume_from.append(ResumeFrom(run_id=run_id, after_sequence=first_missing - 1))
        self.send(ToAgent(welcome=Welcome(lease_ns=round(LEASE_S * 1e9), resume_from=resume_from)))

    def _receive(self, message: FromAgent) -> None:
        assert not self.said_bye, "a message after goodbye"
        self.received.append(message)
        run = self.runs.setdefault(message.run_id, ReceivedRun()) if message.run_id else ReceivedRun()
        match message.WhichOneof("message"):
            case "ready":
                run.ready = True
            case "refusal":
                self.refusals[message.run_id] = message.refusal.reason
            case "snapshot":
                self._merge(message.run_id, run, message.snapshot)
            case "done":
                assert run.done is None or run.done == message.done, "two different totals"
                run.done = message.done
            case "bye":
                self.said_bye = message.bye.reason

    def _merge(self, run_id: str, run: ReceivedRun, snapshot: Snapshot) -> None:
        if self._world.disk_error is None:
            assert snapshot.sequence in self._world.spooled[run_id], "sent before it was kept"
        sent = run.snapshots.setdefault(snapshot.sequence, snapshot.sent)
        assert sent == snapshot.sent, "two different snapshots with one sequence number"
        self.send(ToAgent(ack=Ack(sequence=snapshot.sequence), run_id=run_id))


async def until(condition: Callable[[], object], timeout_s: float = 60.0) -> None:
    """Wait in virtual time until a condition holds."""
    deadline_s = current_loop().time() + timeout_s
    while not condition():
        assert current_loop().time() < deadline_s, "it never happened"
        await asyncio.sleep(0.01)
