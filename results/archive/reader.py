"""Reads archives: whole ones, and what a run that was cut off has left. Nothing in them is believed without a check."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from heyfleet.proto import stats_pb2
from heyfleet.proto.control_pb2 import AgentInterval, Interval, RunResult
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Ready, Snapshot
from heyfleet.results.archive import layout
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.histogram_log import LINE_BYTES_AT_MOST, read_line
from heyfleet.results.archive.layout import read_tag
from heyfleet.results.codec import from_message
from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements
from heyfleet.results.stats import InvalidSnapshotError, Stats

_FILE_BYTES_AT_MOST = 1 << 30
_JSON_BYTES_AT_MOST = 64 << 20
_Parts = dict[tuple[str, str], tuple[int, int]]  # see place_names
_Log = Iterator[tuple[int, str]]  # numbered lines
_CUT_OFF = "the run was cut off before its end; this is what its archive had until then"


class Run:
    """One run's archive. ArchiveError, here and below, names the file and what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / layout.FACTS).is_file():
            what = (
                "there is no such folder"
                if not folder.is_dir()
                else f"it is no archive: it has no {layout.FACTS}"
            )
            raise ArchiveError(f"{folder}: {what} (`heyfleet runs` lists those in {layout.RUNS})")
        self.facts = self._json(layout.FACTS)
        if not isinstance(self.facts, dict) or self.facts.get("format") != "heyfleet archive":
            raise ArchiveError(f"{folder / layout.FACTS}: this is no archive of heyfleet")
        version = self.facts.get("version")
        if not isinstance(version, int) or version > layout.VERSION:
            raise ArchiveError(
                f"{folder}: an archive of version {version}, made by heyfleet {self.facts.get('heyfleet_version')};"
                f" this one reads up to {layout.VERSION}: use the newer heyfleet"
            )

    @property
    def complete(self) -> bool:
        """Whether the run was watched to its end."""
        return bool(self.facts.get("state") == layout.COMPLETE)

    @property
    def began_at(self) -> str:
        """When its load began, or else when it was made, as ISO 8601 in UTC."""
        return str(self.facts.get("began_at") or self.facts.get("made_at") or "")

    def plan(self) -> Plan:
        """What was asked for, without secrets and large bodies."""
        try:
            return ParseDict(self._json(layout.PLAN), Plan(), ignore_unknown_fields=True)
        except (ParseError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{self.folder / layout.PLAN}: this is no plan: {error}") from None

    def summary(self) -> dict[str, Any]:
        """The report as it was made when the run ended; empty if it was cut off."""
        if not self.complete:
            return {}
        summary = self._json(layout.SUMMARY)
        if not isinstance(summary, dict):
            raise ArchiveError(f"{self.folder / layout.SUMMARY}: this is no report")
        return summary

    def measured(self) -> Measurements:
        """All that is known of the run."""
        if not self.complete:
            return self._measured_until_cut_off()
        path = self.folder / layout.RECORD
        try:
            return from_message(RunResult.FromString(self._bytes(layout.RECORD, _FILE_BYTES_AT_MOST)))
        except (DecodeError, InvalidSnapshotError, ValueError) as error:
            raise ArchiveError(f"{path}: it is damaged: {error}") from None

    def intervals(self) -> Iterator[Interval]:
        """Second by second, without the agents; what was written for one second in several parts comes in several."""
        parts = place_names(self.plan())
        with ExitStack() as stack:
            rows = stack.enter_context(closing(self.lines(layout.INTERVALS)))
            log = enumerate(stack.enter_context(closing(self.lines(layout.LOG))), 1)
            for number, row in enumerate(rows, 1):
                place = f"{self.folder / layout.INTERVALS}, line {number}"
                try:
                    written = json.loads(row)
                    yield self._interval(written, parts, log)
                except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
                    if not row.endswith("\n"):
                        return  # the line that was being written when the run was cut off
                    raise ArchiveError(f"{place}: it is damaged: {type(error).__name__} {error}") from None

    def agents(self) -> Iterator[AgentInterval]:
        """Every snapshot's numbers of every agent, as they came."""
        names = layout.SERIES_HEAD.split(",")
        with closing(self.lines(layout.SERIES)) as rows:
            for number, row in enumerate(rows, 1):
                if number == 1:
                    continue
                agent, *numbers = row.rstrip("\n").rsplit(",", len(names) - 1)
                try:
                    yield AgentInterval(agent=agent, **dict(zip(names[1:], map(int, numbers), strict=True)))
                except ValueError as error:
                    if not row.endswith("\n"):
                        return
                    raise ArchiveError(
                        f"{self.folder / layout.SERIES}, line {number}: it is damaged: {error}"
                    ) from None

    def _interval(self, written: dict[str, Any], parts: _Parts, log: _Log) -> Interval:
        merged = Snapshot(begin_ns=written["begin_ns"], end_ns=written["end_ns"])
        _fill(merged, written)
        if "warmup" in written:
            _fill(merged.warmup, written["warmup"])
        places: dict[tuple[int, int], Snapshot] = {}
        for part in written.get("parts", ()):
            places[part["stage"], part["request"]] = numbers = Snapshot()
            _fill(numbers, part)
        for address, counts in written.get("addresses", {}).items():
            for name, value in zip(ADDRESS_COUNTER_NAMES, counts, strict=True):
                setattr(merged.addresses[address], name, value)
        for text, _, _, count, sum_ns, min_ns, max_ns, clamped in written["histograms"]:
            tag = read_tag(text)
            into = merged.warmup if tag.warmup else merged
            if tag.stage or tag.request:
                into = places.setdefault(parts[tag.stage, tag.request], Snapshot())
            into.histograms[tag.metric].CopyFrom(
                stats_pb2.Histogram(
                    counts_v2=self._payload(log, text),
                    count=count,
                    sum_ns=sum_ns,
                    min_ns=min_ns,
                    max_ns=max_ns,
                    clamped=clamped,
                )
            )
        for (stage, request), numbers in places.items():
            merged.breakdowns.add(stage=stage, request=request, metrics=numbers)
        return Interval(second=written["second"], merged=merged)

    def _payload(self, log: _Log, tag: str) -> bytes:
        """The counts of the next histogram in the log."""
        for number, text in log:
            try:
                line = read_line(text)
            except ValueError as error:
                raise ArchiveError(f"{self.folder / layout.LOG}, line {number}: {error}") from None
            if line is None:
                continue
            if line.tag != tag:
                raise ArchiveError(
                    f"{self.folder / layout.LOG}, line {number}: {line.tag!r} is where {tag!r} belongs"
                )
            return line.payload
        raise ArchiveError(f"{self.folder / layout.LOG}: it ends before {layout.INTERVALS} does")

    def _measured_until_cut_off(self) -> Measurements:
        plan, stats = self.plan(), Stats()
        for number, interval in enumerate(self.intervals(), 1):
            interval.merged.sequence = number
            try:
                stats.add(interval.merged)
            except InvalidSnapshotError as error:
                raise ArchiveError(f"{self.folder / layout.INTERVALS}, line {number}: {error}") from None
        sums: dict[str, Stats] = {}
        for row in self.agents():
            sum_ = sums.setdefault(row.agent, Stats(histograms=False))
            for name in ("sent", "abandoned"):
                sum_.totals[name] += getattr(row, name)
            sum_.responses[0] += row.responses
            sum_.errors[""] += row.errors
            sum_.end_ns = max(sum_.end_ns, row.end_ns)
        parts = [
            AgentMeasurements(
                agent=agent,
                host="",
                state=LOST,
                reason="the run was cut off",
                last_heard_ns=sum_.end_ns,
                share=Assignment(agent=agent, connection_stride=len(sums) + 1),  # not all is known of it
                ready=Ready(),
                done=None,
                stats=sum_,
            )
            for agent, sum_ in sums.items()
        ]
        return Measurements(
            plan=plan, stats=stats, parts=parts, agents_requested=len(parts), recovered=_CUT_OFF
        )

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self._bytes(name, _JSON_BYTES_AT_MOST))
        except ValueError as error:
            raise ArchiveError(f"{self.folder / name}: it is damaged: {error}") from None

    def _bytes(self, name: str, at_most: int) -> bytes:
        path = self.folder / name
        try:
            if path.stat().st_size > at_most:
                raise ArchiveError(f"{path}: it has more than {at_most >> 20} MiB")
            return path.read_bytes()
        except OSError as error:
            raise ArchiveError(f"{path}: {error.strerror}") from None

    def lines(self, name: str) -> Generator[str, None, None]:
        """One of its files, line by line; nothing, if there is none."""
        path = self.folder / name
        try:
            with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
                while line := stream.readline(LINE_BYTES_AT_MOST):
                    if len(line) == LINE_BYTES_AT_MOST:
                        raise ArchiveError(
                            f"{path}: it has a line of more than {LINE_BYTES_AT_MOST >> 20} MiB"
                        )
                    yield line
        except FileNotFoundError:
            return  # nothing was written
        except OSError as error:
            raise ArchiveError(f"{path}: {error.strerror}") from None


