"""Records of intervals.jsonl: the counters of one interval, and the exact totals of its histograms in the log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from heyfleet.proto import stats_pb2
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.archive.layout import Tag, read_tag
from heyfleet.results.metrics import decode_histogram, histogram_totals

# A line of the log: its tag, begin and end in ns since the start of the run, and its histogram.
TaggedHistogram = tuple[Tag, int, int, stats_pb2.Histogram]
PlanIndex = dict[tuple[str, str], tuple[int, int]]


def index_plan(plan: Plan) -> PlanIndex:
    """Return the indices of stage and request by their names, which are "" if the plan has only one."""
    stages = [stage.name for stage in plan.stages] if len(plan.stages) > 1 else [""]
    requests = [request.name for request in plan.requests] if len(plan.requests) > 1 else [""]
    return {(stage, request): (i, k) for i, stage in enumerate(stages) for k, request in enumerate(requests)}


def to_record(interval: Interval, histograms: Sequence[TaggedHistogram]) -> dict[str, Any]:
    """Return an interval as plain values, without the histograms' counts, which are in the log."""
    merged = interval.merged
    record = {
        "second": interval.second,
        "begin_ns": merged.begin_ns,
        "end_ns": merged.end_ns,
        **_counts(merged),
        "histograms": [
            [str(tag), begin_ns, end_ns, *histogram_totals(histogram)]
            for tag, begin_ns, end_ns, histogram in histograms
        ],
    }
    if merged.HasField("warmup"):
        record["warmup"] = _counts(merged.warmup)
    if merged.breakdowns:
        record["breakdowns"] = [
            {"stage": breakdown.stage, "request": breakdown.request, **_counts(breakdown.metrics)}
            for breakdown in merged.breakdowns
        ]
    if merged.addresses:
        record["addresses"] = {
            address: {name: value for name in ADDRESS_COUNTER_NAMES if (value := getattr(metrics, name))}
            for address, metrics in sorted(merged.addresses.items())
        }
    return record


def _counts(metrics: Snapshot) -> dict[str, Any]:
    counts: dict[str, Any] = {name: value for name in COUNTER_NAMES if (value := getattr(metrics, name))}
    if metrics.responses:
        counts["responses"] = {str(status): count for status, count in sorted(metrics.responses.items())}
    if metrics.errors:
        counts["errors"] = dict(sorted(metrics.errors.items()))
    return counts


def from_record(record: dict[str, Any], index: PlanIndex, read_payload: Callable[[str], bytes]) -> Interval:
    """Return the interval of a record. `read_payload` returns the next histogram of the log, given its tag.

    A damaged record raises ValueError, TypeError, KeyError, IndexError or AttributeError.
    """
    merged = Snapshot(begin_ns=record["begin_ns"], end_ns=record["end_ns"])
    _set_counts(merged, record)
    if "warmup" in record:
        _set_counts(merged.warmup, record["warmup"])
    breakdowns: dict[tuple[int, int], Snapshot] = {}
    for entry in record.get("breakdowns", ()):
        breakdowns[entry["stage"], entry["request"]] = metrics = Snapshot()
        _set_counts(metrics, entry)
    for address, counts in record.get("addresses", {}).items():
        for name in ADDRESS_COUNTER_NAMES:
            setattr(merged.addresses[address], name, counts.get(name, 0))
    for text, _, _, count, sum_ns, min_ns, max_ns, clamped in record["histograms"]:
        tag = read_tag(text)
        target = merged.warmup if tag.warmup else merged
        if tag.stage or tag.request:
            target = breakdowns.setdefault(index[tag.stage, tag.request], Snapshot())
        histogram = stats_pb2.Histogram(
            counts_v2=read_payload(text),
            count=count,
            sum_ns=sum_ns,
            min_ns=min_ns,
            max_ns=max_ns,
            clamped=clamped,
        )
        decode_histogram(
            histogram
        )  # refuses totals that its counts contradict, before anyone computes with it
        target.histograms[tag.metric].CopyFrom(histogram)
    for (stage, request), metrics in breakdowns.items():
        merged.breakdowns.add(stage=stage, request=request, metrics=metrics)
    return Interval(second=record["second"], merged=merged)


def _set_counts(metrics: Snapshot, counts: dict[str, Any]) -> None:
    for name in COUNTER_NAMES:
        if name in counts:
            setattr(metrics, name, counts[name])
    for status, count in counts.get("responses", {}).items():
        metrics.responses[int(status)] = count
    for kind, count in counts.get("errors", {}).items():
        metrics.errors[kind] = count
