"""Writes a run's archive while the run goes on, so that the part written so far can be read however the run ends."""

from __future__ import annotations

import contextlib
import datetime
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from google.protobuf.json_format import MessageToDict

from heyfleet import __version__
from heyfleet.errors import InputError
from heyfleet.ext import Histogram
from heyfleet.plan.redact import target_url, without_secrets
from heyfleet.private_files import make_folder, open_file
from heyfleet.proto import stats_pb2
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive import layout, snapshot_rows
from heyfleet.results.archive.histogram_log import log_header, write_line
from heyfleet.results.archive.interval_record import TaggedHistogram, to_record
from heyfleet.results.archive.layout import Tag
from heyfleet.results.codec import to_message
from heyfleet.results.measurements import Measurements
from heyfleet.results.metrics import decode_histogram, encode_histogram
from heyfleet.text import dump_json


class ArchiveWriter:
    """The folder of one run. An error of the disk ends the archive, not the run, and is kept in `error`."""

    def __init__(self, folder: Path, plan: Plan, *, is_made: bool = False) -> None:
        """Create the folder unless it `is_made` and empty; InputError if it exists or can't be written."""
        self.folder = folder
        self.error = ""
        self._plan = without_secrets(plan)
        self._pending: dict[
            Tag, Histogram
        ] = {}  # metrics other than the latency, since the last line of them
        self._pending_begin_ns = 0
        self._end_ns = 0
        self._log: IO[str] | None = None
        self._open_files: list[IO[str]] = []
        try:
            if not is_made:
                make_folder(folder)
            self._begin(plan)
        except FileExistsError:
            raise InputError(f"{folder} already exists", "an archive needs a new folder") from None
        except OSError as error:
            self.discard()
            raise InputError(f"the archive {folder} can't be written: {error.strerror}") from None

    def _begin(self, plan: Plan) -> None:
        """Write what is known before the load; OSError."""
        self._facts: dict[str, Any] = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "heyfleet_version": __version__,
            "state": layout.RUNNING,
            "created_at": _iso(datetime.datetime.now(datetime.UTC).timestamp()),
            "url": target_url(plan),
        }
        self._write_file(layout.FACTS, dump_json(self._facts))
        plan_values = MessageToDict(self._plan, preserving_proto_field_name=True)
        self._write_file(layout.PLAN, dump_json(plan_values))
        self._intervals = self._open(layout.INTERVALS)
        self._snapshots = self._open(layout.SNAPSHOTS)
        self._snapshots.write(f"{snapshot_rows.HEADER}\n")

    def add_interval(self, interval: Interval) -> None:
        """Write one second of the run."""
        self._guard(lambda: self._add_interval(interval))

    def finish(self, measurements: Measurements, report: str, exit_code: int | None = None) -> None:
        """Write everything that is known at the end of the run: also the JSON report and the command's exit code."""
        self._guard(lambda: self._finish(measurements, report, exit_code))

    def _guard(self, write: Callable[[], None]) -> None:
        """Write unless an earlier write failed; note the first error."""
        if not self.error:
            try:
                write()
            except OSError as error:
                self.error = f"the archive {self.folder} is incomplete: {error.strerror or error}"
                with contextlib.suppress(OSError):
                    self.close()

    def _add_interval(self, interval: Interval) -> None:
        log = self._log or self._open_log(interval)
        merged = interval.merged
        self._end_ns = max(self._end_ns, merged.end_ns)
        histograms = list(self._latencies(merged))
        if interval.second % layout.SECONDS_PER_HISTOGRAM == layout.SECONDS_PER_HISTOGRAM - 1:
            histograms += self._take_pending()
        log.writelines(write_line(*histogram) for histogram in histograms)
        self._snapshots.writelines(map(snapshot_rows.format_row, interval.agents))
        log.flush()
        self._snapshots.flush()
        # Last, because readers use only what has a record here.
        self._intervals.write(dump_json(to_record(interval, histograms), indent=None))
        self._intervals.flush()

    def _finish(self, measurements: Measurements, report: str, exit_code: int | None) -> None:
        histograms = list(self._take_pending())
        if self._log:
            self._log.writelines(write_line(*histogram) for histogram in histograms)
            self._log.flush()
            last = Interval(second=0, merged=Snapshot(begin_ns=self._end_ns, end_ns=self._end_ns))
            self._intervals.write(dump_json(to_record(last, histograms), indent=None))
        self.close()
        message = to_message(measurements)
        message.plan.CopyFrom(self._plan)
        agents = [MessageToDict(each, preserving_proto_field_name=True) for each in message.agents]
        for agent in agents:
            agent.pop("sums", None)
        self._write_file(layout.AGENTS, dump_json(agents))
        self._write_file(layout.RESULT, message.SerializeToString())
        self._write_file(layout.REPORT, report)
        self._facts.update(state=layout.COMPLETE, run_id=measurements.run_id, exit_code=exit_code)
        self._write_file(layout.FACTS, dump_json(self._facts))

    def close(self) -> None:
        """Close the files, whether the archive is complete or not."""
        for file in self._open_files:
            file.close()

    def discard(self) -> None:
        """Remove the folder of a run that sent nothing."""
        with contextlib.suppress(OSError):  # what can't be removed stays
            self.close()
        if self._log is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _open(self, name: str) -> IO[str]:
        file = open_file(self.folder / name, "w")
        self._open_files.append(file)
        return file

    def _open_log(self, first: Interval) -> IO[str]:
        self._log = self._open(layout.HISTOGRAMS)
        began_unix_s = first.began_unix_ns / 1e9
        self._facts["started_at"] = _iso(began_unix_s)
        self._write_file(layout.FACTS, dump_json(self._facts))
        self._log.write(log_header(began_unix_s, _iso(began_unix_s)))
        return self._log

    def _latencies(self, merged: Snapshot) -> Iterator[TaggedHistogram]:
        """Return the histograms of the latency; add all others to the pending ones."""
        for tag, histogram in self._histograms(merged):
            if not histogram.count:
                continue
            if tag.metric == "latency":
                yield tag, merged.begin_ns, merged.end_ns, histogram
            else:
                if not self._pending:
                    self._pending_begin_ns = merged.begin_ns
                self._pending.setdefault(tag, Histogram()).add(decode_histogram(histogram))

    def _take_pending(self) -> Iterator[TaggedHistogram]:
        for tag, histogram in self._pending.items():
            yield tag, self._pending_begin_ns, self._end_ns, encode_histogram(histogram)
        self._pending = {}

    def _histograms(self, merged: Snapshot) -> Iterator[tuple[Tag, stats_pb2.Histogram]]:
        stages, requests = self._plan.stages, self._plan.requests
        for metric, histogram in sorted(merged.histograms.items()):
            yield Tag(metric), histogram
        for metric, histogram in sorted(merged.warmup.histograms.items()):
            yield Tag(metric, warmup=True), histogram
        for breakdown in merged.breakdowns:
            stage = stages[breakdown.stage].name if len(stages) > 1 else ""
            request = requests[breakdown.request].name if len(requests) > 1 else ""
            for metric, histogram in sorted(breakdown.metrics.histograms.items()):
                yield Tag(metric, stage=stage, request=request), histogram

    def _write_file(self, name: str, content: str | bytes) -> None:
        """Write a file whole, so that it is never seen half-written."""
        path = self.folder / name
        draft = path.with_name(f".{name}.new")
        data = content.encode() if isinstance(content, str) else content
        with open_file(draft, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)


def _iso(unix_s: float) -> str:
    moment = datetime.datetime.fromtimestamp(unix_s, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
