"""Archives of earlier versions, translated while they are read. Only this module knows their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from heyfleet.proto.control_pb2 import RunResult
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive import layout

# The names of version 1.
_FILES = {
    layout.REPORT: "summary.json",
    layout.HISTOGRAMS: "latency.hlog",
    layout.SNAPSHOTS: "agents.csv",
}
_FACTS = {"made_at": "created_at", "began_at": "started_at"}
_COUNTERS = {"missed": "dropped", "sent_again": "retries", "unasked": "unsolicited_responses"}
_METRICS = {"own_lag": "generator_lag"}
_LOAD_MODELS = {"CONNECTIONS": "CLOSED", "TICKS": "CONNECTION_RATE"}
_ADDRESS_COUNTERS = ("connections", "failures", "responses", "errors")
_TAG = re.compile(r"^Tag=(\w+)")


class CurrentVersion:
    """The current version, of which nothing needs a translation."""

    def file_name(self, name: str) -> str:
        """Return the name of a file of the current layout in this archive."""
        return name

    def facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Translate the content of archive.json."""
        return facts

    def plan(self, plan: Any) -> Any:
        """Translate the content of plan.json."""
        return plan

    def interval(self, record: Any) -> Any:
        """Translate a record of intervals.jsonl."""
        return record

    def log_line(self, line: str) -> str:
        """Translate a line of histograms.hlog."""
        return line

    def result(self, result: RunResult) -> RunResult:
        """Translate the content of run.pb."""
        return result


class Version1(CurrentVersion):
    """Version 1, written until November 2026. Numbers of protobuf fields are the same, so run.pb needs little."""

    def file_name(self, name: str) -> str:
        return _FILES.get(name, name)

    def facts(self, facts: dict[str, Any]) -> dict[str, Any]:
        return _renamed(facts, _FACTS)

    def plan(self, plan: Any) -> Any:
        if not isinstance(plan, dict) or "mix" not in plan:
            return plan
        plan = dict(plan)
        requests = plan.pop("mix")
        if "requests" in plan:
            plan["request_count"] = plan.pop("requests")
        if "loop" in plan:
            loop = plan.pop("loop")
            plan["load_model"] = _LOAD_MODELS.get(loop, loop)
        return {**plan, "requests": requests}

    def interval(self, record: Any) -> Any:
        record = _renamed(record, {**_COUNTERS, "parts": "breakdowns"})
        if "warmup" in record:
            record["warmup"] = _renamed(record["warmup"], _COUNTERS)
        if "breakdowns" in record:
            record["breakdowns"] = [_renamed(entry, _COUNTERS) for entry in record["breakdowns"]]
        for address, counts in record.get("addresses", {}).items():
            record["addresses"][address] = dict(zip(_ADDRESS_COUNTERS, counts, strict=True))
        record["histograms"] = [[_renamed_tag(tag), *totals] for tag, *totals in record["histograms"]]
        return record

    def log_line(self, line: str) -> str:
        return _TAG.sub(lambda match: f"Tag={_METRICS.get(match[1], match[1])}", line)

    def result(self, result: RunResult) -> RunResult:
        for snapshot in _snapshots(result):
            for old, new in _METRICS.items():
                if old in snapshot.histograms:
                    snapshot.histograms[new].CopyFrom(snapshot.histograms[old])
                    del snapshot.histograms[old]
        return result


def version_of(number: int) -> CurrentVersion:
    """Return how to read an archive of this version."""
    return Version1() if number == 1 else CurrentVersion()


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _renamed_tag(tag: str) -> str:
    metric, separator, rest = tag.partition(";")
    return f"{_METRICS.get(metric, metric)}{separator}{rest}"


def _snapshots(result: RunResult) -> Iterator[Snapshot]:
    for snapshot in (result.merged, *(agent.sums for agent in result.agents)):
        yield snapshot
        if snapshot.HasField("warmup"):
            yield snapshot.warmup
        for breakdown in snapshot.breakdowns:
            yield breakdown.metrics
