"""Writes a run's archive while the run goes on: whatever ends it, what was written until then can be read."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from google.protobuf.json_format import MessageToDict

from heyfleet import __version__
from heyfleet.errors import InputError
from heyfleet.ext import Histogram
from heyfleet.plan.redact import target_url, without_secrets
from heyfleet.proto import stats_pb2
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive import layout
from heyfleet.results.archive.histogram_log import head, write_line
from heyfleet.results.archive.layout import Tag
from heyfleet.results.codec import to_message
from heyfleet.results.measurements import Measurements
from heyfleet.results.stats import decoded, encoded, totals_of

_SECOND_NS = 1e9


_Line = tuple[Tag, int, int, stats_pb2.Histogram]  # of the log: begin and end in ns since the start


class Archive:
    """A folder of its own. What can't be written is told in `fault`, once, and ends the writing, never the run."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """Make the folder; InputError if it is there, or can't be made."""
        self.folder = folder
        self.fault = ""
        self._plan = without_secrets(plan)
        self._others: dict[Tag, Histogram] = {}
        self._others_begin_ns = 0
        self._end_ns = 0
        self._log: IO[str] | None = None
        try:
            folder.mkdir(parents=True)
            self._facts: dict[str, Any] = {
                "format": "heyfleet archive",
                "version": layout.VERSION,
                "heyfleet_version": __version__,
                "state": layout.RUNNING,
                "made_at": _iso(datetime.datetime.now(datetime.UTC).timestamp()),
                "url": target_url(plan),
            }
            self._write_whole(layout.FACTS, _text(self._facts))
            self._write_whole(layout.PLAN, _text(MessageToDict(self._plan, preserving_proto_field_name=True)))
            self._intervals = (folder / layout.INTERVALS).open("w", encoding="utf-8")
            self._series = (folder / layout.SERIES).open("w", encoding="utf-8")
            self._series.write(f"{layout.SERIES_HEAD}\n")
        except FileExistsError:
            raise InputError(f"{folder} is there already: an archive wants a folder of its own") from None
        except OSError as error:
            raise InputError(f"{folder}: the archive can't be written: {error.strerror}") from None

    def take(self, interval: Interval) -> None:
        """Add one second of the run."""
        self._telling(lambda: self._take(interval))

    def finish(self, measured: Measurements, summary: str) -> None:
        """The run is over, and this is its summary, a JSON text."""
        self._telling(lambda: self._finish(measured, summary))

    def _telling(self, write: Callable[[], None]) -> None:
        """What the disk refuses becomes the archive's fault; after that nothing is written."""
        if not self.fault:
            try:
                write()
            except OSError as error:
                self.fault = f"{self.folder}: the archive ends early: {error.strerror or error}"
                with contextlib.suppress(OSError):
                    self.close()

    def _take(self, interval: Interval) -> None:
        log = self._log or self._begin(interval)
        merged = interval.merged
        self._end_ns = max(self._end_ns, merged.end_ns)
        lines = list(self._latencies(merged))
        if interval.second % layout.OTHERS_EVERY == layout.OTHERS_EVERY - 1:
            lines += self._rest()
        log.writelines(write_line(*line) for line in lines)
        self._series.writelines(
            f"{each.agent},{each.begin_ns},{each.end_ns},{each.sent},{each.responses},{each.errors},"
            f"{each.abandoned},{each.p50_ns},{each.p99_ns},{each.max_ns}\n"
            for each in interval.agents
        )
        log.flush()
        self._series.flush()
        # Last, since only what has a line here counts as written.
        self._intervals.write(_compact(_interval(interval, lines)))
        self._intervals.flush()

    def _finish(self, measured: Measurements, summary: str) -> None:
        lines = list(self._rest())
        if self._log:
            self._log.writelines(write_line(*line) for line in lines)
            self._log.flush()
            last = Interval(second=0, merged=Snapshot(begin_ns=self._end_ns, end_ns=self._end_ns))
            self._intervals.write(_compact(_interval(last, lines)))
        self.close()
        message = to_message(measured)
        message.plan.CopyFrom(self._plan)
        agents = [MessageToDict(each, preserving_proto_field_name=True) for each in message.agents]
        for agent in agents:
            agent.pop("sums", None)
        self._write_whole(layout.AGENTS, _text(agents))
        self._write_whole(layout.RECORD, message.SerializeToString())
        self._write_whole(layout.SUMMARY, summary)
        self._facts.update(state=layout.COMPLETE, run_id=measured.run_id)
        self._write_whole(layout.FACTS, _text(self._facts))

    def close(self) -> None:
        """Close its files, whether it is finished or not."""
        for stream in (self._log, self._intervals, self._series):
            if stream:
                stream.close()

    def abandon(self) -> None:
        """Nothing was sent: leave no folder."""
        self.close()
        if self._log is None:
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()

    def _begin(self, first: Interval) -> IO[str]:
        self._log = (self.folder / layout.LOG).open("w", encoding="utf-8")
        began_s = first.began_unix_ns / _SECOND_NS
        self._facts["began_at"] = _iso(began_s)
        self._write_whole(layout.FACTS, _text(self._facts))
        self._log.write(head(began_s, _iso(began_s)))
        return self._log

    def _latencies(self, merged: Snapshot) -> Iterator[_Line]:
        """Lines of the latencies; what else there is joins the others."""
        for tag, histogram in self._histograms(merged):
            if not histogram.count:
                continue
            if tag.metric == "latency":
                yield tag, merged.begin_ns, merged.end_ns, histogram
            else:
                if not self._others:
                    self._others_begin_ns = merged.begin_ns
                self._others.setdefault(tag, Histogram()).add(decoded(histogram))

    def _rest(self) -> Iterator[_Line]:
        for tag, histogram in self._others.items():
            yield tag, self._others_begin_ns, self._end_ns, encoded(histogram)
        self._others = {}

    def _histograms(self, merged: Snapshot) -> Iterator[tuple[Tag, stats_pb2.Histogram]]:
        stages, mix = self._plan.stages, self._plan.requests
        for metric, histogram in sorted(merged.histograms.items()):
            yield Tag(metric), histogram
        for metric, histogram in sorted(merged.warmup.histograms.items()):
            yield Tag(metric, warmup=True), histogram
        for part in merged.breakdowns:
            stage = stages[part.stage].name if len(stages) > 1 else ""
            request = mix[part.request].name if len(mix) > 1 else ""
            for metric, histogram in sorted(part.metrics.histograms.items()):
                yield Tag(metric, stage=stage, request=request), histogram

    def _write_whole(self, name: str, content: str | bytes) -> None:
        """A file is there whole, as it was before, or not at all."""
        path = self.folder / name
        draft = path.with_name(f".{name}.new")
        data = content.encode() if isinstance(content, str) else content
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)


