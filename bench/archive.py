"""What keeping a run costs: an hour of 100 agents, simulated as fast as it goes."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.simulated import payload
from heyfleet.cli.export import write
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Histogram, Ready, Snapshot
from heyfleet.results.archive.reader import Run
from heyfleet.results.archive.writer import Archive
from heyfleet.results.export.prometheus import shown
from heyfleet.results.export.run_view import RunView
from heyfleet.results.intervals import Intervals, IntervalSink, fan_out
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.report import json as document
from heyfleet.results.stats import Stats
from heyfleet.results.summary import summarize

AGENTS = 100
SECONDS = 3600
_SECOND_NS = 1_000_000_000
_PAYLOADS = 64
# All that a closed loop over TLS records; each as wide as the latency.
_METRICS = ("latency", "request_write", "wait", "read", "loop_turn", "wake_late")
_MIB = 1 << 20


@dataclass(frozen=True)
class Found:
    """Of one simulated hour."""

    archive_mib: float
    keeping_cores: float  # CPU time a second of the run: second by second, archive, metrics to scrape
    page_s: float
    page_mib: float


def measure() -> Found:
    """Play the hour into an archive, and make a page of it."""
    plan = make_plan(RunOptions(url="http://localhost/", user_agent="x", duration_ns=SECONDS * _SECOND_NS))
    payloads = [payload(seed) for seed in range(_PAYLOADS)]
    stats = Stats()
    parts = [Stats(histograms=False) for _ in range(AGENTS)]
    with tempfile.TemporaryDirectory() as folder:
        archive = Archive(Path(folder, "run"), plan)
        with shown(plan, "127.0.0.1:0", "") as takes:
            cpu_s = _played(plan, payloads, fan_out([archive.take, *takes]), stats, parts)
        measured = _measured(plan, stats, parts)
        begin_s = time.process_time()
        archive.finish(measured, document.render(summarize(measured), "bench"))
        cpu_s += time.process_time() - begin_s
        size = sum(path.stat().st_size for path in archive.folder.iterdir())
        page = Path(folder, "page.html")
        begin_s = time.monotonic()
        write("html", RunView(Run(archive.folder)), str(page))
        page_s = time.monotonic() - begin_s
        return Found(size / _MIB, cpu_s / SECONDS, page_s, page.stat().st_size / _MIB)


def _played(
    plan: Plan, payloads: list[Histogram], take: IntervalSink, stats: Stats, parts: list[Stats]
) -> float:
    """The CPU time of all but the merging that a run does anyway."""
    intervals = Intervals(take, plan)
    spent_s = 0.0
    for second in range(SECONDS):
        snapshots = [_snapshot(agent, second, payloads) for agent in range(AGENTS)]
        begin_s = time.process_time()
        for snapshot in snapshots:
            intervals.add(snapshot)
        spent_s += time.process_time() - begin_s
        for snapshot, part in zip(snapshots, parts, strict=True):
            stats.add(snapshot)
            part.add(snapshot, checked=True)
    begin_s = time.process_time()
    intervals.close()
    return spent_s + time.process_time() - begin_s


def _snapshot(agent: int, second: int, payloads: list[Histogram]) -> Snapshot:
    histograms = {
        metric: payloads[(agent * 7 + second * 13 + place) % _PAYLOADS]
        for place, metric in enumerate(_METRICS)
    }
    count = histograms["latency"].count
    return Snapshot(
        agent=f"agent-{agent + 1:03}",
        sequence=second + 1,
        begin_ns=second * _SECOND_NS,
        end_ns=(second + 1) * _SECOND_NS,
        histograms=histograms,
        responses={200: count},
        sent=count,
    )


def _measured(plan: Plan, stats: Stats, parts: list[Stats]) -> Measurements:
    made = []
    for number, part in enumerate(parts, 1):
        sent = part.totals["sent"]
        agent = f"agent-{number:03}"
        done = Done(
            agent=agent,
            last_sequence=SECONDS,
            planned=sent,
            sent=sent,
            responses=sent,
            elapsed_ns=SECONDS * _SECOND_NS,
            stopped_by="duration",
        )
        share = Assignment(agent=agent, connection_stride=AGENTS + 1)
        made.append(
            AgentMeasurements(
                agent=agent, host="host", share=share, ready=Ready(io="epoll"), done=done, stats=part
            )
        )
    return Measurements(plan=plan, stats=stats, parts=made, agents_requested=AGENTS, run_id="bench")
