"""Merging results: the same whatever the order, each snapshot once, contradictions refused with a reason."""

from __future__ import annotations

import random

import pytest

from heyfleet.controller.fleet.agent_connection import DONE, LOST, AgentConnection
from heyfleet.controller.fleet.collector import Collector
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.proto.control_pb2 import Ack, Hello, Interval
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Stage
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Done, Snapshot
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.ledger import balance
from heyfleet.results.stats import Stats

from .simulation import NS, done_of, snapshot_of


class Agents:
    """Agents that are attached to a registry whose clock stands still unless it is moved."""

    def __init__(self, *names: str) -> None:
        self.now_ns = 10 * NS
        self.registry = AgentRegistry(now_ns=lambda: self.now_ns)
        for name in names:
            self.registry.attach(Hello(protocol=PROTOCOL, agent=name), None)

    def __getitem__(self, name: str) -> AgentConnection:
        return self.registry.connections[name]

    def acks(self, name: str) -> list[Ack]:
        """The acknowledgements that are queued for an agent."""
        stream, acks = self[name].stream, []
        assert stream is not None
        while not stream.outgoing.empty():
            message = stream.outgoing.get_nowait()
            if message is not None and message.HasField("ack"):
                acks.append(message.ack)
        return acks


def collector_for(agents: Agents, *names: str, share: int = 0, sink: IntervalSink = ignore) -> Collector:
    plan = Plan(connections=len(names), request_count=share * len(names))
    collector = Collector("r1", plan, on_interval=sink)
    for first, name in enumerate(names):
        collector.expect(
            agents[name],
            Assignment(
                run_id="r1",
                agent=name,
                request_count=share,
                connections=1,
                first_connection=first,
                connection_stride=len(names),
            ),
        )
    return collector


def history(source: random.Random, agent: str) -> list[Snapshot]:
    return [
        snapshot_of(agent, sequence, [source.randrange(10**4, 10**9) for _ in range(source.randrange(5))])
        for sequence in range(1, source.randrange(2, 9))
    ]


@pytest.mark.parametrize("seed", range(100))
def test_any_order_with_repetitions_gives_the_same_result(seed: int) -> None:
    source = random.Random(seed)
    names = [f"a{number}" for number in range(source.randrange(1, 5))]
    snapshots = {name: history(source, name) for name in names}
    in_order = Stats()
    for name in names:
        for snapshot in snapshots[name]:
            in_order.add(snapshot)
    messages: list[Snapshot | Done] = [each for name in names for each in snapshots[name]]
    messages += [done_of(name, snapshots[name]) for name in names]
    messages += source.sample(messages, source.randrange(len(messages)))
    source.shuffle(messages)
    agents = Agents(*names)
    intervals: list[Interval] = []
    collector = collector_for(agents, *names, sink=intervals.append)
    for number, message in enumerate(messages):
        assert not collector.settled or number > len(names)
        if isinstance(message, Done):
            collector.on_done(agents[message.agent], message)
        else:
            collector.on_snapshot(agents[message.agent], message)
    collector.intervals.close()
    assert collector.settled
    assert collector.stats.histograms == in_order.histograms
    assert collector.stats.counters == in_order.counters
    assert sum(each.merged.sent for each in intervals) == in_order.counters["sent"]
    measurements = collector.measurements()
    assert {part.state for part in measurements.agents} == {DONE}
    assert balance(measurements).faults == ()
    for name in names:
        assert collector.contiguous(name) == len(snapshots[name])
        acks = agents.acks(name)
        assert {ack.sequence for ack in acks} == {each.sequence for each in snapshots[name]}
        assert not any(ack.refusal_reason for ack in acks)


def test_an_agent_is_done_when_its_totals_and_all_snapshots_have_arrived() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1")
    first, second = snapshot_of("a1", 1, [1000]), snapshot_of("a1", 2, [2000])
    collector.on_snapshot(agents["a1"], first)
    collector.on_done(agents["a1"], done_of("a1", [first, second]))
    assert not collector.settled
    assert [each.assignment.agent for each in collector.attached] == ["a1"]
    collector.on_snapshot(agents["a1"], second)
    assert collector.settled
    assert collector.attached == []


def test_snapshots_that_totals_announce_are_not_waited_for_without_end() -> None:
    """A load that ends by its count has no deadline, and an agent could repeat another snapshot for ever."""
    agents = Agents("a1")
    collector = collector_for(agents, "a1", share=10)
    agent_run = collector.agent_runs["a1"]
    agent_run.expect_results(agents.now_ns, 0)
    collector.on_done(agents["a1"], Done(agent="a1", last_sequence=2))
    agents.now_ns = agent_run.heard_ns = agents.now_ns + 601 * NS
    assert agent_run.lateness(agents.now_ns) == "its load did not end 600 s after it should have"


def test_a_repeated_snapshot_is_no_more_than_the_share() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1", share=2)
    snapshot = snapshot_of("a1", 1, [1000, 2000])
    collector.on_snapshot(agents["a1"], snapshot)
    collector.on_snapshot(agents["a1"], snapshot)
    assert [ack.refusal_reason for ack in agents.acks("a1")] == ["", ""]
    assert collector.stats.counters["sent"] == 2


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (snapshot_of("a2", 2, [1000]), "it names the agent 'a2'"),
        (snapshot_of("a1", 2, [1000] * 3), "4 requests sent are more than the agent's share of 3"),
        (Snapshot(agent="a1", sequence=2, begin_ns=2, end_ns=1), "2 to 1 ns"),
        (Snapshot(agent="a1", sent=1), "its sequence is 0"),
        (Snapshot(agent="a1", sequence=2, warmup=Snapshot(sent=5)), "a warm-up, and the plan has none"),
    ],
)
def test_a_contradiction_is_refused_and_reported(snapshot: Snapshot, reason: str) -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1", share=3)
    first = snapshot_of("a1", 1, [1000])
    collector.on_snapshot(agents["a1"], first)
    collector.on_snapshot(agents["a1"], snapshot)
    refusals = [ack.refusal_reason for ack in agents.acks("a1")]
    assert refusals[0] == ""
    assert reason in refusals[1]
    assert collector.stats.counters["sent"] == 1
    collector.on_done(agents["a1"], done_of("a1", [first, snapshot]))
    (part,) = collector.measurements().agents
    assert part.state == DONE  # the refused snapshot will not come again
    assert len(part.faults) == 1
    assert reason in part.faults[0]