def find(name: str, runs: str = layout.RUNS) -> Run:
    """An archive by its folder, or by its name in the folder of runs; "" is the latest. ArchiveError."""
    if not name:
        latest = next(iter(kept(runs)), None)
        if latest is None:
            raise ArchiveError(f"there is no run in {runs or layout.RUNS}")
        return Run(latest)
    path = Path(name)
    return Run(
        path if path.exists() or not runs else next((p for p in [Path(runs, name)] if p.exists()), path)
    )


def kept(runs: str) -> list[Path]:
    """The archives in a folder, and in folders of repeated runs there, the latest first."""
    patterns = (f"*/{layout.FACTS}", f"*/*/{layout.FACTS}") if runs else ()
    found = [path.parent for pattern in patterns for path in Path(runs).glob(pattern)]
    return sorted(found, key=lambda path: (_made_at(path), path.name), reverse=True)


def _made_at(folder: Path) -> str:
    """When, as text that sorts; "" if it does not say so."""
    try:
        return str(json.loads((folder / layout.FACTS).read_bytes())["made_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def place_names(plan: Plan) -> dict[tuple[str, str], tuple[int, int]]:
    """The places of stage and request by their names; "" where the plan has but one."""
    stages = [stage.name for stage in plan.stages] if len(plan.stages) > 1 else [""]
    requests = [request.name for request in plan.requests] if len(plan.requests) > 1 else [""]
    return {(stage, request): (i, k) for i, stage in enumerate(stages) for k, request in enumerate(requests)}


def _fill(numbers: Snapshot, written: dict[str, Any]) -> None:
    for name in COUNTER_NAMES:
        if name in written:
            setattr(numbers, name, written[name])
    for status, count in written.get("responses", {}).items():
        numbers.responses[int(status)] = count
    for kind, count in written.get("errors", {}).items():
        numbers.errors[kind] = count