def _interval(interval: Interval, lines: list[_Line]) -> dict[str, Any]:
    """All of an interval but its histograms' counts, which are in the log, and its agents."""
    merged = interval.merged
    made = {
        "second": interval.second,
        "begin_ns": merged.begin_ns,
        "end_ns": merged.end_ns,
        **_numbers(merged),
        "histograms": [
            [str(tag), begin_ns, end_ns, *totals_of(histogram)[1:]]
            for tag, begin_ns, end_ns, histogram in lines
        ],
    }
    if merged.HasField("warmup"):
        made["warmup"] = _numbers(merged.warmup)
    if merged.breakdowns:
        made["parts"] = [
            {"stage": part.stage, "request": part.request, **_numbers(part.metrics)}
            for part in merged.breakdowns
        ]
    if merged.addresses:
        made["addresses"] = {
            address: [getattr(numbers, name) for name in ADDRESS_COUNTER_NAMES]
            for address, numbers in sorted(merged.addresses.items())
        }
    return made


def _numbers(numbers: Snapshot) -> dict[str, Any]:
    made: dict[str, Any] = {name: value for name in COUNTER_NAMES if (value := getattr(numbers, name))}
    if numbers.responses:
        made["responses"] = {str(status): count for status, count in sorted(numbers.responses.items())}
    if numbers.errors:
        made["errors"] = dict(sorted(numbers.errors.items()))
    return made


def _compact(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False) + "\n"


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _iso(unix_s: float) -> str:
    moment = datetime.datetime.fromtimestamp(unix_s, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
