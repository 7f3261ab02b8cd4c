"""Thresholds judged against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.plan.stages import stage_ends_ns
from heyfleet.plan.thresholds import Threshold
from heyfleet.proto.plan_pb2 import Plan, Request
from heyfleet.results.distribution import minimum_sample, percentile_ns
from heyfleet.results.metrics import Metrics
from heyfleet.results.stats import Stats
from heyfleet.results.units import format_time

DEFAULT_EXPECTED_STATUSES = ((100, 399),)
PASSED, FAILED, INCONCLUSIVE = "passed", "failed", "inconclusive"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one threshold."""

    text: str
    result: str  # PASSED, FAILED or INCONCLUSIVE
    value: float | None  # in the unit of the limit: ns, requests a second, a number or a share
    unit: str  # "ns", "per_s", "count" or "share"
    reason: str  # why it is inconclusive

    @property
    def explanation(self) -> str:
        """The measured value, or why there is none."""
        return self.reason or format_value(self)


def count_failures(metrics: Metrics, requests: Sequence[Request]) -> int:
    """Return the number of requests with an error or an unexpected status. All `requests` must expect the same."""
    expected = [(each.first, each.last) for each in requests[0].expected] or DEFAULT_EXPECTED_STATUSES
    unexpected = sum(
        count
        for status, count in metrics.responses.items()
        if not any(first <= status <= last for first, last in expected)
    )
    return metrics.errors.total() + unexpected


def count_run_failures(stats: Stats, plan: Plan) -> int:
    """Return the failures of the whole run; each request has its own expected statuses."""
    if len(plan.requests) == 1 or not stats.breakdowns:
        return count_failures(stats, plan.requests)
    return sum(
        count_failures(metrics, [plan.requests[request]])
        for (_, request), metrics in stats.breakdowns.items()
    )


@dataclass(frozen=True, slots=True)
class Scope:
    """What a threshold is about: the run, a stage or a request."""

    metrics: Metrics
    failed: int
    seconds: float
    planned: int = 0
    unsent: int = 0


def scope_of(name: str, stats: Stats, plan: Plan, elapsed_ns: int) -> Scope:
    """Return the run (""), a stage or a request by its name, without planned and unsent requests."""
    stages = [stage.name for stage in plan.stages]
    requests = [request.name for request in plan.requests]
    if not name or not stats.breakdowns:
        return Scope(stats, count_run_failures(stats, plan), elapsed_ns / 1e9)
    if name in requests:
        request = requests.index(name)
        metrics = stats.request_metrics(request)
        return Scope(metrics, count_failures(metrics, [plan.requests[request]]), elapsed_ns / 1e9)
    stage = stages.index(name)
    failed = sum(
        count_failures(metrics, [plan.requests[request]])
        for (index, request), metrics in stats.breakdowns.items()
        if index == stage
    )
    return Scope(stats.stage_metrics(stage), failed, stage_seconds(plan, stage, elapsed_ns))


def stage_seconds(plan: Plan, stage: int, elapsed_ns: int) -> float:
    """Return how long a stage was measured: without the warm-up, and until the end of the run.

    `elapsed_ns` is the time from the end of the warm-up to the end of the run.
    """
    end_ns = plan.warmup_ns + elapsed_ns
    ends = [min(at_ns, end_ns) if at_ns else end_ns for at_ns in stage_ends_ns(plan)]
    begin_ns = max(ends[stage - 1] if stage else 0, plan.warmup_ns)
    return max(ends[stage] - begin_ns, 0) / 1e9


def judge(threshold: Threshold, scope: Scope) -> Verdict:
    """Compare a threshold with what was measured."""
    value, unit, reason = _value(threshold, scope)
    if value is None:
        return Verdict(threshold.text, INCONCLUSIVE, None, unit, reason)
    result = PASSED if threshold.holds(value) else FAILED
    return Verdict(threshold.text, result, value, unit, reason)


def _value(threshold: Threshold, scope: Scope) -> tuple[float | None, str, str]:
    match threshold.metric:
        case "rate":
            rate = scope.metrics.completed / scope.seconds if scope.seconds > 0 else 0.0
            return rate, "per_s", ""
        case "unsent":
            return _count_or_share(scope.unsent, scope.planned, as_share=threshold.share)
        case "errors":
            return _count_or_share(scope.failed, scope.metrics.completed, as_share=threshold.share)
    latency = scope.metrics.histogram("latency")
    return (None, "ns", "no response was received") if latency is None else _latency(threshold, latency)


def _latency(threshold: Threshold, latency: Histogram) -> tuple[float | None, str, str]:
    if threshold.metric != "p":
        exact = {"min": latency.min_ns, "mean": latency.mean_ns, "max": latency.max_ns}
        return float(exact[threshold.metric]), "ns", ""
    value_ns = percentile_ns(latency, threshold.percent)
    if value_ns is None:
        minimum = minimum_sample(threshold.percent)
        return None, "ns", f"needs {minimum} responses, got {latency.count}"
    return float(value_ns), "ns", ""


def _count_or_share(count: int, total: int, *, as_share: bool) -> tuple[float | None, str, str]:
    if not as_share:
        return float(count), "count", ""
    if not total:
        return None, "share", "no request was completed"
    return count / total, "share", ""


def format_value(verdict: Verdict) -> str:
    """Return the measured value with its unit."""
    value = verdict.value or 0.0
    match verdict.unit:
        case "ns":
            return format_time(value)
        case "per_s":
            return f"{value:.2f} requests/s"
        case "count":
            return f"{value:.0f}"
    return f"{value:.3%}"
