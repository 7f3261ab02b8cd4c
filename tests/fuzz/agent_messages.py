"""A controller with an honest agent and one that sends what the fuzzer makes up. No socket is opened, and time is simulated.

An input is a program: its first byte selects the plan, and each further step begins with a byte that selects what the bad
agent does. It sends a message of its own bytes, or one that an honest agent would send, with some fields changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.daemon import Daemon
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.controller.fleet.share_seals import ShareSeals, digest_plan
from heyfleet.controller.fleet.status import run_status
from heyfleet.proto.control_pb2 import (
    Bye,
    FromAgent,
    Hello,
    HostFacts,
    Interval,
    Offer,
    Pong,
    RosterRequest,
    RunRequest,
    RunResult,
)
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Request, Target
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import (
    AddressMetrics,
    Breakdown,
    Done,
    HostState,
    Ready,
    Refusal,
    Snapshot,
    WorkerFacts,
)
from heyfleet.results.archive.interval_record import to_record
from heyfleet.results.codec import from_message, to_message
from heyfleet.results.ledger import balance
from heyfleet.results.measurements import Measurements
from heyfleet.results.report import json, text
from heyfleet.results.summary import summarize

from ..fleet.fake import done as totals_of
from ..fleet.fake import snapshot as snapshot_of

SECOND_NS = 1_000_000_000
GOOD, BAD, RUN_ID = "good", "bad", "0123456789abcdef"
SHARE = 4
TARGET = Target(scheme="http", host="nowhere", port=80)
EARLIER_RUN = Assignment(
    run_id="fedcba9876543210",
    agent=BAD,
    plan=Plan(target=TARGET, connections=1, requests=[Request(name="q", weight=1)]),
    connections=1,
)
NUMBERS = (
    0,
    1,
    2,
    7,
    100,
    2**16,
    2**31 - 1,
    2**32,
    2**53,
    2**62,
    2**63 - 1,
    2**64 - 1,
    -1,
    -(2**31),
    -(2**63),
)
TEXTS = (
    "",
    BAD,
    GOOD,
    "reset",
    "bad response: x",
    "latency",
    "wait",
    "x" * 400,
    "\0\n\x1b[2J",
    "\u202e",
    RUN_ID,
    "7" * 5000,
)
STEPS = (
    "raw",
    "hello",
    "pong",
    "ready",
    "refusal",
    "snapshot",
    "done",
    "bye",
    "time",
    "start",
    "finish",
    "again",
)


class Reader:
    """Takes choices from an input; zeros after its end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        return self._at >= len(self._data)

    def byte(self) -> int:
        """Return the next byte."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def bytes(self) -> bytes:
        """Return as many bytes as the next two say."""
        length = self.byte() << 8 | self.byte()
        self._at += length
        return self._data[self._at - length : self._at]


def agent_messages(data: bytes) -> None:
    """Carry out a run with a bad agent: it loses its own part of the results, and nothing else."""
    reader = Reader(data)
    controller = Controller(plan_of(reader.byte()))
    while not reader.is_over:
        controller.step(STEPS[reader.byte() % len(STEPS)], reader)
    controller.finish()
    controller.check()


def plan_of(choice: int) -> Plan:
    plan = Plan(target=TARGET, connections=2)
    plan.requests.extend(Request(name=f"q{number}", weight=1) for number in range(2 if choice & 1 else 1))
    if choice & 2:
        plan.request_count = 2 * SHARE
    else:
        plan.duration_ns = 10 * SECOND_NS
    if choice & 4:
        plan.load_model = RATE
        plan.stages.add(name="up", duration_ns=SECOND_NS, first=1, last=2)
        plan.stages.add(name="on", first=2, last=2)
    if choice & 8:
        plan.trace_rows = 8
    if choice & 16:
        plan.warmup_ns = SECOND_NS
    if choice & 32:
        plan.slo.extend(["p99<1s", "errors<1%", "unsent<1%"])
        plan.slo.extend(["errors[q1]<1%"] if choice & 1 else [])
    if choice & 64:
        plan.abort_on.append("errors>50%")
    return plan


class Controller:
    """A controller in the middle of a run with two agents."""

    def __init__(self, plan: Plan) -> None:
        self.now_ns = 1000 * SECOND_NS
        self.registry = AgentRegistry(now_ns=lambda: self.now_ns)
        self.seals = ShareSeals(b"key")
        self.daemon = Daemon(self.registry, lambda line: None, self.seals)
        self.intervals: list[Interval] = []
        request = RunRequest(plan=plan, agents=2, per_agent=bool(plan.slo))
        self.coordinator = RunCoordinator(
            self.registry, request, on_interval=self.intervals.append, seals=self.seals
        )
        self.coordinator.run_id = RUN_ID
        self.daemon._coordinator = self.coordinator
        self.streams: dict[str, tuple[AgentConnection, Stream]] = {}
        for agent in (GOOD, BAD):
            self.attach(Hello(protocol=PROTOCOL, agent=agent, facts=HostFacts(host="h", cores=2)))
        self.coordinator._deal([self.streams[GOOD][0], self.streams[BAD][0]])
        self.receive(GOOD, FromAgent(ready=Ready(workers=1, io="epoll", addresses=["10.0.0.1"])))
        self.is_started = self.is_finished = False
        self.last = FromAgent()

    def attach(self, hello: Hello) -> None:
        try:
            self.streams[hello.agent] = self.registry.attach(hello, None)
        except AttachRejectedError as error:
            assert 0 < len(str(error)) < 2000

    def receive(self, agent: str, message: FromAgent) -> None:
        """Receive a message about the run unless it names another one."""
        message.run_id = message.run_id or RUN_ID
        connection, stream = self.streams[agent]
        self.registry.on_message(connection, message)
        while not stream.outgoing.empty():
            if (answer := stream.outgoing.get_nowait()) is not None:
                answer.SerializeToString()

    def step(self, name: str, reader: Reader) -> None:
        match name:
            case "raw":
                self._receive_bytes(reader.bytes())
            case "time":
                self.now_ns += reader.byte() * SECOND_NS // 16
            case "start":
                self.start()
            case "finish":
                self.finish()
            case "again":
                self.receive(BAD, self.last)
            case "hello":
                hello = self._honest_hello(reader.byte())
                change(hello, reader)
                hello.agent = BAD if hello.agent == GOOD else hello.agent
                self.attach(hello)
            case _:
                message = FromAgent()
                getattr(message, name).CopyFrom(self._honest(name, reader.byte()))
                change(getattr(message, name), reader)
                self.last = message
                self.receive(BAD, message)

    def _receive_bytes(self, data: bytes) -> None:
        message = FromAgent()
        try:
            message.ParseFromString(data)
        except Exception as error:  # protobuf raises its own classes
            assert type(error).__name__ == "DecodeError"
            return
        self.receive(BAD, message)

    def _honest_hello(self, choice: int) -> Hello:
        """Return the hello of an agent that holds this run, one of an earlier controller, both or neither."""
        hello = Hello(
            protocol=PROTOCOL, version="1", agent=BAD, facts=HostFacts(host="h", cores=2, kernel="6")
        )
        if choice & 1:
            agent_run = self.coordinator.collector.agent_runs[BAD]
            hello.offers.append(Offer(assignment=agent_run.assignment, seal=agent_run.seal, ended=True))
        if choice & 2:
            seal = self.seals.seal(EARLIER_RUN, digest_plan(EARLIER_RUN.plan))
            hello.offers.append(Offer(assignment=EARLIER_RUN, seal=seal, last_sequence=3))
        return hello

    def _honest(self, name: str, choice: int) -> Message:
        """Return a message as an honest agent would send it; a snapshot has the sequence number `choice`."""
        match name:
            case "pong":
                return Pong(sequence=choice, sent_ns=self.now_ns, received_ns=self.now_ns)
            case "ready":
                return Ready(workers=1, io="epoll", io_note="n", addresses=["10.0.0.1"], lookup_ns=5)
            case "refusal":
                return Refusal(reason="it is busy")
            case "bye":
                return Bye(reason="maintenance")
            case "snapshot":
                return self._honest_snapshot(choice % 4 + 1)
        return honest_totals(BAD)

    def _honest_snapshot(self, sequence: int) -> Snapshot:
        snapshot = snapshot_of(BAD, sequence, [1000, 2_000_000] if sequence <= 2 else [])
        snapshot.first_worker_ns = snapshot.last_worker_ns = self.coordinator.collector.started_ns
        snapshot.bytes_sent = snapshot.bytes_received = 100
        snapshot.addresses["10.0.0.1"].CopyFrom(AddressMetrics(connections=1, responses=2))
        plan = self.coordinator.request.plan
        if len(plan.requests) * max(len(plan.stages), 1) > 1 and snapshot.sent:
            metrics = Snapshot(sent=snapshot.sent, responses=snapshot.responses)
            metrics.histograms["latency"].CopyFrom(snapshot.histograms["latency"])
            snapshot.breakdowns.append(Breakdown(metrics=metrics))
        if plan.warmup_ns:
            snapshot.warmup.sent = 1
            snapshot.warmup.errors["reset"] = 1
        if plan.trace_rows:
            snapshot.trace = bytes(64)
        return snapshot

    def start(self) -> None:
        if not self.is_started:
            self.is_started = True
            self.coordinator._start()

    def finish(self) -> None:
        """End the run for its operator; the bad agent may go on."""
        if self.is_finished:
            return
        self.start()
        self.is_finished = True
        run_status(self.coordinator).SerializeToString()
        self.now_ns += 3 * SECOND_NS
        for number in (1, 2):
            self.receive(GOOD, FromAgent(snapshot=snapshot_of(GOOD, number, [1000, 2_000_000])))
        self.receive(GOOD, FromAgent(done=honest_totals(GOOD)))
        self.coordinator.collector.intervals.close()
        self.daemon._keep(self.coordinator)
        self.daemon._coordinator = None

    def check(self) -> None:
        """Check everything that becomes of the messages."""
        run_status(self.coordinator).SerializeToString()
        self.daemon.roster(RosterRequest(protocol=PROTOCOL)).SerializeToString()
        assert sum(map(len, self.registry.rejections)) < 100_000
        for interval in self.intervals:
            interval.SerializeToString()
            to_record(interval, [])
        to_message(self.coordinator.measurements()).SerializeToString()
        finished = {run.collector.run_id: run.measurements() for run in self.daemon._finished}
        assert finished.keys() <= {RUN_ID, EARLIER_RUN.run_id}
        for run_id, measurements in finished.items():
            arrived = report(measurements)
            if run_id == RUN_ID:
                check_results(arrived)


def honest_totals(agent: str) -> Done:
    done = totals_of(agent, [snapshot_of(agent, number, [1000, 2_000_000]) for number in (1, 2)])
    done.workers.append(WorkerFacts(cpu_ns=SECOND_NS // 2, wall_ns=SECOND_NS))
    done.host.CopyFrom(HostState(cores=2, ports=100, tcp_sent=5000, allowance_exceeded={"bw": 1}))
    return done


def check_results(measurements: Measurements) -> None:
    """Check that the good agent's part is there as it was sent, and that everything adds up."""
    good, bad = measurements.agents
    assert (good.state, good.done, good.faults) == ("done", honest_totals(GOOD), ()), good
    assert good.stats.completed == SHARE
    ledger = balance(measurements)
    assert all(fault.startswith(f"agent {BAD}: ") for fault in ledger.faults if "but" not in fault), (
        ledger.faults
    )
    assert len(str(ledger.faults)) < 10_000
    assert ledger.responses >= SHARE
    if measurements.plan.request_count:
        assert ledger.sent <= ledger.planned == 2 * SHARE
    assert ledger.planned == ledger.sent + ledger.unsent + ledger.missing
    if not ledger.faults:
        assert ledger.sent == ledger.responses + ledger.errors + ledger.abandoned + ledger.lost
    assert bad.done is None or bad.done.elapsed_ns < 2**40


