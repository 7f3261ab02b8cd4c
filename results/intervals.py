"""A run second by second, as it goes on: what archives and live exports are made from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from heyfleet.proto.control_pb2 import AgentInterval, Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.stats import Stats, decoded

IntervalSink = Callable[[Interval], None]
SECOND_NS = 1_000_000_000
# An interval waits so many seconds for agents that are behind; what comes later makes a further one.
_PATIENCE = 3
# Histograms of so many pairs of stage and request are kept apart by the second; of more, only those of the whole run.
PARTS_AT_MOST = 64


def ignore(interval: Interval) -> None:
    """For whoever wants no intervals."""


def fan_out(takes: Sequence[IntervalSink]) -> IntervalSink:
    """Who gives an interval to each of these."""
    wanted = [take for take in takes if take is not ignore]
    if not wanted:
        return ignore

    def take(interval: Interval) -> None:
        for each in wanted:
            each(interval)

    return take


class Intervals:
    """Groups snapshots, each of which was checked before, by the second that holds their middle."""

    def __init__(self, take: IntervalSink, plan: Plan) -> None:
        self._take = take
        self._parts = len(plan.stages) * len(plan.requests) <= PARTS_AT_MOST
        self._open: dict[int, tuple[Stats, list[AgentInterval]]] = {}
        self._newest = -1
        self._began_unix_ns = 0

    def add(self, snapshot: Snapshot) -> None:
        """Merge one; give on what is complete."""
        if self._take is ignore:
            return
        second = (snapshot.begin_ns + snapshot.end_ns) // 2 // SECOND_NS
        if second > self._newest:
            self._newest = second
            self._give(second - _PATIENCE)
        if second not in self._open:
            self._open[second] = Stats(parts=self._parts, trace=False), []
        began_unix_ns = time.time_ns() - snapshot.end_ns
        self._began_unix_ns = min(self._began_unix_ns or began_unix_ns, began_unix_ns)
        stats, agents = self._open[second]
        stats.add(snapshot, checked=True)
        agents.append(self._agent(snapshot))

    def close(self) -> None:
        """The run is over: give on the rest."""
        self._give(self._newest)

    def _give(self, last: int) -> None:
        for second in sorted(each for each in self._open if each <= last):
            stats, agents = self._open.pop(second)
            merged = stats.to_snapshot()
            merged.begin_ns = min(each.begin_ns for each in agents)
            self._take(
                Interval(second=second, merged=merged, agents=agents, began_unix_ns=self._began_unix_ns)
            )

    def _agent(self, snapshot: Snapshot) -> AgentInterval:
        made = AgentInterval(
            agent=snapshot.agent,
            begin_ns=snapshot.begin_ns,
            end_ns=snapshot.end_ns,
            sent=snapshot.sent,
            responses=sum(snapshot.responses.values()),
            errors=sum(snapshot.errors.values()),
            abandoned=snapshot.abandoned,
        )
        if made.responses:
            latency = decoded(snapshot.histograms["latency"])
            made.p50_ns = latency.value_at_percentile(50)
            made.p99_ns = latency.value_at_percentile(99)
            made.max_ns = latency.max_ns
        return made
