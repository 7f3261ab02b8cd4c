"""A run in intervals of one second, while it goes on: the source of archives and live exports."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from heyfleet.proto.control_pb2 import AgentInterval, Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.metrics import decode_histogram
from heyfleet.results.stats import Stats

IntervalSink = Callable[[Interval], None]
SECOND_NS = 1_000_000_000
# An interval waits this many seconds for agents that are behind; later snapshots make a further interval.
_GRACE_SECONDS = 3
# Up to this many pairs of stage and request have histograms of their own in each interval; with more, only the whole run has.
MAX_BREAKDOWNS = 64


def ignore(interval: Interval) -> None:
    """Discard an interval."""


def fan_out(sinks: Sequence[IntervalSink]) -> IntervalSink:
    """Return a sink that passes each interval to all of these."""
    receivers = [sink for sink in sinks if sink is not ignore]
    if not receivers:
        return ignore

    def pass_on(interval: Interval) -> None:
        for receiver in receivers:
            receiver(interval)

    return pass_on


class Intervals:
    """Groups snapshots by the second that holds their middle. Snapshots must have passed `check_snapshot`."""

    def __init__(self, sink: IntervalSink, plan: Plan) -> None:
        self._sink = sink
        self._breakdowns = len(plan.stages) * len(plan.requests) <= MAX_BREAKDOWNS
        self._open: dict[int, tuple[Stats, list[AgentInterval]]] = {}
        self._newest = -1
        self._began_unix_ns = 0

    def add(self, snapshot: Snapshot) -> None:
        """Merge one snapshot; pass on the intervals that are complete."""
        if self._sink is ignore:
            return
        second = (snapshot.begin_ns + snapshot.end_ns) // 2 // SECOND_NS
        if second > self._newest:
            self._newest = second
            self._flush(second - _GRACE_SECONDS)
        if second not in self._open:
            self._open[second] = Stats(breakdowns=self._breakdowns, trace=False), []
        began_unix_ns = time.time_ns() - snapshot.end_ns
        self._began_unix_ns = min(self._began_unix_ns or began_unix_ns, began_unix_ns)
        stats, agents = self._open[second]
        stats.add(snapshot, checked=True)
        agents.append(_agent_interval(snapshot))

    def close(self) -> None:
        """Pass on the remaining intervals when the run is over."""
        self._flush(self._newest)

    def _flush(self, last: int) -> None:
        for second in sorted(each for each in self._open if each <= last):
            stats, agents = self._open.pop(second)
            merged = stats.to_snapshot()
            merged.begin_ns = min(each.begin_ns for each in agents)
            self._sink(
                Interval(second=second, merged=merged, agents=agents, began_unix_ns=self._began_unix_ns)
            )


def _agent_interval(snapshot: Snapshot) -> AgentInterval:
    interval = AgentInterval(
        agent=snapshot.agent,
        begin_ns=snapshot.begin_ns,
        end_ns=snapshot.end_ns,
        sent=snapshot.sent,
        responses=sum(snapshot.responses.values()),
        errors=sum(snapshot.errors.values()),
        abandoned=snapshot.abandoned,
    )
    if interval.responses:
        latency = decode_histogram(snapshot.histograms["latency"])
        interval.p50_ns = percentile_ns(latency, 50) or 0
        interval.p99_ns = percentile_ns(latency, 99) or 0
        interval.max_ns = latency.max_ns
    return interval
