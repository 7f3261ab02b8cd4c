"""The trust verdict on made-up numbers. tests/hosts has real runs under adverse conditions."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, HostState, WorkerFacts
from heyfleet.results.ledger import balance
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats
from heyfleet.results.trust import Trust, judge_trust

MS = 1_000_000
CALM = {
    "cores": 2,
    "clock_resolution_ns": 30,
    "fds_allowed": 1000,
    "fds_used": 100,
    "ports": 28000,
    "tcp_sent": 10_000,
}


def verdict(
    kit: Any, *, host: dict[str, Any] | None = None, worker: dict[str, int] | None = None, **snapshot: Any
) -> Trust:
    snapshots = [kit.snapshot(latencies_ns=[MS] * 1000, **snapshot)]
    facts = {"cpu_ns": 200 * MS, "wall_ns": 1000 * MS, "switched_out": 10, **(worker or {})}
    done = kit.done(snapshots, host=HostState(**{**CALM, **(host or {})}), workers=[WorkerFacts(**facts)])
    plan = make_plan(RunOptions(url="http://localhost/", user_agent="heyfleet/0", requests=1000))
    measured = kit.measured(snapshots, done, plan=plan)
    return judge_trust(measured, balance(measured))


def test_a_calm_run_is_trusted(kit: Any) -> None:
    assert verdict(kit) == Trust("good", ())


@pytest.mark.parametrize(
    ("case", "limit", "words"),
    [
        ({"worker": {"cpu_ns": 920 * MS}}, "limited", "worker 0 was 92% busy"),
        ({"worker": {"cpu_ns": 980 * MS}}, "bad", "worker 0 was 98% busy"),
        (
            {"worker": {"run_queue_ns": 60 * MS}},
            "limited",
            "waited for a CPU 6% of the time, 6 ms each time",
        ),
        ({"worker": {"run_queue_ns": 300 * MS}}, "bad", "waited for a CPU 30% of the time"),
        (
            {"host": {"steal_ns": 60 * MS}},
            "limited",
            "3.0% of the CPU time of this host went to other virtual machines",
        ),
        ({"host": {"steal_ns": 400 * MS}}, "bad", "20.0% of the CPU time"),
        ({"host": {"throttled_ns": 500 * MS}}, "bad", "CPU quota of this host throttled it for 50.0%"),
        ({"host": {"tcp_retransmitted": 50}}, "limited", "0.50% of the TCP segments"),
        ({"host": {"tcp_retransmitted": 500}}, "bad", "5.00% of the TCP segments .* retransmitted"),
        ({"host": {"listen_drops": 3}}, "limited", "3 connections to servers .* listen queue"),
        ({"host": {"fds_used": 950}}, "limited", "950 of 1000 file descriptors"),
        ({"host": {"clock_resolution_ns": 4 * MS}}, "bad", "steps of 4 ms"),
        (
            {"host": {"allowance_exceeded": {"pps_allowance_exceeded": 7}}},
            "limited",
            "EC2 queued or dropped 7 packets",
        ),
        (
            {"errors": {"no local port": 5}},
            "bad",
            "5 requests failed on the generator's side: the host ran out of ports",
        ),
        ({"errors": {"no file descriptor": 5}}, "bad", "ran out of file descriptors"),
        ({"dropped": 4}, "bad", "4 requests were dropped"),
        ({"rate_limited": 4}, "limited", "4 requests, .* waited for the highest rate that the owner"),
        ({"metrics": {"loop_turn": [60 * MS]}}, "limited", "for up to 60 ms"),
        ({"metrics": {"wake_late": [900 * MS]}}, "bad", "for up to 900 ms"),
        (
            {"metrics": {"generator_lag": [1000] * 97 + [3 * MS] * 3}},
            "limited",
            "3.0% .* p99 may be too high by up to 3 ms",
        ),
        (
            {"metrics": {"generator_lag": [1000] * 90 + [3 * MS] * 10}},
            "bad",
            "10.0% of the requests left more than 1 ms late",
        ),
    ],
)
def test_each_doubt(kit: Any, case: dict[str, Any], limit: str, words: str) -> None:
    import re

    trust = verdict(kit, **case)
    assert trust.verdict == limit
    assert any(re.search(words, reason) for reason in trust.reasons), trust.reasons


def test_short_runs_ignore_shares_of_time(kit: Any) -> None:
    assert verdict(kit, worker={"cpu_ns": 99 * MS, "wall_ns": 100 * MS}).verdict == "good"


def test_the_worst_reasons_come_first(kit: Any) -> None:
    trust = verdict(kit, worker={"cpu_ns": 920 * MS}, dropped=1)
    assert trust.verdict == "bad"
    assert trust.reasons[0].startswith("1 requests were dropped")


def test_an_agent_slower_than_the_others(kit: Any) -> None:
    agents = []
    for name, responses in (("a1", 1000), ("a2", 990), ("a3", 300)):
        stats = Stats()
        stats.add(kit.snapshot(agent=name, latencies_ns=[MS] * responses))
        done = Done(
            agent=name,
            last_sequence=1,
            elapsed_ns=1000 * MS,
            sent=responses,
            planned=responses,
            responses=responses,
        )
        share = Assignment(agent=name, connections=10)
        agents.append(
            AgentMeasurements(agent=name, host="", share=share, ready=kit.ready(), done=done, stats=stats)
        )
    plan = make_plan(
        RunOptions(url="http://localhost/", user_agent="heyfleet/0", duration_ns=1000 * MS, connections=30)
    )
    whole = Stats()
    measured = Measurements(plan=plan, stats=whole, agents=agents, agents_requested=3)
    trust = judge_trust(measured, balance(measured))
    assert "agent a3 completed only 30% of the requests that the others did per connection" in trust.reasons
    assert not any("a1" in reason or "a2" in reason for reason in trust.reasons if "completed only" in reason)
