"""A run's stages, requests and warm-up one by one, and the verdicts on its thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from heyfleet.plan.thresholds import parse_threshold
from heyfleet.results.distribution import Distribution, distribution
from heyfleet.results.ledger import Ledger
from heyfleet.results.measurements import Measurements
from heyfleet.results.metrics import Metrics
from heyfleet.results.thresholds import (
    INCONCLUSIVE,
    Scope,
    Verdict,
    count_failures,
    judge,
    scope_of,
    stage_seconds,
)


@dataclass(frozen=True, slots=True)
class BreakdownLine:
    """One stage, one request, or the warm-up. Stages have a level at their begin and their end."""

    name: str
    first: float | None
    last: float | None
    seconds: float
    sent: int
    responses: int
    failed: int  # no answer, or an unexpected status
    dropped: int
    requests_per_second: float
    latency: Distribution | None


def stage_lines(measurements: Measurements, elapsed_ns: int) -> tuple[BreakdownLine, ...]:
    """Return one line for each stage; none if the plan has only one."""
    plan, stats = measurements.plan, measurements.stats
    if len(plan.stages) < 2:
        return ()
    lines = []
    for index, stage in enumerate(plan.stages):
        scope = (
            scope_of(stage.name, stats, plan, elapsed_ns)
            if stats.breakdowns
            else Scope(Metrics(), 0, stage_seconds(plan, index, elapsed_ns))
        )
        lines.append(_line(stage.name, scope, (stage.first, stage.last)))
    return tuple(lines)


def request_lines(measurements: Measurements, elapsed_ns: int) -> tuple[BreakdownLine, ...]:
    """Return one line for each request; none if the plan has only one."""
    plan, stats = measurements.plan, measurements.stats
    if len(plan.requests) < 2:
        return ()
    empty = Scope(Metrics(), 0, elapsed_ns / 1e9)
    return tuple(
        _line(request.name, scope_of(request.name, stats, plan, elapsed_ns) if stats.breakdowns else empty)
        for request in plan.requests
    )


def warmup_line(measurements: Measurements) -> BreakdownLine | None:
    """Return the warm-up, which is not included in any other number; None if the plan has none."""
    plan, metrics = measurements.plan, measurements.stats.warmup
    if not plan.warmup_ns:
        return None
    failed = count_failures(metrics, plan.requests[:1])
    return _line("warm-up", Scope(metrics, failed, plan.warmup_ns / 1e9))


def _line(name: str, scope: Scope, levels: tuple[float, float] | None = None) -> BreakdownLine:
    metrics = scope.metrics
    return BreakdownLine(
        name=name,
        first=levels[0] if levels else None,
        last=levels[1] if levels else None,
        seconds=scope.seconds,
        sent=metrics.counters["sent"],
        responses=metrics.responses.total(),
        failed=scope.failed,
        dropped=metrics.counters["dropped"],
        requests_per_second=metrics.completed / scope.seconds if scope.seconds > 0 else 0.0,
        latency=distribution(metrics.histogram("latency")),
    )


def verdicts(measurements: Measurements, ledger: Ledger, elapsed_ns: int) -> Iterator[Verdict]:
    """Judge each threshold of the plan; all are inconclusive if the run was interrupted."""
    for text in measurements.plan.slo:
        threshold = parse_threshold(text)
        scope = scope_of(threshold.scope, measurements.stats, measurements.plan, elapsed_ns)
        verdict = judge(threshold, replace(scope, planned=ledger.planned, unsent=ledger.unsent))
        if measurements.interrupted:
            verdict = replace(verdict, result=INCONCLUSIVE, reason="the run was interrupted")
        yield verdict
