"""Cost of archiving a run: an hour of 100 agents, simulated as fast as possible."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.simulated import payload
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Histogram, Ready, Snapshot
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.writer import ArchiveWriter
from heyfleet.results.export.formats import render, write_file
from heyfleet.results.export.live import live_exports
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
# Every histogram of a closed loop over TLS, each as wide as that of the latency.
_METRICS = ("latency", "request_write", "wait", "read", "loop_turn", "wake_late")
_MIB = 1 << 20


@dataclass(frozen=True)
class ArchiveCost:
    """Cost of archiving one simulated hour."""

    archive_mib: float
    archiving_cores: float  # CPU time per second of the run, of the archive and of the metrics endpoint
    page_s: float
    page_mib: float


def measure() -> ArchiveCost:
    """Simulate the hour, archive it, and render a page from the archive."""
    plan = make_plan(RunOptions(url="http://localhost/", user_agent="x", duration_ns=SECONDS * _SECOND_NS))
    payloads = [payload(seed) for seed in range(_PAYLOADS)]
    stats = Stats()
    parts = [Stats(histograms=False) for _ in range(AGENTS)]
    with tempfile.TemporaryDirectory() as folder:
        archive = ArchiveWriter(Path(folder, "run"), plan)
        with live_exports(plan, "127.0.0.1:0", "", print) as takes:
            cpu_s = _simulate(plan, payloads, fan_out([archive.add_interval, *takes]), stats, parts)
        measurements = _measurements(plan, stats, parts)
        begin_s = time.process_time()
        archive.finish(measurements, document.render(summarize(measurements)))
        cpu_s += time.process_time() - begin_s
        size = sum(path.stat().st_size for path in archive.folder.iterdir())
        page = Path(folder, "page.html")
        begin_s = time.monotonic()
        write_file(page, render("html", RunView(ArchivedRun(archive.folder))))
        page_s = time.monotonic() - begin_s
        return ArchiveCost(size / _MIB, cpu_s / SECONDS, page_s, page.stat().st_size / _MIB)


def _simulate(
    plan: Plan, payloads: list[Histogram], take: IntervalSink, stats: Stats, parts: list[Stats]
) -> float:
    """Return the CPU time of archiving and exporting, without the merging that a run does anyway."""
    intervals = Intervals(take, plan)
    archiving_s = 0.0
    for second in range(SECONDS):
        snapshots = [_snapshot(agent, second, payloads) for agent in range(AGENTS)]
        begin_s = time.process_time()
        for snapshot in snapshots:
            intervals.add(snapshot)
        archiving_s += time.process_time() - begin_s
        for snapshot, part in zip(snapshots, parts, strict=True):
            stats.add(snapshot)
            part.add(snapshot, checked=True)
    begin_s = time.process_time()
    intervals.close()
    return archiving_s + time.process_time() - begin_s


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


def _measurements(plan: Plan, stats: Stats, parts: list[Stats]) -> Measurements:
    agents = []
    for number, part in enumerate(parts, 1):
        sent = part.counters["sent"]
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
        agents.append(
            AgentMeasurements(
                agent=agent, host="host", share=share, ready=Ready(io="epoll"), done=done, stats=part
            )
        )
    return Measurements(plan=plan, stats=stats, agents=agents, agents_requested=AGENTS, run_id="bench")
