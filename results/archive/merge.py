"""Merges runs that several hosts made at the same time without a controller into one archive, exactly."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from heyfleet.proto.control_pb2 import AgentInterval, Interval, RunResult
from heyfleet.proto.plan_pb2 import CLOSED, Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.writer import ArchiveWriter
from heyfleet.results.codec import from_message, to_message
from heyfleet.results.intervals import SECOND_NS, Intervals
from heyfleet.results.measurements import Measurements
from heyfleet.results.report import json as json_report
from heyfleet.results.stats import Stats
from heyfleet.results.summary import Summary, summarize

# Fields in which the plans of one load may differ from host to host.
_HOST_FIELDS = (
    "request_count",
    "connections",
    "seed",
    "workers",
    "sources",
    "io",
    "trace_rows",
    "stages",
    "slo",
    "abort_on",
)


def merge(runs: Sequence[ArchivedRun], out: Path) -> Summary:
    """Write one archive of all runs; ArchiveError, with nothing written, if they are not one load."""
    measurements = [run.measurements() for run in runs]
    _check(runs, measurements)
    merged = _merge_measurements(runs, measurements)
    archive = ArchiveWriter(out, merged.plan)
    starts_ns = [_started_unix_ns(run) for run in runs]
    rows = _agent_rows(runs, starts_ns)
    next_row = next(rows, None)

    def write(interval: Interval) -> None:
        nonlocal next_row
        del interval.agents[:]
        while next_row is not None and next_row.end_ns // SECOND_NS <= interval.second + 1:
            interval.agents.append(next_row)
            next_row = next(rows, None)
        interval.began_unix_ns = min(starts_ns)
        # The hosts' seconds are not aligned; what lies in one of theirs lies approximately in this one.
        begin_ns = interval.second * SECOND_NS
        interval.merged.begin_ns = begin_ns
        interval.merged.end_ns = max(min(interval.merged.end_ns, begin_ns + SECOND_NS), begin_ns)
        archive.add_interval(interval)

    intervals = Intervals(write, merged.plan)
    for snapshot in _snapshots(runs, starts_ns):
        intervals.add(snapshot)
    intervals.close()
    summary = summarize(merged)
    archive.finish(merged, json_report.render(summary))
    if archive.error:
        raise ArchiveError(archive.error)
    return summary


def _check(runs: Sequence[ArchivedRun], measurements: Sequence[Measurements]) -> None:
    for run in runs:
        if not run.complete:
            raise ArchiveError(f"{run.folder}: the run was cut off, so a sum with it would not add up")
    ids: dict[str, Path] = {}
    for run, each in zip(runs, measurements, strict=True):
        if each.run_id and each.run_id in ids:
            raise ArchiveError(f"{run.folder}: the same run as {ids[each.run_id]}")
        ids[each.run_id] = run.folder
    first = runs[0].folder
    for run, each in zip(runs[1:], measurements[1:], strict=True):
        _check_plans(first, measurements[0].plan, run.folder, each.plan)
    spans = [
        (_started_unix_ns(run), max(each.stats.end_ns, 1))
        for run, each in zip(runs, measurements, strict=True)
    ]
    first_begin_ns, first_length_ns = spans[0]
    for run, (begin_ns, length_ns) in zip(runs[1:], spans[1:], strict=True):
        if begin_ns > first_begin_ns + first_length_ns or begin_ns + length_ns < first_begin_ns:
            raise ArchiveError(
                f"{run.folder}: it does not overlap with {first} in time, so they are not one load",
                "`heyfleet compare` shows how runs differ",
            )


def _check_plans(first: Path, first_plan: Plan, folder: Path, plan: Plan) -> None:
    ours, theirs = _common_fields(first_plan), _common_fields(plan)
    fields = [
        field.name
        for field in Plan.DESCRIPTOR.fields
        if getattr(ours, field.name) != getattr(theirs, field.name)
    ]
    if [stage.name for stage in plan.stages] != [stage.name for stage in first_plan.stages]:
        fields.append("stages")
    if fields:
        raise ArchiveError(f"{folder}: its plan differs from that of {first}: {', '.join(fields)}")


def _common_fields(plan: Plan) -> Plan:
    copy = Plan()
    copy.CopyFrom(plan)
    for name in _HOST_FIELDS:
        copy.ClearField(name)
    return copy


def _merge_measurements(runs: Sequence[ArchivedRun], measurements: Sequence[Measurements]) -> Measurements:
    stats, message = Stats(), RunResult()
    for run, each in zip(runs, measurements, strict=True):
        stats.add(_labelled(each.stats.to_snapshot(), run.folder.name, 1))
        for agent in to_message(each).agents:
            name = _agent_name(run, agent.agent)
            agent.agent = agent.share.agent = agent.sums.agent = name
            if agent.HasField("done"):
                agent.done.agent = name
            message.agents.append(agent)
    message.plan.CopyFrom(_merge_plans([each.plan for each in measurements]))
    message.merged.CopyFrom(stats.to_snapshot())
    merged = from_message(message)
    merged.agents_requested = sum(each.agents_requested or 1 for each in measurements)
    merged.rejections = tuple(text for each in measurements for text in each.rejections)
    merged.interrupted = any(each.interrupted for each in measurements)
    merged.aborted_by = next((each.aborted_by for each in measurements if each.aborted_by), "")
    merged.recovery_note = f"merged from {len(runs)} runs: {', '.join(run.folder.name for run in runs)}"
    return merged


def _merge_plans(plans: Sequence[Plan]) -> Plan:
    plan = Plan()
    plan.CopyFrom(plans[0])
    plan.request_count = sum(each.request_count for each in plans)
    plan.connections = sum(each.connections for each in plans)
    if plan.load_model != CLOSED:
        for index, stage in enumerate(plan.stages):
            stage.first = sum(each.stages[index].first for each in plans)
            stage.last = sum(each.stages[index].last for each in plans)
    return plan


def _agent_name(run: ArchivedRun, agent: str) -> str:
    """Return a name that is unique among the agents of all runs."""
    return run.folder.name if agent == "local" else f"{run.folder.name}/{agent}"


def _labelled(snapshot: Snapshot, agent: str, sequence: int) -> Snapshot:
    snapshot.agent, snapshot.sequence = agent, sequence
    return snapshot


def _started_unix_ns(run: ArchivedRun) -> int:
    try:
        return round(datetime.datetime.fromisoformat(run.started_at).timestamp() * 1e9)
    except ValueError:
        raise ArchiveError(f"{run.folder}: it does not say when it started") from None


def _snapshots(runs: Sequence[ArchivedRun], starts_ns: Sequence[int]) -> Iterator[Snapshot]:
    """Return all seconds of all runs, about in order, with instants since the start of the first run."""

    def of_run(run: ArchivedRun, shift_ns: int) -> Iterator[Snapshot]:
        for number, interval in enumerate(run.intervals(), 1):
            merged = _labelled(interval.merged, run.folder.name, number)
            merged.begin_ns += shift_ns
            merged.end_ns += shift_ns
            yield merged

    streams = [of_run(run, start_ns - min(starts_ns)) for run, start_ns in zip(runs, starts_ns, strict=True)]
    return heapq.merge(*streams, key=lambda snapshot: snapshot.end_ns)


def _agent_rows(runs: Sequence[ArchivedRun], starts_ns: Sequence[int]) -> Iterator[AgentInterval]:
    """Return all snapshots of all agents, about in order, with instants since the start of the first run."""

    def of_run(run: ArchivedRun, shift_ns: int) -> Iterator[AgentInterval]:
        for row in run.agents():
            row.agent = _agent_name(run, row.agent)
            row.begin_ns += shift_ns
            row.end_ns += shift_ns
            yield row

    streams = [of_run(run, start_ns - min(starts_ns)) for run, start_ns in zip(runs, starts_ns, strict=True)]
    return heapq.merge(*streams, key=lambda row: row.end_ns)
