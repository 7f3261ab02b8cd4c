"""Which agents may attach, which of their streams counts, and what keeps their leases alive."""

from __future__ import annotations

import asyncio

import pytest

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.proto.control_pb2 import Bye, FromAgent, Hello, HostFacts, Offer, Pong, ToAgent
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import OFFERS_AT_MOST, PROTOCOL
from heyfleet.proto.stats_pb2 import Ready

from ....virtual_time import current_loop, run

NS = 1_000_000_000


class Handler:
    """Records the calls of a registry."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def resume_after(self, connection: AgentConnection, offer: Offer) -> int | None:
        self.calls.append(f"offer {offer.assignment.run_id}")
        return 7 if offer.assignment.run_id == "r1" else None

    def on_attach(self, connection: AgentConnection) -> None:
        self.calls.append(f"attach {connection.agent}")

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        self.calls.append(f"{message.WhichOneof('message')} {message.run_id}")

    def on_invalid_message(self, connection: AgentConnection, run_id: str, reason: str) -> None:
        self.calls.append(f"invalid {run_id}: {reason}")


def hello(agent: str = "a1", *run_ids: str, protocol: int = PROTOCOL, host: str = "h1") -> Hello:
    offers = [Offer(assignment=Assignment(run_id=run_id, agent=agent)) for run_id in run_ids]
    return Hello(protocol=protocol, version="9.9", agent=agent, facts=HostFacts(host=host), offers=offers)


def queued(stream: Stream) -> list[ToAgent | None]:
    messages = []
    while not stream.outgoing.empty():
        messages.append(stream.outgoing.get_nowait())
    return messages


def kinds(stream: Stream) -> list[str | None]:
    return [message.WhichOneof("message") if message else None for message in queued(stream)]


def test_an_agent_is_welcomed_and_its_clock_is_measured() -> None:
    log: list[str] = []
    registry = AgentRegistry(5 * NS, log.append, now_ns=lambda: 123)
    connection, stream = registry.attach(hello(), "a1")
    welcome, ping = queued(stream)
    assert welcome is not None
    assert ping is not None
    assert welcome.welcome.lease_ns == 5 * NS
    assert ping.ping.sent_ns == 123
    assert registry.attached == [connection]
    assert log == ["a1 (h1) joined"]


@pytest.mark.parametrize(
    ("message", "identity", "reason"),
    [
        (hello(protocol=99), "a1", "speaks protocol 99 (heyfleet 9.9)"),
        (hello("a2"), "a1", "calls itself 'a2', but its certificate is for 'a1'"),
        (hello(""), None, "calls itself ''"),
    ],
)
def test_agents_that_must_not_attach(message: Hello, identity: str | None, reason: str) -> None:
    registry = AgentRegistry()
    with pytest.raises(AttachRejectedError) as caught:
        registry.attach(message, identity)
    assert reason in str(caught.value)
    assert registry.connections == {}


def test_a_rejection_is_recorded_once() -> None:
    log: list[str] = []
    registry = AgentRegistry(log=log.append)
    registry.reject("a1", "no")
    registry.reject("a1", "no")
    assert registry.rejections == ["a1: no"]
    assert log == ["rejected a1: no"]


def test_rejections_are_bounded_in_size_and_number() -> None:
    log: list[str] = []
    registry = AgentRegistry(log=log.append)
    for number in range(1000):
        registry.reject(f"{number}" + "x" * 100_000, "y" * 100_000)
    assert len(registry.rejections) == 100
    assert sum(map(len, [*registry.rejections, *log])) < 200_000
    assert log[-1] == "further rejections are not listed until the next run"


@pytest.mark.parametrize("name", ["a b", "a\n1", "é", "x" * 65, "1" * 5000, "../a", "-" * 65])
def test_names_that_are_none(name: str) -> None:
    registry = AgentRegistry()
    with pytest.raises(AttachRejectedError, match="is not an agent's name"):
        registry.attach(hello(name), None)


def test_texts_and_numbers_are_bounded_when_they_arrive() -> None:
    registry, handler = AgentRegistry(), Handler()
    registry.run_handler = handler
    connection, _ = registry.attach(hello(host="h" * 10**6), "a1")
    assert len(connection.facts.host) == 300
    registry.on_message(connection, FromAgent(bye=Bye(reason="r" * 10**6)))
    assert len(connection.leave_reason) == 300
    ready = FromAgent(ready=Ready(addresses=["a" * 10**6], io_note="n" * 10**6), run_id="r1")
    registry.on_message(connection, ready)
    assert (len(ready.ready.addresses[0]), len(ready.ready.io_note)) == (300, 300)
    registry.on_message(connection, FromAgent(ready=Ready(lookup_ns=2**64 - 1), run_id="r1"))
    registry.on_message(connection, FromAgent(ready=Ready(addresses=["a"] * 2000), run_id="r1"))
    assert handler.calls == [
        "attach a1",
        "ready r1",
        "invalid r1: its lookup_ns is 18446744073709551615, and no such number can be right",
        "invalid r1: it has 2000 addresses, and 1024 are the most",
    ]
    with pytest.raises(AttachRejectedError, match="memory_bytes"):
        registry.attach(Hello(protocol=PROTOCOL, agent="a2", facts=HostFacts(memory_bytes=2**63)), None)


def test_only_the_first_offers_are_looked_at() -> None:
    registry, handler = AgentRegistry(), Handler()
    registry.run_handler = handler
    registry.attach(hello("a1", *(f"r{number}" for number in range(1000))), None)
    assert len([call for call in handler.calls if call.startswith("offer")]) == OFFERS_AT_MOST


def test_the_agent_that_was_away_longest_gives_way_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{AgentRegistry.__module__}._AGENTS_AT_MOST", 3)
    now_ns = [0]
    registry = AgentRegistry(now_ns=lambda: now_ns[0])
    streams = {name: registry.attach(hello(name), None) for name in ("a1", "a2", "a3")}
    with pytest.raises(AttachRejectedError, match="takes no more"):
        registry.attach(hello("a4"), None)
    for name in ("a3", "a1"):
        now_ns[0] += 1
        registry.detach(*streams[name])
    registry.attach(hello("a4"), None)
    assert list(registry.connections) == ["a1", "a2", "a4"]
    registry.attach(hello("a1"), None)


def test_a_second_stream_replaces_the_first() -> None:
    registry = AgentRegistry()
    connection, first = registry.attach(hello(), None)
    queued(first)
    same, second = registry.attach(hello(host="h2"), None)
    assert same is connection
    assert connection.facts.host == "h2"
    assert queued(first) == [None]
    registry.detach(connection, first)  # the end of the first stream is noticed late
    assert connection.attached
    registry.detach(connection, second)
    assert not connection.attached


def test_offers_are_answered_before_the_agent_counts_as_attached() -> None:
    registry, handler = AgentRegistry(), Handler()
    registry.run_handler = handler
    _, stream = registry.attach(hello("a1", "r1", "r2"), None)
    welcome = queued(stream)[0]
    assert welcome is not None
    assert [(each.run_id, each.after_sequence) for each in welcome.welcome.resume_from] == [("r1", 7)]
    assert handler.calls == ["offer r1", "offer r2", "attach a1"]


def test_messages_about_runs_are_passed_on_and_others_are_not() -> None:
    registry, handler = AgentRegistry(), Handler()
    connection, _ = registry.attach(hello(), None)
    registry.on_message(connection, FromAgent(ready=Ready(), run_id="r1"))  # nobody handles it yet
    registry.run_handler = handler
    for message in (FromAgent(ready=Ready(), run_id="r1"), FromAgent(), FromAgent(hello=hello())):
        registry.on_message(connection, message)
    assert handler.calls == ["ready r1"]


def test_the_reason_of_a_departure_is_kept_until_the_agent_is_back() -> None:
    now_ns, log = [1 * NS], list[str]()
    registry = AgentRegistry(log=log.append, now_ns=lambda: now_ns[0])
    connection, stream = registry.attach(hello(), None)
    now_ns[0] = 5 * NS
    registry.on_message(connection, FromAgent(bye=Bye(reason="maintenance")))
    now_ns[0] = 6 * NS
    registry.detach(connection, stream)
    assert (connection.last_heard_ns, connection.detached_ns) == (5 * NS, 6 * NS)
    assert connection.leave_reason == "maintenance"
    _, stream = registry.attach(hello(), None)
    assert connection.leave_reason == ""
    registry.detach(connection, stream)
    assert log[1:] == ["a1 (h1) left: maintenance", "a1 (h1) is back", "a1 (h1) is away"]


def test_waiting_coroutines_are_woken_by_changes() -> None:
    async def scenario() -> list[float]:
        loop = current_loop()
        registry = AgentRegistry(now_ns=loop.now_ns)
        times: list[float] = []

        async def note(count: int) -> None:
            assert await registry.changes.until(lambda: len(registry.attached) == count, 10)
            times.append(loop.time())

        waiting = [asyncio.ensure_future(note(1))]
        await asyncio.sleep(1)
        connection, stream = registry.attach(hello(), None)
        await waiting[0]
        waiting.append(asyncio.ensure_future(note(0)))
        await asyncio.sleep(1)
        registry.detach(connection, stream)
        await waiting[1]
        return times

    first, second = run(scenario())
    assert second - first == pytest.approx(1)


def test_a_complete_clock_burst_wakes_waiting_coroutines() -> None:
    async def scenario() -> int:
        loop = current_loop()
        registry = AgentRegistry(now_ns=loop.now_ns)
        connection, stream = registry.attach(hello(), None)
        synchronized = asyncio.ensure_future(
            registry.changes.until(lambda: connection.clock.synchronized, 10)
        )
        pings = 0
        while not connection.clock.synchronized:
            for message in queued(stream):
                assert message is not None
                if message.HasField("ping"):
                    pings += 1
                    pong = Pong(
                        sequence=message.ping.sequence,
                        sent_ns=message.ping.sent_ns,
                        received_ns=loop.now_ns(),
                    )
                    registry.on_message(connection, FromAgent(pong=pong))
        assert await synchronized
        return pings

    assert run(scenario()) == 8


def test_leases_are_renewed_only_where_nothing_else_was_sent() -> None:
    async def scenario() -> tuple[int, int]:
        loop = current_loop()
        registry = AgentRegistry(now_ns=loop.now_ns)
        (busy, busy_stream), (idle, idle_stream) = (
            registry.attach(hello("a1"), None),
            registry.attach(hello("a2"), None),
        )
        queued(busy_stream), queued(idle_stream)
        renewal = asyncio.ensure_future(registry.renew_leases())
        for _ in range(100):
            await asyncio.sleep(0.1)
            busy.acknowledge("r1", 1)
        renewal.cancel()
        assert idle.attached
        return kinds(busy_stream).count("ping"), kinds(idle_stream).count("ping")

    busy_pings, idle_pings = run(scenario())
    assert busy_pings == 0
    assert idle_pings in (9, 10)


def test_dismissal_reaches_attached_agents() -> None:
    registry = AgentRegistry()
    _, stream = registry.attach(hello("a1"), None)
    gone, gone_stream = registry.attach(hello("a2"), None)
    registry.detach(gone, gone_stream)
    queued(gone_stream)
    registry.dismiss_all("over")
    assert kinds(stream)[-1] == "dismissal"
    assert queued(gone_stream) == []
