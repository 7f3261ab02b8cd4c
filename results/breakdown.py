"""A run's stages and requests one by one, its warm-up, and whether its thresholds held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from heyfleet.plan.thresholds import parse_threshold
from heyfleet.results.distribution import Distribution, distribution
from heyfleet.results.ledger import Ledger
from heyfleet.results.measurements import Measurements
from heyfleet.results.stats import Metrics
from heyfleet.results.thresholds import (
    Scope,
    Verdict,
    failures,
    judge,
    scope_of,
    stage_seconds,
)


@dataclass(frozen=True, slots=True)
class BreakdownLine:
    """One stage, one request, or the warm-up. A stage has a level at its begin and its end."""

    name: str
    first: float | None
    last: float | None
    seconds: float
    sent: int
    responses: int
    failed: int  # no answer, or one that was not expected
    dropped: int
    requests_per_second: float
    latency: Distribution | None


def stage_lines(measured: Measurements, elapsed_ns: int) -> tuple[BreakdownLine, ...]:
    """Each stage, where there are several."""
    plan, stats = measured.plan, measured.stats
    if len(plan.stages) < 2:
        return ()
    return tuple(
        _line(stage.name, scope_of(stage.name, stats, plan, elapsed_ns), (stage.first, stage.last))
        if stats.parts
        else _line(
            stage.name,
            Scope(Metrics(), 0, stage_seconds(plan, place, elapsed_ns)),
            (stage.first, stage.last),
        )
        for place, stage in enumerate(plan.stages)
    )


def request_lines(measured: Measurements, elapsed_ns: int) -> tuple[BreakdownLine, ...]:
    """Each request, where there are several."""
    plan, stats = measured.plan, measured.stats
    if len(plan.requests) < 2:
        return ()
    return tuple(
        _line(request.name, scope_of(request.name, stats, plan, elapsed_ns))
        if stats.parts
        else _line(request.name, Scope(Metrics(), 0, elapsed_ns / 1e9))
        for request in plan.requests
    )


def warmup_line(measured: Measurements) -> BreakdownLine | None:
    """What was sent before the results were taken."""
    plan, numbers = measured.plan, measured.stats.warmup
    if not plan.warmup_ns:
        return None
    failed = failures(numbers, list(plan.requests)[:1])
    return _line("warm-up", Scope(numbers, failed, plan.warmup_ns / 1e9))


def _line(name: str, scope: Scope, levels: tuple[float, float] | None = None) -> BreakdownLine:
    numbers = scope.numbers
    return BreakdownLine(
        name=name,
        first=levels[0] if levels else None,
        last=levels[1] if levels else None,
        seconds=scope.seconds,
        sent=numbers.totals["sent"],
        responses=numbers.responses.total(),
        failed=scope.failed,
        dropped=numbers.totals["dropped"],
        requests_per_second=numbers.ended / scope.seconds if scope.seconds > 0 else 0.0,
        latency=distribution(numbers.histogram("latency")),
    )


def verdicts(measured: Measurements, ledger: Ledger, elapsed_ns: int) -> Iterator[Verdict]:
    """Of each threshold of the plan; none of a run that a signal ended, which was not the run that they are about."""
    for text in measured.plan.slo:
        threshold = parse_threshold(text)
        scope = scope_of(threshold.scope, measured.stats, measured.plan, elapsed_ns)
        scope = replace(scope, planned=ledger.planned, unsent=ledger.unsent)
        verdict = judge(threshold, scope)
        if measured.interrupted:
            verdict = Verdict(text, None, verdict.value, verdict.unit, "the run was interrupted")
        yield verdict
