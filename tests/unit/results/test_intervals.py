"""Intervals: each snapshot is in exactly one, and late snapshots make further intervals."""

from __future__ import annotations

from typing import Any

from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import Intervals, ignore
from heyfleet.results.stats import Stats

MS = 1_000_000


def plan() -> Plan:
    return make_plan(RunOptions(url="http://localhost/", user_agent="x"))


def test_snapshots_of_all_agents_are_merged_by_the_second(kit: Any) -> None:
    taken: list[Interval] = []
    intervals = Intervals(taken.append, plan())
    for second in range(1, 7):
        for agent in ("a1", "a2"):
            intervals.add(kit.snapshot(second, agent=agent, latencies_ns=[second * MS] * second))
    assert [each.second for each in taken] == [0, 1, 2]
    intervals.close()
    assert [each.second for each in taken] == list(range(6))
    assert [each.merged.responses[200] for each in taken] == [2, 4, 6, 8, 10, 12]
    assert [[row.agent for row in each.agents] for each in taken] == [["a1", "a2"]] * 6
    row = taken[3].agents[0]
    assert (row.responses, row.sent, row.errors) == (4, 4, 0)
    assert abs(row.p50_ns - 4 * MS) <= 4 * MS // 1000
    assert row.max_ns == 4 * MS


def test_a_late_snapshot_makes_a_further_interval(kit: Any) -> None:
    taken: list[Interval] = []
    intervals, stats = Intervals(taken.append, plan()), Stats()
    late = [kit.snapshot(second, agent="late", latencies_ns=[MS, 2 * MS]) for second in (1, 2)]
    in_time = [
        kit.snapshot(second, agent="a", latencies_ns=[MS], errors={"reset": 1}) for second in range(1, 9)
    ]
    for snapshot in [*in_time[:7], *late, in_time[7]]:
        stats.add(snapshot)
        intervals.add(snapshot)
    intervals.close()
    assert [each.second for each in taken] == [0, 1, 2, 3, 0, 1, 4, 5, 6, 7]
    again = Stats()
    for number, interval in enumerate(taken, 1):
        interval.merged.sequence = number
        again.add(interval.merged)
    assert again.to_snapshot() == stats.to_snapshot()


def test_a_snapshot_belongs_to_the_second_of_its_middle(kit: Any) -> None:
    taken: list[Interval] = []
    intervals = Intervals(taken.append, plan())
    first, last = kit.snapshot(1, latencies_ns=[MS]), kit.snapshot(2, latencies_ns=[MS])
    first.end_ns = last.begin_ns = 1_003 * MS
    last.end_ns = 1_300 * MS
    intervals.add(first)
    intervals.add(last)
    intervals.close()
    assert [(each.second, each.merged.begin_ns, each.merged.end_ns) for each in taken] == [
        (0, 0, 1_003 * MS),
        (1, 1_003 * MS, 1_300 * MS),
    ]


def test_ignored_intervals_cost_nothing(kit: Any) -> None:
    intervals = Intervals(ignore, plan())
    broken = kit.snapshot(1, latencies_ns=[MS])
    broken.histograms["latency"].counts_v2 = b"never looked at"
    intervals.add(broken)
    intervals.close()
