"""The connection to one agent: its messages, its clock and its lease, over several streams."""

from __future__ import annotations

import pytest

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.clock_sync import SAMPLES_PER_BURST
from heyfleet.proto.control_pb2 import Hello, HostFacts, Pong, ToAgent
from heyfleet.proto.plan_pb2 import Assignment

MS = 1_000_000
AGENT_AHEAD_NS = 500 * MS


class Clock:
    """A clock that stands still unless it is moved."""

    def __init__(self) -> None:
        self.ns = 1000 * MS

    def __call__(self) -> int:
        return self.ns


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(clock: Clock) -> AgentConnection:
    connection = AgentConnection(Hello(agent="a1", facts=HostFacts(host="h1")), clock)
    connection.stream = Stream()
    return connection


def queued(connection: AgentConnection) -> list[ToAgent]:
    assert connection.stream is not None
    messages = []
    while not connection.stream.outgoing.empty():
        message = connection.stream.outgoing.get_nowait()
        assert message is not None
        messages.append(message)
    return messages


def test_each_answer_triggers_the_next_ping_of_a_burst(connection: AgentConnection, clock: Clock) -> None:
    connection.synchronize_clock()
    pings = 0
    while messages := queued(connection):
        (message,) = messages
        pings += 1
        clock.ns += 2 * MS
        agent_ns = clock.ns - 1 * MS + AGENT_AHEAD_NS
        connection.on_pong(
            Pong(sequence=message.ping.sequence, sent_ns=message.ping.sent_ns, received_ns=agent_ns)
        )
    assert pings == SAMPLES_PER_BURST
    assert connection.clock.synchronized
    assert connection.clock.round_trip_ns == 2 * MS
    assert connection.clock.to_agent_ns(0) == AGENT_AHEAD_NS


def test_a_later_pong_does_not_prolong_the_burst(connection: AgentConnection) -> None:
    for _ in range(SAMPLES_PER_BURST):
        connection.on_pong(Pong())
    queued(connection)
    connection.on_pong(Pong())
    assert queued(connection) == []


def test_the_controller_alone_knows_when_a_ping_was_sent(connection: AgentConnection, clock: Clock) -> None:
    clock.ns = 1000
    connection.ping()
    clock.ns = 1500
    for sequence, sent_ns in ((7, 0), (1, -(2**63)), (1, 2**62), (0, 1000)):
        connection.on_pong(Pong(sequence=sequence, sent_ns=sent_ns, received_ns=1250))
    assert connection.clock.round_trip_ns == 500
    assert connection.clock.to_agent_ns(1250) == 1250


def test_an_agent_that_reads_nothing_is_cut_off(connection: AgentConnection) -> None:
    assert connection.stream is not None
    for sequence in range(200_000):
        connection.acknowledge("r1", sequence)
    assert connection.stream.outgoing.qsize() < 101_000


def test_only_an_idle_agent_is_pinged(connection: AgentConnection, clock: Clock) -> None:
    connection.ping()
    clock.ns += 999 * MS
    connection.ping_if_idle(1000 * MS)
    assert len(queued(connection)) == 1
    clock.ns += 1 * MS
    connection.ping_if_idle(1000 * MS)
    assert [message.ping.sequence for message in queued(connection)] == [2]


def test_without_a_stream_messages_are_dropped(connection: AgentConnection, clock: Clock) -> None:
    connection.stream = None
    clock.ns += 5000 * MS
    connection.release("r1")
    connection.stream = Stream()
    assert queued(connection) == []
    connection.ping_if_idle(1000 * MS)
    assert len(queued(connection)) == 1


def test_messages_about_runs(connection: AgentConnection) -> None:
    connection.clock.add_sample(0, AGENT_AHEAD_NS, 0)
    connection.assign(Assignment(run_id="r1", agent="a1"))
    connection.start("r1", 7)
    connection.stop("r1")
    connection.acknowledge("r1", 3)
    connection.acknowledge("r1", 4, "contradiction")
    connection.release("r1")
    assign, start, stop, ack, refusal, release = queued(connection)
    assert assign.assignment.agent == "a1"
    assert start.start.at_ns == 7 + AGENT_AHEAD_NS
    assert stop.HasField("stop")
    assert (ack.ack.sequence, ack.ack.refusal_reason) == (3, "")
    assert (refusal.ack.sequence, refusal.ack.refusal_reason) == (4, "contradiction")
    assert release.HasField("release")
    assert {message.run_id for message in (assign, start, stop, ack, refusal, release)} == {"r1"}


@pytest.mark.parametrize(
    ("agent", "host", "label"),
    [("a1", "h1", "a1 (h1)"), ("h1-7f", "h1", "h1-7f"), ("a1", "", "a1")],
)
def test_the_label_names_the_host_once(agent: str, host: str, label: str, clock: Clock) -> None:
    assert AgentConnection(Hello(agent=agent, facts=HostFacts(host=host)), clock).label == label