def report(measurements: Measurements) -> Measurements:
    """Report on measurements as an operator receives them."""
    arrived = from_message(RunResult.FromString(to_message(measurements).SerializeToString()))
    summary = summarize(arrived, per_agent=bool(arrived.plan.slo))
    assert max(summary.counters.values()) < 2**63
    assert text.render(summary)
    assert json.render(summary)
    return arrived


def change(message: Message, reader: Reader) -> None:
    """Change as many fields of a message as the next byte says, at most 7."""
    for _ in range(reader.byte() & 7):
        change_field(message, reader)


def change_field(message: Message, reader: Reader) -> None:
    """Change a field of a message or of one within it."""
    fields = message.DESCRIPTOR.fields
    field = fields[reader.byte() % len(fields)]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _change_map(message, field, reader)
    elif field.is_repeated:
        _change_list(message, field, reader)
    elif field.message_type is not None:
        change_field(getattr(message, field.name), reader)
    else:
        setattr(message, field.name, value_of(field, reader))


def _change_map(message: Message, field: Any, reader: Reader) -> None:
    key_field, value_field = (field.message_type.fields_by_name[name] for name in ("key", "value"))
    entries: Any = getattr(message, field.name)
    keys = sorted(entries)
    choice = reader.byte()
    key = keys[choice % len(keys)] if keys and choice & 128 else value_of(key_field, reader)
    if value_field.message_type is not None:
        change_field(entries[key], reader)
    else:
        entries[key] = value_of(value_field, reader)


