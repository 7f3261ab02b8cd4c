"""Snapshots made up by hand, and an agent that plays them back, with faults that a real one does not show on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from heyfleet.ext import Histogram
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.sections.load import DEFAULT_CONNECTIONS
from heyfleet.proto import plan_pb2, stats_pb2
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats
from heyfleet.results.summary import Summary, summarize

MS = 1_000_000


def encoded(values_ns: Sequence[int]) -> stats_pb2.Histogram:
    """Return the histogram message of these values."""
    histogram = Histogram()
    for value_ns in values_ns:
        histogram.record(value_ns)
    return stats_pb2.Histogram(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )


def make_snapshot(
    sequence: int = 1,
    *,
    agent: str = "local",
    latencies_ns: Sequence[int] = (),
    status: int = 200,
    errors: Mapping[str, int] | None = None,
    abandoned: int = 0,
    metrics: Mapping[str, Sequence[int]] | None = None,
    **counters: Any,
) -> stats_pb2.Snapshot:
    """Return a consistent snapshot."""
    values = {"latency": latencies_ns, **(metrics or {})}
    return stats_pb2.Snapshot(
        agent=agent,
        sequence=sequence,
        begin_ns=(sequence - 1) * 1000 * MS,
        end_ns=sequence * 1000 * MS,
        histograms={name: encoded(values_ns) for name, values_ns in values.items() if values_ns},
        responses={status: len(latencies_ns)} if latencies_ns else {},
        errors=errors or {},
        sent=len(latencies_ns) + sum((errors or {}).values()) + abandoned,
        abandoned=abandoned,
        **counters,
    )


def make_done(snapshots: Sequence[stats_pb2.Snapshot], *, unsent: int = 0, **rest: Any) -> stats_pb2.Done:
    """Return the totals that these snapshots add up to."""
    sent = sum(part.sent for part in snapshots)
    return stats_pb2.Done(
        **{
            "agent": "local",
            "last_sequence": max(part.sequence for part in snapshots),
            "planned": sent + unsent,
            "sent": sent,
            "unsent": unsent,
            "responses": sum(sum(part.responses.values()) for part in snapshots),
            "errors": sum(sum(part.errors.values()) for part in snapshots),
            "abandoned": sum(part.abandoned for part in snapshots),
            "elapsed_ns": 2000 * MS,
            "stopped_by": "count",
            "workers": [
                stats_pb2.WorkerFacts(worker=0, cpu_ns=500 * MS, wall_ns=2000 * MS),
                stats_pb2.WorkerFacts(worker=1, cpu_ns=1234 * MS, wall_ns=2000 * MS),
            ],
            "peak_rss_bytes": 20_000_000,
            **rest,
        }
    )


def make_ready(**rest: Any) -> stats_pb2.Ready:
    """Return the facts of an agent that is ready."""
    facts = {"addresses": ["127.0.0.1"], "lookup_ns": 100_000, "io": "io_uring", "workers": 2}
    return stats_pb2.Ready(**{**facts, **rest})


@dataclass
class FakeAgent:
    """Plays snapshots back, with hooks at the places where signals and faults occur."""

    played: Sequence[stats_pb2.Snapshot]
    last: stats_pb2.Done | None = None
    answer: Any = field(default_factory=make_ready)
    in_prepare: Callable[[], None] = lambda: None
    in_snapshots: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    assignment: plan_pb2.Assignment | None = None

    def prepare(self, assignment: plan_pb2.Assignment) -> Any:
        self.calls.append("prepare")
        self.assignment = assignment
        self.in_prepare()
        return self.answer

    def start(self) -> None:
        self.calls.append("start")

    def snapshots(self) -> Iterator[stats_pb2.Snapshot]:
        for snapshot in self.played:
            self.in_snapshots()
            yield snapshot

    def stop(self) -> None:
        self.calls.append("stop")

    def done(self) -> stats_pb2.Done:
        self.calls.append("done")
        return self.last or make_done(self.played)


def make_summary(
    snapshots: Sequence[stats_pb2.Snapshot],
    done: stats_pb2.Done | None = None,
    ready: stats_pb2.Ready | None = None,
    **flags: Any,
) -> Summary:
    """Return the summary of a run with these snapshots."""
    asked = RunOptions(**{"url": "http://localhost/", "user_agent": "heyfleet/0", **flags})
    measured = make_measured(snapshots, done or make_done(snapshots), ready=ready, plan=make_plan(asked))
    connections = asked.connections or DEFAULT_CONNECTIONS
    return summarize(measured, connections, ignore_redirects=asked.disable_redirects)


def make_measured(
    snapshots: Sequence[stats_pb2.Snapshot],
    done: stats_pb2.Done,
    *,
    ready: stats_pb2.Ready | None = None,
    plan: plan_pb2.Plan | None = None,
) -> Measurements:
    """Return the measurements of one agent on this host."""
    stats = Stats()
    for snapshot in snapshots:
        stats.add(snapshot)
    share = plan_pb2.Assignment(agent="local")
    if plan is not None:
        share.request_count, share.connections = plan.request_count, plan.connections
    part = AgentMeasurements(
        agent="local", host="", share=share, ready=ready or make_ready(), done=done, stats=stats
    )
    return Measurements(plan=plan or plan_pb2.Plan(), stats=stats, agents=[part], trace=stats.trace())


class Kit:
    """The functions above as one fixture."""

    MS = MS
    encoded = staticmethod(encoded)
    snapshot = staticmethod(make_snapshot)
    done = staticmethod(make_done)
    ready = staticmethod(make_ready)
    summary = staticmethod(make_summary)
    measured = staticmethod(make_measured)
    agent = FakeAgent

    def normal_run(self) -> list[stats_pb2.Snapshot]:
        """200 responses in two seconds, 1.01 ms to 3 ms."""
        return [self._second(1, range(101, 201)), self._second(2, range(201, 301))]

    def _second(self, sequence: int, steps: range) -> stats_pb2.Snapshot:
        latencies_ns = [step * 10_000 for step in steps]
        return make_snapshot(
            sequence,
            latencies_ns=latencies_ns,
            metrics={
                "connect": [150_000, 250_000] if sequence == 1 else [],
                "request_write": [20_000] * len(steps),
                "wait": [latency_ns - 120_000 for latency_ns in latencies_ns],
                "read": [100_000] * len(steps),
                "loop_turn": [50_000] * 150 + [900_000],
            },
            connections_opened=2 if sequence == 1 else 0,
            bytes_sent=100 * len(steps),
            bytes_received=205 * len(steps),
            body_bytes=5 * len(steps),
        )


@pytest.fixture
def kit() -> Kit:
    return Kit()
