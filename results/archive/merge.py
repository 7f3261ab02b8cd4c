"""Runs that were made apart, on hosts without a controller, put together into one archive, exactly."""

from __future__ import annotations

import datetime
import heapq
from collections.abc import Iterator, Sequence
from pathlib import Path

from heyfleet import __version__
from heyfleet.proto.control_pb2 import AgentInterval, Interval, RunResult
from heyfleet.proto.plan_pb2 import CLOSED, Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.reader import Run
from heyfleet.results.archive.writer import Archive
from heyfleet.results.codec import from_message, to_message
from heyfleet.results.intervals import Intervals
from heyfleet.results.measurements import Measurements
from heyfleet.results.report import json as document
from heyfleet.results.stats import Stats
from heyfleet.results.summary import Summary, summarize

_SECOND_NS = 1_000_000_000
# What hosts of one load may differ in.
_OWN = (
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


def merge(runs: Sequence[Run], out: Path) -> Summary:
    """One run of all of them. ArchiveError, with nothing written, where they don't belong together."""
    measured = [run.measured() for run in runs]
    _check(runs, measured)
    whole = _together(runs, measured)
    archive = Archive(out, whole.plan)
    begins_ns = [_began_ns(run) for run in runs]
    rows = _agents(runs, begins_ns)
    ahead = next(rows, None)

    def take(interval: Interval) -> None:
        nonlocal ahead
        del interval.agents[:]
        while ahead is not None and ahead.end_ns // _SECOND_NS <= interval.second + 1:
            interval.agents.append(ahead)
            ahead = next(rows, None)
        interval.began_unix_ns = min(begins_ns)
        # The hosts' seconds are out of step: what lies in one of theirs lies, about, in this one.
        begin_ns = interval.second * _SECOND_NS
        interval.merged.begin_ns = begin_ns
        interval.merged.end_ns = max(min(interval.merged.end_ns, begin_ns + _SECOND_NS), begin_ns)
        archive.take(interval)

    intervals = Intervals(take, whole.plan)
    for snapshot in _snapshots(runs, begins_ns):
        intervals.add(snapshot)
    intervals.close()
    summary = summarize(whole)
    archive.finish(whole, document.render(summary, __version__))
    if archive.fault:
        raise ArchiveError(archive.fault)
    return summary


def _check(runs: Sequence[Run], measured: Sequence[Measurements]) -> None:
    names = [str(run.folder) for run in runs]
    for run in runs:
        if not run.complete:
            raise ArchiveError(f"{run.folder}: this run was cut off, so that a sum with it would not add up")
    ids: dict[str, str] = {}
    for name, each in zip(names, measured, strict=True):
        if each.run_id and each.run_id in ids:
            raise ArchiveError(f"{name}: this is the same run as {ids[each.run_id]}")
        ids[each.run_id] = name
    first = _common(measured[0].plan)
    for name, each in zip(names[1:], measured[1:], strict=True):
        if (other := _common(each.plan)) != first:
            fields = [
                field.name
                for field in Plan.DESCRIPTOR.fields
                if getattr(first, field.name) != getattr(other, field.name)
            ]
            raise ArchiveError(
                f"{name}: its plan is another than that of {names[0]}: {', '.join(fields)} differ"
            )
        if [stage.name for stage in each.plan.stages] != [stage.name for stage in measured[0].plan.stages]:
            raise ArchiveError(f"{name}: its stages are others than those of {names[0]}")
    spans = [(_began_ns(run), max(each.stats.end_ns, 1)) for run, each in zip(runs, measured, strict=True)]
    for name, (begin_ns, length_ns) in zip(names[1:], spans[1:], strict=True):
        if begin_ns > spans[0][0] + spans[0][1] or begin_ns + length_ns < spans[0][0]:
            raise ArchiveError(
                f"{name}: it was at another time than {names[0]}, so that they are no one load;"
                " `heyfleet compare` says how runs differ"
            )


def _common(plan: Plan) -> Plan:
    made = Plan()
    made.CopyFrom(plan)
    for name in _OWN:
        made.ClearField(name)
    return made


def _together(runs: Sequence[Run], measured: Sequence[Measurements]) -> Measurements:
    stats, message = Stats(), RunResult()
    plan = Plan()
    plan.CopyFrom(measured[0].plan)
    plan.request_count = sum(each.plan.request_count for each in measured)
    plan.connections = sum(each.plan.connections for each in measured)
    if plan.load_model != CLOSED:
        for place, stage in enumerate(plan.stages):
            stage.first = sum(each.plan.stages[place].first for each in measured)
            stage.last = sum(each.plan.stages[place].last for each in measured)
    for run, each in zip(runs, measured, strict=True):
        stats.add(_named(each.stats.to_snapshot(), run.folder.name, 1))
        for agent in to_message(each).agents:
            name = _agent(run, agent.agent)
            agent.agent = agent.share.agent = agent.sums.agent = name
            if agent.HasField("done"):
                agent.done.agent = name
            message.agents.append(agent)
    message.plan.CopyFrom(plan)
    message.merged.CopyFrom(stats.to_snapshot())
    message.agents_requested = sum(each.agents_requested or 1 for each in measured)
    message.turned_away.extend(text for each in measured for text in each.turned_away)
    message.interrupted = any(each.interrupted for each in measured)
    message.aborted = next((each.aborted for each in measured if each.aborted), "")
    message.recovered = f"put together from {len(runs)} runs: {', '.join(run.folder.name for run in runs)}"
    return from_message(message)


def _agent(run: Run, agent: str) -> str:
    """An agent's name among those of all runs."""
    return run.folder.name if agent == "local" else f"{run.folder.name}/{agent}"


def _named(snapshot: Snapshot, agent: str, sequence: int) -> Snapshot:
    snapshot.agent, snapshot.sequence = agent, sequence
    return snapshot


def _began_ns(run: Run) -> int:
    try:
        return round(datetime.datetime.fromisoformat(run.began_at).timestamp() * 1e9)
    except ValueError:
        raise ArchiveError(f"{run.folder}: it does not say when it began") from None


def _snapshots(runs: Sequence[Run], begins_ns: Sequence[int]) -> Iterator[Snapshot]:
    """All seconds of all runs, about in their order, with their instants since the begin of the first."""

    def of(run: Run, shift_ns: int) -> Iterator[tuple[int, int, Snapshot]]:
        for number, interval in enumerate(run.intervals(), 1):
            merged = _named(interval.merged, run.folder.name, number)
            merged.begin_ns += shift_ns
            merged.end_ns += shift_ns
            yield merged.end_ns, number, merged

    shifts = [begin_ns - min(begins_ns) for begin_ns in begins_ns]
    streams = [of(run, shift) for run, shift in zip(runs, shifts, strict=True)]
    for _, _, snapshot in heapq.merge(*streams, key=lambda each: each[0]):
        yield snapshot


def _agents(runs: Sequence[Run], begins_ns: Sequence[int]) -> Iterator[AgentInterval]:
    def of(run: Run, shift_ns: int) -> Iterator[AgentInterval]:
        for row in run.agents():
            row.agent = _agent(run, row.agent)
            row.begin_ns += shift_ns
            row.end_ns += shift_ns
            yield row

    shifts = [begin_ns - min(begins_ns) for begin_ns in begins_ns]
    streams = [of(run, shift) for run, shift in zip(runs, shifts, strict=True)]
    yield from heapq.merge(*streams, key=lambda row: row.end_ns)