def _change_list(message: Message, field: Any, reader: Reader) -> None:
    values: Any = getattr(message, field.name)
    choice = reader.byte()
    if choice & 64:
        del values[:]
    elif field.message_type is None:
        values.extend([value_of(field, reader)] * (2000 if choice & 128 else 1))
    elif values and not choice & 128:
        change_field(values[choice % len(values)], reader)
    else:
        change_field(values.add(), reader)


def value_of(field: Any, reader: Reader) -> Any:
    """Return a value for a field, which may be extreme."""
    choice = reader.byte()
    make: dict[int, Callable[[], Any]] = {
        FieldDescriptor.TYPE_STRING: lambda: TEXTS[choice % len(TEXTS)],
        FieldDescriptor.TYPE_BYTES: lambda: reader.bytes() if choice & 1 else bytes(choice * 64),
        FieldDescriptor.TYPE_BOOL: lambda: bool(choice & 1),
        FieldDescriptor.TYPE_DOUBLE: lambda: float(NUMBERS[choice % len(NUMBERS)]),
        FieldDescriptor.TYPE_ENUM: lambda: choice & 3,
    }
    if field.type in make:
        return make[field.type]()
    number = choice - 128 if choice & 64 else NUMBERS[choice % len(NUMBERS)]
    is_signed = field.type in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_INT32)
    bits = 32 if field.type in (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_UINT32) else 64
    lowest = -(1 << bits - 1) if is_signed else 0
    return min(max(number, lowest), lowest + (1 << bits) - 1)


def agent_messages_seeds() -> Iterator[bytes]:
    """Yield programs: an honest run with each plan, a run that is resumed, and one that was begun elsewhere."""
    step = {name: bytes([number]) for number, name in enumerate(STEPS)}
    run = step["ready"] + b"\0\0" + step["start"] + step["time"] + b"\x30"
    run += b"".join(step["snapshot"] + bytes([number, 0]) for number in range(2)) + step["done"] + b"\0\0"
    for choice in (0, 2, 1 | 2 | 8, 4 | 1 | 16, 2 | 32, 1 | 32 | 64, 127):
        yield bytes([choice]) + run
    yield b"\0" + step["start"] + step["hello"] + b"\1\0" + run + step["again"]
    raw = FromAgent(run_id=EARLIER_RUN.run_id, snapshot=snapshot_of(BAD, 1, [1000])).SerializeToString()
    yield b"\0" + step["hello"] + b"\2\0" + step["raw"] + len(raw).to_bytes(2) + raw
    yield b"\2" + run + step["finish"] + step["hello"] + b"\3\1\3\x0b" + step["bye"] + b"\0\1\0\3"
