"""Agents and a network in virtual time: they follow the protocol, while streams break, agents die and messages take long."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.ext import Histogram
from heyfleet.proto.control_pb2 import Bye, FromAgent, Hello, HostFacts, Offer, Pong, Start, ToAgent
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal, Snapshot
from heyfleet.proto.stats_pb2 import Histogram as HistogramMessage

from ....virtual_time import VirtualLoop

NS = 1_000_000_000
_LEASE_CHECK_S = 0.5


def snapshot_of(
    agent: str, sequence: int, latencies_ns: Sequence[int], *, sent: int | None = None, errors: int = 0
) -> Snapshot:
    """Return the consistent snapshot of second number `sequence`."""
    histogram = Histogram()
    for value_ns in latencies_ns:
        histogram.record(value_ns)
    snapshot = Snapshot(
        agent=agent,
        sequence=sequence,
        begin_ns=(sequence - 1) * NS,
        end_ns=sequence * NS,
        sent=len(latencies_ns) + errors if sent is None else sent,
    )
    if latencies_ns:
        snapshot.responses[200] = len(latencies_ns)
        snapshot.histograms["latency"].CopyFrom(
            HistogramMessage(
                counts_v2=histogram.encode(),
                count=histogram.count,
                sum_ns=histogram.sum_ns,
                min_ns=histogram.min_ns,
                max_ns=histogram.max_ns,
            )
        )
    if errors:
        snapshot.errors["reset"] = errors
    return snapshot


def done_of(agent: str, snapshots: Sequence[Snapshot], *, planned: int = 0, stopped_by: str = "") -> Done:
    """Return the totals of snapshots."""
    sent = sum(each.sent for each in snapshots)
    return Done(
        agent=agent,
        last_sequence=max((each.sequence for each in snapshots), default=0),
        planned=max(planned, sent),
        sent=sent,
        unsent=max(planned - sent, 0),
        responses=sum(sum(each.responses.values()) for each in snapshots),
        errors=sum(sum(each.errors.values()) for each in snapshots),
        abandoned=sum(each.abandoned for each in snapshots),
        stopped_by=stopped_by or "count",
    )


@dataclass(kw_only=True)
class Behavior:
    """How one agent and its network behave. Times are in seconds."""

    clock_offset_ns: int = 0
    join_s: float = 0.0
    prepare_s: float = 0.1
    answer_s: float = 0.0  # from a ping to its answer
    refusal: str = ""
    ready: Ready = field(default_factory=lambda: Ready(workers=1, io="simulated"))
    max_delay_s: float = 0.01
    notice_s: float = 1.0  # at most, until a side notices a broken stream
    reattach_s: float = 0.5  # at most
    min_reattach_s: float = 0.0
    duplicate_probability: float = 0.0
    break_s: list[float] = field(default_factory=list)  # when its stream breaks
    die_s: float | None = None
    restart_s: float | None = None  # when its process is replaced by a new one of the same name
    leave_s: float | None = None
    fail_s: float | None = None  # when it gives its loads up
    mute_s: float | None = None  # from when it sends nothing of its loads, although it is attached
    is_endless: bool = False  # whether its loads go on until they are stopped


@dataclass
class HeldRun:
    """A run of an agent, from its preparation to its release."""

    assignment: Assignment
    seal: bytes = b""
    is_prepared: bool = False
    is_running: bool = False
    stopped_by: str = ""
    failure: str = ""
    started_s: float = 0.0
    start_lead_s: float = 0.0  # from the arrival of the start to the start itself
    in_flight: int = 0
    snapshots: list[Snapshot] = field(default_factory=list)
    done: Done | None = None

    @property
    def run_id(self) -> str:
        return self.assignment.run_id


class Link:
    """One stream. Messages keep their order in each direction, and are lost when it breaks."""

    def __init__(self, agent: SimulatedAgent, hello: Hello) -> None:
        self._agent = agent
        self._loop = agent.simulation.loop
        self.attached_s = 0.0
        self._connection: AgentConnection | None = None
        self._stream: Stream | None = None
        self._is_broken = False
        self._last_to_controller_s = self._last_to_agent_s = 0.0
        self._registry = agent.simulation.registry
        self._pump: asyncio.Task[None] | None = None
        self._send_at_s(self._arrive, hello)

    def _send_at_s(self, receive: Callable[..., None], *arguments: object) -> None:
        arrival_s = self._loop.time() + self._agent.random_delay_s()
        self._last_to_controller_s = max(self._last_to_controller_s, arrival_s)
        self._loop.call_at(self._last_to_controller_s, receive, *arguments)

    def _arrive(self, hello: Hello) -> None:
        if self._is_broken:
            return
        try:
            self._connection, self._stream = self._registry.attach(hello, None)
        except AttachRejectedError as error:
            self._agent.rejection = str(error)
            return
        self.attached_s = self._loop.time()
        self._pump = self._agent.simulation.start(self._deliver(self._stream))

    async def _deliver(self, stream: Stream) -> None:
        while (message := await stream.outgoing.get()) is not None:
            self._loop.call_at(self._next_arrival_s(), self._receive_at_agent, message)
        self._loop.call_at(self._next_arrival_s(), self._agent.on_stream_end, self)

    def _next_arrival_s(self) -> float:
        arrival_s = self._loop.time() + self._agent.random_delay_s()
        self._last_to_agent_s = max(self._last_to_agent_s, arrival_s)
        return self._last_to_agent_s

    def _receive_at_agent(self, message: ToAgent) -> None:
        if not self._is_broken:
            self._agent.on_message(self, message)

    @property
    def is_up(self) -> bool:
        """Whether messages get through in both directions."""
        return (
            not self._is_broken and self._connection is not None and self._connection.stream is self._stream
        )

    def send(self, message: FromAgent) -> None:
        """Send a message to the controller."""
        if not self._is_broken:
            self._send_at_s(self._receive_at_controller, message)

    def _receive_at_controller(self, message: FromAgent) -> None:
        if self._is_broken or self._connection is None or self._connection.stream is not self._stream:
            return
        self._registry.on_message(self._connection, message)

    def break_off(self) -> None:
        """Let nothing through any more. Each side notices after a while."""
        self._is_broken = True
        random_source, notice_s = self._agent.random, self._agent.behavior.notice_s
        self._loop.call_later(random_source.uniform(0, notice_s), self._close_at_controller)
        self._loop.call_later(random_source.uniform(0, notice_s), self._agent.on_stream_end, self)

    def close(self) -> None:
        """End the stream after the messages that are on their way."""
        self._send_at_s(self._close_at_controller)

    def _close_at_controller(self) -> None:
        if self._connection is not None and self._stream is not None:
            self._registry.detach(self._connection, self._stream)
            self._stream.close()


class SimulatedAgent:
    """Follows the protocol as agent/service.py does, with a load made up from random numbers."""

    def __init__(self, simulation: Simulation, name: str, behavior: Behavior, seed: int) -> None:
        self.simulation = simulation
        self.name = name
        self.behavior = behavior
        self.random = random.Random(seed)
        self.rejection = ""
        self.is_gone = False
        self.pending: HeldRun | None = None
        self.held: dict[str, HeldRun] = {}
        self.results: dict[str, HeldRun] = {}  # of all runs, also released ones
        self.refusals: list[str] = []
        self.acknowledged: dict[str, set[int]] = {}
        self._link: Link | None = None
        self._lease_s = 10.0
        self._heard_s = 0.0
        self._draining = ""
        loop = simulation.loop
        self._began_s = loop.time()
        loop.call_later(behavior.join_s, self._attach)
        loop.call_later(behavior.join_s, self._check_lease)
        for at_s in behavior.break_s:
            loop.call_later(at_s, self.break_stream)
        for event_s, event in (
            (behavior.die_s, self._die),
            (behavior.restart_s, self._restart),
            (behavior.leave_s, self._leave),
            (behavior.fail_s, self._fail),
        ):
            if event_s is not None:
                loop.call_later(event_s, event)

    @property
    def stable_link(self) -> Link | None:
        """The stream, if both sides use it and it is not broken."""
        return self._link if self._link is not None and self._link.is_up else None

    @property
    def is_loading(self) -> bool:
        """Whether it sends load now."""
        return any(run.is_running for run in self.held.values())

    def random_delay_s(self) -> float:
        """Return the network delay of one message."""
        return self.random.uniform(0, self.behavior.max_delay_s)

    # Faults

    def break_stream(self) -> None:
        """Break the stream, if there is one."""
        if self._link is not None:
            self._link.break_off()

    def _die(self) -> None:
        self.is_gone = True
        self.pending = None
        self.held.clear()
        self.break_stream()
        self._link = None

    def _restart(self) -> None:
        if self.is_gone:
            return
        self.pending = None
        self.held.clear()
        self.break_stream()
        self._link = None
        self._attach_later()

    def _fail(self) -> None:
        for run in self.held.values():
            run.is_running = False
            run.failure = "its disk is full"
            self._refuse(run.run_id, run.failure)

    def _send_result(self, message: FromAgent) -> None:
        mute_s = self.behavior.mute_s
        if mute_s is None or self.simulation.loop.time() - self._began_s < mute_s:
            self._send(message)

    def _leave(self) -> None:
        """End as on SIGTERM: stop the load, deliver the results for at most 5 s, say goodbye."""
        self.pending = None
        self._draining = "ended by SIGTERM"
        for run in self.held.values():
            self._stop(run, "signal")
        self.simulation.loop.call_later(5.0, self._say_goodbye)
        self._leave_when_released()

    def _leave_when_released(self) -> None:
        if self._draining and not self.is_gone and not self.held:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if self.is_gone:
            return
        self.is_gone = True
        self._send(FromAgent(bye=Bye(reason=self._draining)))
        if self._link is not None:
            self._link.close()
            self._link = None

    # Streams

    def _attach(self) -> None:
        if self.is_gone or self._link is not None:
            return
        offers = [
            Offer(
                assignment=run.assignment,
                last_sequence=len(run.snapshots),
                ended=run.done is not None,
                seal=run.seal,
            )
            for run in self.held.values()
        ]
        hello = Hello(protocol=PROTOCOL, agent=self.name, facts=HostFacts(host="simulated"), offers=offers)
        self._link = Link(self, hello)
        self._heard_s = self.simulation.loop.time()

    def on_stream_end(self, link: Link) -> None:
        """Attach again after a while."""
        if link is self._link:
            self._link = None
            self._attach_later()

    def _attach_later(self) -> None:
        delay_s = self.random.uniform(self.behavior.min_reattach_s, self.behavior.reattach_s)
        self.simulation.loop.call_later(delay_s, self._attach)

    def _send(self, message: FromAgent) -> None:
        if self._link is not None:
            self._link.send(message)

    def _check_lease(self) -> None:
        if self.is_gone:
            return
        if self.simulation.loop.time() - self._heard_s > self._lease_s:
            self.pending = None
            for run in self.held.values():
                self._stop(run, "lease")
        self.simulation.loop.call_later(_LEASE_CHECK_S, self._check_lease)

    # The controller's messages

    def on_message(self, link: Link, message: ToAgent) -> None:
        """Handle a message of the current stream."""
        if link is not self._link or self.is_gone:
            return
        self._heard_s = self.simulation.loop.time()
        handlers: dict[str | None, Callable[[ToAgent], None]] = {
            "ping": self._on_ping,
            "welcome": self._on_welcome,
            "assignment": lambda message: self._assign(message.assignment),
            "start": lambda message: self._start(message.run_id, message.start),
            "stop": lambda message: self._on_stop(message.run_id),
            "ack": self._on_ack,
            "release": lambda message: self._on_release(message.run_id),
            "dismissal": lambda message: self._on_dismissal(),
        }
        handlers[message.WhichOneof("message")](message)

    def _on_ping(self, message: ToAgent) -> None:
        received_ns = self.simulation.loop.now_ns() + self.behavior.clock_offset_ns
        ping = message.ping
        pong = Pong(sequence=ping.sequence, sent_ns=ping.sent_ns, received_ns=received_ns)
        if self.behavior.answer_s:
            self.simulation.loop.call_later(self.behavior.answer_s, self._send, FromAgent(pong=pong))
        else:
            self._send(FromAgent(pong=pong))

    def _on_welcome(self, message: ToAgent) -> None:
        self._lease_s = message.welcome.lease_ns / NS
        for resume in message.welcome.resume_from:
            self._send_again(resume.run_id, resume.after_sequence)

    def _on_ack(self, message: ToAgent) -> None:
        if message.ack.refusal_reason:
            self.refusals.append(message.ack.refusal_reason)
        else:
            self.acknowledged.setdefault(message.run_id, set()).add(message.ack.sequence)

    def _on_release(self, run_id: str) -> None:
        run = self.held.get(run_id)
        if run is not None and not run.is_running:
            del self.held[run_id]
            self._leave_when_released()

    def _on_dismissal(self) -> None:
        self._draining = "dismissed"
        self.pending = None
        for run in self.held.values():
            self._stop(run, "signal")
        self._say_goodbye()

    def _assign(self, assignment: Assignment) -> None:
        if busy := next((run for run in self.held.values() if run.is_running), None):
            self._refuse(assignment.run_id, f"busy with run {busy.run_id}")
            return
        if self.pending is not None and self.pending.assignment == assignment:
            if self.pending.is_prepared:
                self._send(FromAgent(ready=self.behavior.ready, run_id=assignment.run_id))
            return
        self.pending = run = HeldRun(assignment)
        delay_s = self.behavior.prepare_s * self.random.uniform(0.5, 1)
        self.simulation.loop.call_later(delay_s, self._prepared, run)

    def _refuse(self, run_id: str, reason: str) -> None:
        self._send(FromAgent(refusal=Refusal(reason=reason), run_id=run_id))

    def _prepared(self, run: HeldRun) -> None:
        if run is not self.pending:
            return
        if self.behavior.refusal:
            self.pending = None
            self._refuse(run.run_id, self.behavior.refusal)
            return
        run.is_prepared = True
        self._send(FromAgent(ready=self.behavior.ready, run_id=run.run_id))

    def _start(self, run_id: str, start: Start) -> None:
        run = self.pending
        if run is None or run.run_id != run_id or not run.is_prepared:
            return
        self.pending = None
        self.held[run_id] = self.results[run_id] = run
        run.is_running = True
        run.seal = start.seal
        loop = self.simulation.loop
        start_s = max((start.at_ns - self.behavior.clock_offset_ns) / NS, loop.time())
        run.start_lead_s = start_s - loop.time()
        loop.call_at(start_s, self._begin_load, run)

    def _on_stop(self, run_id: str) -> None:
        if self.pending is not None and self.pending.run_id == run_id:
            self.pending = None
        elif run := self.held.get(run_id):
            self._stop(run, "signal")

    # The load

    def _begin_load(self, run: HeldRun) -> None:
        if run.stopped_by:
            return
        run.started_s = self.simulation.loop.time()
        self.simulation.loop.call_later(1.0, self._measure, run)

    def _stop(self, run: HeldRun, reason: str) -> None:
        if run.is_running and not run.stopped_by:
            run.stopped_by = reason
            self.simulation.loop.call_later(self.random.uniform(0, 0.2), self._end_load, run)

    def _measure(self, run: HeldRun) -> None:
        """Make the snapshot of one second."""
        if not run.is_running or run.stopped_by or self.held.get(run.run_id) is not run:
            return
        share, sent_before = run.assignment.request_count, sum(each.sent for each in run.snapshots)
        sent = self.random.randrange(6)
        if share:
            sent = min(sent, share - sent_before)
        self._take_snapshot(run, sent)
        is_complete = bool(share) and sent_before + sent == share
        is_over = not self.behavior.is_endless and len(run.snapshots) * NS >= (
            run.assignment.plan.duration_ns or 20 * NS
        )
        if is_complete or is_over:
            run.stopped_by = "count" if is_complete else "duration"
            self.simulation.loop.call_later(self.random.uniform(0, 0.2), self._end_load, run)
        else:
            self.simulation.loop.call_later(1.0, self._measure, run)

    def _take_snapshot(self, run: HeldRun, sent: int, *, is_last: bool = False) -> None:
        started_ns = round(run.started_s * NS) + self.behavior.clock_offset_ns if run.started_s else 0
        run.in_flight += sent
        ended = run.in_flight if is_last else self.random.randrange(run.in_flight + 1)
        errors = self.random.randrange(ended + 1) if self.random.random() < 0.2 else 0
        values_ns = [self.random.randrange(10_000, 10**9) for _ in range(ended - errors)]
        snapshot = snapshot_of(self.name, len(run.snapshots) + 1, values_ns, sent=sent, errors=errors)
        snapshot.first_worker_ns = snapshot.last_worker_ns = started_ns
        run.in_flight -= ended
        run.snapshots.append(snapshot)
        for _ in range(2 if self.random.random() < self.behavior.duplicate_probability else 1):
            self._send_result(FromAgent(snapshot=snapshot, run_id=run.run_id))

    def _end_load(self, run: HeldRun) -> None:
        if not run.is_running or self.held.get(run.run_id) is not run:
            return
        self._take_snapshot(run, 0, is_last=True)
        run.is_running = False
        run.done = done_of(
            self.name,
            run.snapshots,
            planned=run.assignment.request_count,
            stopped_by=run.stopped_by,
        )
        self._send_result(FromAgent(done=run.done, run_id=run.run_id))

    def _send_again(self, run_id: str, after_sequence: int) -> None:
        run = self.held.get(run_id)
        if run is None:
            return
        for snapshot in run.snapshots[after_sequence:]:
            self._send(FromAgent(snapshot=snapshot, run_id=run_id))
        if run.done is not None:
            self._send(FromAgent(done=run.done, run_id=run_id))
        if run.failure:
            self._refuse(run_id, run.failure)


class Simulation:
    """A registry with its agents, in the virtual time of the running loop."""

    def __init__(self, loop: VirtualLoop, lease_ns: int = 10 * NS) -> None:
        self.loop = loop
        self.log: list[str] = []
        self._lease_ns = lease_ns
        self._tasks: set[asyncio.Task[None]] = set()
        self.agents: dict[str, SimulatedAgent] = {}
        self.registry = self.new_registry()

    def new_registry(self) -> AgentRegistry:
        """Replace the registry, as a restarted controller does. Existing streams keep the old one until they break."""
        self.registry = AgentRegistry(self._lease_ns, self.log.append, self.loop.now_ns)
        self.start(self.registry.renew_leases())
        return self.registry

    def add(self, name: str, behavior: Behavior, seed: int = 0) -> SimulatedAgent:
        """Add an agent, which attaches by itself."""
        self.agents[name] = agent = SimulatedAgent(self, name, behavior, seed)
        return agent

    def start(self, work: object) -> asyncio.Task[None]:
        """Run a coroutine until the loop ends."""
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
