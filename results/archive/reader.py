"""Reads archives, complete or cut off. Nothing in them is believed without a check: they may come from anywhere."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError

from heyfleet.documents import parse_json
from heyfleet.files import MAX_DATA_BYTES, open_file, read_file
from heyfleet.mask import mask_text
from heyfleet.plan.url import DEFAULT_PORTS
from heyfleet.proto.control_pb2 import AgentInterval, Interval, RunResult
from heyfleet.proto.plan_pb2 import Assignment, LoadModel, Plan
from heyfleet.proto.stats_pb2 import Ready
from heyfleet.results.archive import layout, snapshot_rows
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.histogram_log import MAX_LINE_BYTES, read_line
from heyfleet.results.archive.interval_record import from_record, index_plan
from heyfleet.results.archive.migration import version_of
from heyfleet.results.codec import from_message
from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements
from heyfleet.results.metrics import InvalidSnapshotError
from heyfleet.results.stats import Stats

_MAX_JSON_BYTES = 64 << 20
_NumberedLines = Iterator[tuple[int, str]]
_DAMAGE = (ValueError, TypeError, KeyError, AttributeError, IndexError)
_CUT_OFF = "the run was cut off before its end; this is what its archive had until then"


class ArchivedRun:
    """The archive of one run, of any version. ArchiveError names the file and what is wrong with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / layout.FACTS).is_file():
            cause = f"not an archive: it has no {layout.FACTS}" if folder.is_dir() else "no such folder"
            raise ArchiveError(f"{folder}: {cause}", "`heyfleet runs` lists the runs")
        facts = self._read_json(layout.FACTS)
        if not isinstance(facts, dict) or facts.get("format") != layout.FORMAT:
            raise ArchiveError(f"{folder / layout.FACTS}: not an archive of heyfleet")
        number = facts.get("version")
        if not isinstance(number, int) or not 1 <= number <= layout.VERSION:
            raise ArchiveError(
                f"{folder}: an archive of version {number}, written by heyfleet {facts.get('heyfleet_version')};"
                f" this heyfleet reads versions up to {layout.VERSION}",
                "use the newer heyfleet",
            )
        self._version = version_of(number)
        self.facts = self._version.facts(facts)

    @property
    def complete(self) -> bool:
        """Whether the archive was finished at the end of the run."""
        return bool(self.facts.get("state") == layout.COMPLETE)

    @property
    def started_at(self) -> str:
        """When its load began, or else when it was created, as ISO 8601 in UTC."""
        return str(self.facts.get("started_at") or self.facts.get("created_at") or "")

    @property
    def exit_code(self) -> int | None:
        """The exit code of the command that made the run; None if it isn't known."""
        code = self.facts.get("exit_code")
        return code if isinstance(code, int) else None

    @property
    def url(self) -> str:
        """Where its first request went, without secrets: earlier versions kept those of parameters."""
        return mask_text(str(self.facts.get("url", "")))

    def plan(self) -> Plan:
        """Return the plan without secrets and large bodies."""
        try:
            values = self._version.plan(self._read_json(layout.PLAN))
            return _checked_plan(ParseDict(values, Plan(), ignore_unknown_fields=True))
        except (ParseError, ValueError, TypeError, AttributeError) as error:
            raise ArchiveError(f"{self._path(layout.PLAN)}: not a plan: {error}") from None

    def report(self) -> dict[str, Any]:
        """Return the JSON report as it was written at the end of the run; empty if the run was cut off."""
        if not self.complete:
            return {}
        report = self._read_json(layout.REPORT)
        if not isinstance(report, dict):
            raise ArchiveError(f"{self._path(layout.REPORT)}: not a report")
        return report

    def measurements(self) -> Measurements:
        """Return everything that is known about the run."""
        if not self.complete:
            return self._measurements_until_cut_off()
        try:
            result = RunResult.FromString(self._read_bytes(layout.RESULT, MAX_DATA_BYTES))
            _checked_plan(result.plan)
            return from_message(self._version.result(result))
        except (DecodeError, InvalidSnapshotError, ValueError) as error:
            raise ArchiveError(f"{self._path(layout.RESULT)}: damaged: {error}") from None

    def intervals(self) -> Iterator[Interval]:
        """Return the run second by second, without agents. Late snapshots make a further interval of a second."""
        index = index_plan(self.plan())
        with ExitStack() as stack:
            rows = stack.enter_context(closing(self.lines(layout.INTERVALS)))
            log = enumerate(stack.enter_context(closing(self.lines(layout.HISTOGRAMS))), 1)
            for number, row in enumerate(rows, 1):
                try:
                    record = self._version.interval(parse_json(row))
                    yield from_record(record, index, lambda tag: self._next_payload(log, tag))
                except _DAMAGE as error:
                    if not row.endswith("\n"):
                        return  # the run was cut off while it wrote this line
                    place = f"{self._path(layout.INTERVALS)}, line {number}"
                    raise ArchiveError(f"{place}: damaged: {type(error).__name__} {error}") from None

    def agents(self) -> Iterator[AgentInterval]:
        """Return each snapshot of each agent, in the order of their arrival."""
        with closing(self.lines(layout.SNAPSHOTS)) as rows:
            for number, row in enumerate(rows, 1):
                if number == 1:
                    continue
                try:
                    yield snapshot_rows.parse_row(row)
                except ValueError as error:
                    if not row.endswith("\n"):
                        return
                    place = f"{self._path(layout.SNAPSHOTS)}, line {number}"
                    raise ArchiveError(f"{place}: damaged: {error}") from None

    def log_lines(self) -> Iterator[str]:
        """Return the lines of the histogram log."""
        return map(self._version.log_line, self.lines(layout.HISTOGRAMS))

    def _next_payload(self, log: _NumberedLines, tag: str) -> bytes:
        """Return the counts of the next histogram in the log, which must have this tag."""
        path = self._path(layout.HISTOGRAMS)
        for number, text in log:
            try:
                line = read_line(self._version.log_line(text))
            except ValueError as error:
                raise ArchiveError(f"{path}, line {number}: {error}") from None
            if line is None:
                continue
            if line.tag != tag:
                raise ArchiveError(f"{path}, line {number}: found {line.tag!r}, expected {tag!r}")
            return line.payload
        raise ArchiveError(f"{path}: it ends before {layout.INTERVALS} does")

    def _measurements_until_cut_off(self) -> Measurements:
        stats = Stats()
        for number, interval in enumerate(self.intervals(), 1):
            interval.merged.sequence = number
            try:
                stats.add(interval.merged)
            except InvalidSnapshotError as error:
                raise ArchiveError(f"{self._path(layout.INTERVALS)}, line {number}: {error}") from None
        agents = [
            AgentMeasurements(
                agent=name,
                host="",
                state=LOST,
                reason="the run was cut off",
                last_heard_ns=sums.end_ns,
                # Its true share is not known; the stride says that shares are missing.
                share=Assignment(agent=name, connection_stride=1 << 16),
                ready=Ready(),
                done=None,
                stats=sums,
            )
            for name, sums in self._sums_by_agent().items()
        ]
        return Measurements(
            plan=self.plan(),
            stats=stats,
            agents=agents,
            agents_requested=len(agents),
            recovery_note=_CUT_OFF,
        )

    def _sums_by_agent(self) -> dict[str, Stats]:
        """Return each agent's counts, with all responses under status 0 and all errors under one kind."""
        sums: dict[str, Stats] = {}
        for row in self.agents():
            stats = sums.setdefault(row.agent, Stats(histograms=False))
            for name in ("sent", "abandoned"):
                stats.counters[name] += getattr(row, name)
            stats.responses[0] += row.responses
            stats.errors[""] += row.errors
            stats.end_ns = max(stats.end_ns, row.end_ns)
        return sums

    def _path(self, name: str) -> Path:
        return self.folder / (name if name == layout.FACTS else self._version.file_name(name))

    def _read_json(self, name: str) -> Any:
        data = self._read_bytes(name, _MAX_JSON_BYTES)
        try:
            return parse_json(data)
        except ValueError as error:
            raise ArchiveError(f"{self._path(name)}: damaged: {error}") from None

    def _read_bytes(self, name: str, limit: int) -> bytes:
        return read_file(self._path(name), "archive", limit, pipes=False, error=ArchiveError)

    def lines(self, name: str) -> Generator[str, None, None]:
        """Return the lines of a file as they stand there; none if it does not exist."""
        path = self._path(name)
        if not path.exists():
            return  # nothing was written
        with open_file(path, "archive", error=ArchiveError) as stream:
            while line := stream.readline(MAX_LINE_BYTES):
                if len(line) == MAX_LINE_BYTES:
                    raise ArchiveError(f"{path}: a line is longer than {MAX_LINE_BYTES >> 20} MiB")
                yield line.decode("utf-8", "replace")


def _checked_plan(plan: Plan) -> Plan:
    """Return a plan that names a target and requests; ValueError if it lacks them, as an empty message does."""
    if plan.target.scheme not in DEFAULT_PORTS or not plan.requests:
        raise ValueError("it has no plan with a target and requests")
    if plan.load_model not in LoadModel.values():
        raise ValueError(f"its load model {plan.load_model} is unknown")
    return plan
