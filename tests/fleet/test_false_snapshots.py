"""What agents send is merged once or refused with a reason, never in part and never silently."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.errors import CannotStartError
from heyfleet.ext import Histogram
from heyfleet.proto.control_pb2 import RunRequest, RunResult, ToAgent
from heyfleet.proto.protocol import ATTACH, PROTOCOL
from heyfleet.proto.stats_pb2 import Done, Snapshot, WorkerFacts
from heyfleet.results.codec import from_message, to_message
from heyfleet.results.ledger import balance
from heyfleet.results.summary import summarize

from .fake import FakeAgent, done, play, snapshot

VALUES = [[1000, 2000, 3000], [4000, 5_000_000], [6000] * 50]


def honest(agent: str) -> list[Any]:
    snapshots = [snapshot(agent, number, values) for number, values in enumerate(VALUES, 1)]
    return [*snapshots, done(agent, snapshots)]


def expected(times: int = 1) -> Histogram:
    histogram = Histogram()
    for values in VALUES * times:
        for value in values:
            histogram.record(value)
    return histogram


def test_four_agents_are_one(tmp_path: Path) -> None:
    """One agent and four agents with the same values give identical histograms, bucket by bucket."""
    flat = [value for values in VALUES for value in values]

    def share(number: int) -> Callable[[str], list[Any]]:
        def messages(agent: str) -> list[Any]:
            mine = flat[number::4]
            snapshots = [snapshot(agent, 1, mine[:1]), snapshot(agent, 2, mine[1:])]
            return [*snapshots, done(agent, snapshots)]

        return messages

    (tmp_path / "one").mkdir()
    (tmp_path / "four").mkdir()
    one = play(tmp_path / "one", [FakeAgent("a1", honest)])
    four = play(tmp_path / "four", [FakeAgent(f"a{number}", share(number)) for number in range(4)])
    assert one.stats.histograms == four.stats.histograms
    assert one.stats.histograms["latency"].buckets() == four.stats.histograms["latency"].buckets()
    assert one.stats.responses == four.stats.responses
    single, several = summarize(one), summarize(four)
    for name in ("latency", "latency_bars", "statuses", "errors", "ledger", "body_bytes", "total_ns"):
        assert getattr(single, name) == getattr(several, name), name


def test_duplicates_and_reordering(tmp_path: Path) -> None:
    def messages(agent: str) -> list[Any]:
        *snapshots, last = honest(agent)
        return [
            snapshots[2],
            snapshots[0],
            snapshots[2],
            snapshots[0],
            snapshots[1],
            snapshots[1],
            last,
            last,
        ]

    agent = FakeAgent("a1", messages)
    measurements = play(tmp_path, [agent])
    assert measurements.stats.histograms["latency"] == expected()
    assert balance(measurements).faults == ()
    assert sorted(agent.acks) == [(1, ""), (1, ""), (2, ""), (2, ""), (3, ""), (3, "")]
    assert agent.released


def test_totals_before_the_last_snapshot(tmp_path: Path) -> None:
    def messages(agent: str) -> list[Any]:
        first, second, third, last = honest(agent)
        return [first, last, third, second]

    measurements = play(tmp_path, [FakeAgent("a1", messages)])
    assert measurements.stats.histograms["latency"] == expected()
    assert balance(measurements).faults == ()


def test_a_broken_stream_is_made_good(tmp_path: Path) -> None:
    def messages(agent: str) -> list[Any]:
        first, second, third, last = honest(agent)
        return [first, second, "break", first, second, third, last]

    measurements = play(tmp_path, [FakeAgent("a1", messages), FakeAgent("a2", honest)])
    assert measurements.stats.histograms["latency"] == expected(2)
    assert balance(measurements).faults == ()
    assert [part.state for part in measurements.agents] == ["done", "done"]


def changed(**changes: Any) -> Callable[[Snapshot], None]:
    def change(part: Snapshot) -> None:
        for name, value in changes.items():
            setattr(part, name, value)

    return change


def in_histogram(**changes: Any) -> Callable[[Snapshot], None]:
    def change(part: Snapshot) -> None:
        for name, value in changes.items():
            setattr(part.histograms["latency"], name, value)

    return change


def corrupt(part: Snapshot) -> None:
    payload = bytearray(part.histograms["latency"].counts_v2)
    payload[-1] ^= 0x81
    part.histograms["latency"].counts_v2 = bytes(payload)


def other_layout(part: Snapshot) -> None:
    payload = bytearray(part.histograms["latency"].counts_v2)
    payload[15] = 2  # significant digits
    part.histograms["latency"].counts_v2 = bytes(payload)


def half_bad(part: Snapshot) -> None:
    """One histogram is good, the other not: none of them may be merged."""
    part.histograms["wait"].CopyFrom(part.histograms["latency"])
    part.histograms["wait"].max_ns += 10**9


def huge(part: Snapshot) -> None:
    payload = part.histograms["latency"].counts_v2
    length = 5_000_000
    part.histograms["latency"].counts_v2 = (
        payload[:4] + length.to_bytes(4) + payload[8:40] + bytes([2]) * length
    )


FALSE_SNAPSHOTS: dict[str, tuple[Callable[[Snapshot], None], str]] = {
    "corrupt": (corrupt, "histogram"),
    "truncated": (in_histogram(counts_v2=b"\x1c\x84\x93\x13"), "histogram payload has 4 bytes"),
    "another layout": (other_layout, "number of significant digits 2, expected 3"),
    "huge": (huge, "beyond the highest trackable value"),
    "half": (half_bad, "max_ns"),
    "count": (in_histogram(count=7), "2 responses but 7 latencies"),
    "more responses than latencies": (
        lambda part: part.responses.update({200: 3}),
        "3 responses but 2 latencies",
    ),
    "status": (lambda part: part.responses.update({7: 0}), "status 7"),
    "error kind": (lambda part: part.errors.update({"bad luck": 1}), "'bad luck'"),
    "metric": (lambda part: part.histograms["luck"].SetInParent(), "'luck', which is not a metric"),
    "backwards": (changed(begin_ns=9 * 10**9), "it goes from 9000000000 to 2000000000 ns"),
    "rows": (changed(trace=b"x" * 63), "cut off (63 bytes)"),
    "somebody else's": (changed(agent="a9"), "names the agent 'a9'"),
}


@pytest.mark.parametrize("name", FALSE_SNAPSHOTS)
def test_a_false_snapshot_is_refused_as_a_whole(tmp_path: Path, name: str) -> None:
    change, reason_part = FALSE_SNAPSHOTS[name]

    def messages(agent: str) -> list[Any]:
        first, second, third, last = honest(agent)
        change(second)
        return [first, second, third, last]

    agent = FakeAgent("a1", messages)
    measurements = play(tmp_path, [agent, FakeAgent("a2", honest)])
    refused = [reason for sequence, reason in agent.acks if sequence == 2]
    assert len(refused) == 1
    assert reason_part in refused[0]
    merged = expected()
    for value in VALUES[0] + VALUES[2]:
        merged.record(value)
    assert measurements.stats.histograms == {"latency": merged}
    faults = balance(measurements).faults
    assert any(
        fault.startswith("agent a1: snapshot 2 was refused") and reason_part in fault for fault in faults
    )
    assert not any("agent a2" in fault for fault in faults)


def many_addresses(part: Snapshot) -> None:
    for number in range(2000):
        part.addresses[f"{number}"].SetInParent()


IN_SNAPSHOT: dict[str, Callable[[Snapshot], None]] = {
    "counter": changed(bytes_received=2**63 - 1),
    "workers": changed(first_worker_ns=-(2**63)),
    "late workers": changed(first_worker_ns=2**61, last_worker_ns=2**61),
    "end": changed(end_ns=2**62),
    "sequence": changed(sequence=2**64 - 1),
    "unsent answers": changed(sent=0),
    "warm-up": lambda part: setattr(part.warmup, "bytes_sent", 2**63 - 1),
    "address": lambda part: setattr(part.addresses["10.0.0.1"], "responses", 2**63 - 1),
    "addresses": many_addresses,
    "kinds": lambda part: part.errors.update({f"bad response: {n}": 0 for n in range(2000)}),
    "breakdown": lambda part: part.breakdowns.add(stage=7, request=9).SetInParent(),
    "rows": changed(trace=bytes(64)),
    "name": changed(agent="x" * 100_000),
}
IN_TOTALS: dict[str, Callable[[Done], None]] = {
    "elapsed": lambda last: setattr(last, "elapsed_ns", 2**63 - 1),
    "elapsed before the start": lambda last: setattr(last, "elapsed_ns", -1),
    "planned": lambda last: setattr(last, "planned", 2**64 - 1),
    "unsent": lambda last: last.MergeFrom(Done(planned=2**40 + last.sent, unsent=2**40)),
    "sent": lambda last: last.MergeFrom(Done(planned=2**40, sent=2**40, responses=2**40)),
    "name": lambda last: setattr(last, "agent", "x" * 100_000),
    "workers": lambda last: last.workers.extend(WorkerFacts() for _ in range(5000)),
    "memory": lambda last: setattr(last, "peak_rss_bytes", 2**64 - 1),
}


@pytest.mark.parametrize("name", [*IN_SNAPSHOT, *(f"totals: {each}" for each in IN_TOTALS)])
def test_a_bad_agent_loses_its_own_part_and_nothing_else(tmp_path: Path, name: str) -> None:
    def messages(agent: str) -> list[Any]:
        first, second, third, last = honest(agent)
        if name in IN_SNAPSHOT:
            IN_SNAPSHOT[name](second)
        else:
            IN_TOTALS[name.removeprefix("totals: ")](last)
        return [first, second, third, last]

    measurements = play(tmp_path, [FakeAgent("a1", messages), FakeAgent("a2", honest)])
    arrived = from_message(RunResult.FromString(to_message(measurements).SerializeToString()))
    summary = summarize(arrived, per_agent=True)
    ledger, theirs = summary.ledger, arrived.agents[1]
    assert theirs.done == honest("a2")[-1]
    assert theirs.stats.completed == 55
    assert 55 <= ledger.responses <= 110
    assert ledger.planned == ledger.sent + ledger.unsent + ledger.missing
    assert ledger.sent == ledger.responses + ledger.errors + ledger.abandoned + ledger.lost
    assert max(summary.counters.values()) < 2**40
    assert 0 <= summary.total_ns < 3600 * 10**9
    assert len(str(ledger.faults)) < 2000
    assert {fault.partition(":")[0] for fault in ledger.faults} == {"agent a1"}
    assert summary.trust.verdict == "bad"


def test_more_requests_than_the_share_are_refused(tmp_path: Path) -> None:
    measurements = play(tmp_path, [FakeAgent("a1", honest)], requests=10)
    faults = balance(measurements).faults
    assert any("55 requests sent are more than the agent's share of 10" in fault for fault in faults)


def test_totals_that_contradict_the_snapshots(tmp_path: Path) -> None:
    def messages(agent: str) -> list[Any]:
        *snapshots, last = honest(agent)
        last.responses += 1
        return [*snapshots, last]

    faults = balance(play(tmp_path, [FakeAgent("a1", messages)])).faults
    assert "agent a1: responses: the snapshots add up to 55, the agent's total is 56" in faults


def test_many_false_snapshots_of_one_agent_take_few_lines(tmp_path: Path) -> None:
    def messages(agent: str) -> list[Any]:
        snapshots = [snapshot(agent, number, [1000]) for number in range(1, 31)]
        for part in snapshots:
            part.responses[200] += 1
        return [*snapshots, done(agent, snapshots)]

    faults = balance(play(tmp_path, [FakeAgent("a1", messages)])).faults
    assert "agent a1: and 20 more of this kind" in faults


def test_another_version_is_rejected(tmp_path: Path) -> None:
    agent = FakeAgent("a1", honest, protocol_number=99)
    with pytest.raises(CannotStartError, match="0 of 1 agents joined"):
        play_briefly(tmp_path, agent)
    assert f"the agent speaks protocol 99 (heyfleet 0), this controller {PROTOCOL}" in agent.rejected


def test_a_stream_without_a_hello_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{Server.__module__}._HELLO_LIMIT_S", 0.1)

    async def scenario() -> None:
        server, address = Server(AgentRegistry(), None), f"unix:{tmp_path}/socket"
        await server.start(address)
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                call = channel.stream_stream(ATTACH, response_deserializer=ToAgent.FromString)()
                assert await asyncio.wait_for(call.read(), 30) is grpc.aio.EOF
        finally:
            await server.stop()

    asyncio.run(scenario())


def play_briefly(folder: Path, agent: FakeAgent) -> None:
    async def scenario() -> None:
        registry = AgentRegistry()
        coordinator = registry.run_handler = RunCoordinator(
            registry, RunRequest(agents=1, join_timeout_ns=500_000_000)
        )
        server = Server(registry, None)
        await server.start(f"unix:{folder}/socket")
        task = asyncio.create_task(agent.run(f"unix:{folder}/socket"))
        try:
            await coordinator.run()
        finally:
            await task
            await server.stop()
            assert registry.rejections

    asyncio.run(scenario())
