"""Thresholds judged: whether each holds of what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.plan.stages import stage_ends_ns
from heyfleet.plan.thresholds import Threshold
from heyfleet.proto.plan_pb2 import Plan, Request
from heyfleet.results.stats import Metrics, Stats

DEFAULT_EXPECTED = ((100, 399),)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One threshold of a run that is over."""

    text: str
    holds: bool | None  # None: it can't be told
    value: float | None  # in the unit of the limit: ns, requests a second, a number or a share
    unit: str  # "ns", "per_s", "count" or "share"
    reason: str  # why it can't be told


def failures(numbers: Metrics, requests: list[Request]) -> int:
    """Requests without an answer, or with one that was not expected. Several requests must expect the same."""
    expected = [(each.first, each.last) for each in requests[0].expected] or DEFAULT_EXPECTED
    unexpected = sum(
        count
        for status, count in numbers.responses.items()
        if not any(first <= status <= last for first, last in expected)
    )
    return numbers.errors.total() + unexpected


def all_failures(stats: Stats, plan: Plan) -> int:
    """Of the whole run, each request with what it expects."""
    if len(plan.requests) == 1 or not stats.parts:
        return failures(stats, list(plan.requests))
    return sum(failures(numbers, [plan.requests[request]]) for (_, request), numbers in stats.parts.items())


@dataclass(frozen=True, slots=True)
class Scope:
    """What a threshold is about."""

    numbers: Metrics
    failed: int
    seconds: float
    planned: int = 0
    unsent: int = 0


def scope_of(name: str, stats: Stats, plan: Plan, elapsed_ns: int) -> Scope:
    """The numbers of the run, of a stage or of a request; what was not sent is not among them."""
    stages = [stage.name for stage in plan.stages]
    requests = [request.name for request in plan.requests]
    if not name or len(stats.parts) == 0:
        return Scope(stats, all_failures(stats, plan), elapsed_ns / 1e9)
    if name in requests:
        request = requests.index(name)
        numbers = stats.of_request(request)
        return Scope(numbers, failures(numbers, [plan.requests[request]]), elapsed_ns / 1e9)
    stage = stages.index(name)
    failed = sum(
        failures(part, [plan.requests[request]]) for (at, request), part in stats.parts.items() if at == stage
    )
    return Scope(stats.of_stage(stage), failed, stage_seconds(plan, stage, elapsed_ns))


def stage_seconds(plan: Plan, stage: int, elapsed_ns: int) -> float:
    """How long a stage was measured: without the warm-up, and until the end of the run. `elapsed_ns`: since the warm-up."""
    end_ns = plan.warmup_ns + elapsed_ns
    ends = [min(at, end_ns) if at else end_ns for at in stage_ends_ns(plan)]
    begin_ns = max(ends[stage - 1] if stage else 0, plan.warmup_ns)
    return max(ends[stage] - begin_ns, 0) / 1e9


def judge(threshold: Threshold, scope: Scope) -> Verdict:
    """Whether it holds."""
    value, unit, reason = _value(threshold, scope)
    holds = None if value is None else threshold.holds(value)
    return Verdict(threshold.text, holds, value, unit, reason)


def _value(threshold: Threshold, scope: Scope) -> tuple[float | None, str, str]:
    match threshold.metric:
        case "rate":
            return (scope.numbers.ended / scope.seconds if scope.seconds > 0 else 0.0), "per_s", ""
        case "unsent":
            return _of(scope.unsent, scope.planned, threshold.share)
        case "errors":
            return _of(scope.failed, scope.numbers.ended, threshold.share)
    latency = scope.numbers.histogram("latency")
    return (None, "ns", "there was no response") if latency is None else _time(threshold, latency)


def _time(threshold: Threshold, latency: Histogram) -> tuple[float | None, str, str]:
    if threshold.metric != "p":
        exact = {"min": latency.min_ns, "mean": latency.mean_ns, "max": latency.max_ns}
        return float(exact[threshold.metric]), "ns", ""
    least = needs(threshold.percent)
    if latency.count < least:
        return None, "ns", f"it needs {least} responses, there were {latency.count}"
    return float(latency.value_at_percentile(threshold.percent)), "ns", ""


def needs(percent: float) -> int:
    """So many values give the percentile's tail one."""
    hundredths = round(percent * 1e6)
    whole = 100_000_000
    return int(-(-whole // min(hundredths, whole - hundredths)))


def in_words(verdict: Verdict) -> str:
    """What was measured."""
    measured = verdict.value or 0.0
    return {
        "ns": f"{measured / 1e9:.4f} secs",
        "per_s": f"{measured:.2f} requests/s",
        "count": f"{measured:.0f}",
        "share": f"{measured:.3%}",
    }[verdict.unit]


def _of(count: int, whole: int, share: bool) -> tuple[float | None, str, str]:
    if not share:
        return float(count), "count", ""
    if not whole:
        return None, "share", "there was no request"
    return count / whole, "share", ""