def test_only_the_first_contradictions_are_listed() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1")
    for sequence in range(1, 14):
        collector.on_snapshot(agents["a1"], snapshot_of("a2", sequence, [1000]))
    (part,) = collector.measurements().agents
    assert len(part.faults) == 11
    assert part.faults[-1] == "and 3 more of this kind"


def test_totals_under_another_name_are_a_contradiction() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1")
    collector.on_done(agents["a1"], done_of("a2", []))
    assert collector.state(collector.agent_runs["a1"]) == LOST
    assert collector.agent_runs["a1"].faults == ["its totals name the agent 'a2'"]


def test_an_agent_without_a_share_is_refused() -> None:
    agents = Agents("a1", "a2")
    collector = collector_for(agents, "a1")
    collector.on_snapshot(agents["a2"], snapshot_of("a2", 1, [1000]))
    collector.on_done(agents["a2"], done_of("a2", []))
    (ack,) = agents.acks("a2")
    assert "expects no results" in ack.refusal_reason
    assert collector.stats.counters["sent"] == 0


def test_a_lost_agent_counts_with_what_it_delivered_also_later() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1", share=3)
    collector.started_ns = 8 * NS
    agent_run = collector.agent_runs["a1"]
    first, second = snapshot_of("a1", 1, [1000]), snapshot_of("a1", 2, [2000, 3000])
    collector.on_snapshot(agents["a1"], first)
    collector.lose(agent_run, "gone")
    (part,) = collector.measurements().agents
    assert (part.state, part.reason, part.last_heard_ns) == (LOST, "gone", 2 * NS)
    assert balance(collector.measurements()).missing == 2
    assert collector.settled
    collector.on_snapshot(agents["a1"], second)
    collector.on_done(agents["a1"], done_of("a1", [first, second], planned=3))
    (part,) = collector.measurements().agents
    assert part.state == DONE


def test_away_and_attached_agents() -> None:
    agents = Agents("a1", "a2")
    collector = collector_for(agents, "a1", "a2")
    stream = agents["a1"].stream
    assert stream is not None
    agents.registry.detach(agents["a1"], stream)
    assert [each.assignment.agent for each in collector.away] == ["a1"]
    assert [each.assignment.agent for each in collector.attached] == ["a2"]
    assert collector.state(collector.agent_runs["a1"]) == "away"


def test_the_start_of_workers_is_on_the_controllers_clock() -> None:
    agents = Agents("a1")
    collector = collector_for(agents, "a1")
    agents["a1"].clock.add_sample(10 * NS, 110 * NS + 500, 10 * NS + 1000)
    collector.started_ns = 10 * NS
    snapshot = snapshot_of("a1", 1, [1000])
    snapshot.first_worker_ns, snapshot.last_worker_ns = 110 * NS + 7, 110 * NS + 9
    collector.on_snapshot(agents["a1"], snapshot)
    (part,) = collector.measurements().agents
    assert (part.first_worker_ns, part.last_worker_ns, part.clock_uncertainty_ns) == (7, 9, 500)


def test_requests_of_the_warm_up_are_a_part_of_the_schedule() -> None:
    agents = Agents("a1")
    plan = Plan(connections=1, load_model=RATE, stages=[Stage(first=10, last=10)], warmup_ns=NS)
    collector = Collector("r1", plan)
    collector.expect(agents["a1"], Assignment(run_id="r1", agent="a1", plan=plan, connections=1))
    for sequence, sent in ((1, 10), (2, 10**6)):
        warmup = Snapshot(sent=sent)
        collector.on_snapshot(agents["a1"], Snapshot(agent="a1", sequence=sequence, end_ns=NS, warmup=warmup))
    refusals = [ack.refusal_reason for ack in agents.acks("a1")]
    assert refusals == [
        "",
        "1000010 requests sent are more than the 1040 that the schedule can have until then",
    ]
    assert collector.stats.warmup.counters["sent"] == 10


def test_an_agent_sends_no_more_than_the_schedule_has() -> None:
    agents = Agents("a1")
    plan = Plan(connections=1, load_model=RATE, stages=[Stage(first=10, last=20)])
    collector = Collector("r1", plan)
    collector.started_ns = 2 * NS
    collector.expect(agents["a1"], Assignment(run_id="r1", agent="a1", plan=plan, connections=1))
    first, second = snapshot_of("a1", 1, [1000] * 40), snapshot_of("a1", 2, [1000] * 5000)
    collector.on_snapshot(agents["a1"], first)
    collector.on_snapshot(agents["a1"], second)
    assert [ack.refusal_reason for ack in agents.acks("a1")] == [
        "",
        "5040 requests sent are more than the 1120 that the schedule can have until then",
    ]
    collector.on_done(agents["a1"], done_of("a1", [first], planned=10**6))
    (part,) = collector.measurements().agents
    assert (part.state, part.done) == (LOST, None)
    assert part.reason == "its totals plan 1000000 requests, and the plan has at most 1040"
