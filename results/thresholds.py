"""Thresholds: what they say, and whether they hold. 'p99<250ms', 'errors[login]<0.1%', 'rate>=4950', 'errors>50% for 5s'."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.ext import Histogram
from heyfleet.plan import stages as shapes
from heyfleet.plan import values
from heyfleet.proto.fleet_pb2 import Plan, Request
from heyfleet.results.stats import Numbers, Stats

TEXT = re.compile(
    r"(?P<metric>p\d+(?:\.\d+)?|[a-z]+)\s*(?:\[(?P<scope>[^\]]+)\])?\s*(?P<compare><=|>=|<|>)\s*(?P<limit>\S+)"
    r"(?:\s+for\s+(?P<span>\S+))?",
    re.ASCII,
)
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TIMES = ("min", "mean", "max")
COUNTS = ("errors", "unsent")
DEFAULT_EXPECTED = ((100, 399),)


@dataclass(frozen=True, slots=True)
class Threshold:
    """One of them, read."""

    text: str
    metric: str  # "p", one of TIMES, one of COUNTS, or "rate"
    percent: float  # of "p"
    scope: str  # a stage or a request; "": the run
    compare: str
    limit: float  # ns; requests a second; a number; of `share`: 0 to 1
    share: bool
    span_ns: int  # how long it must be so; 0: at once

    def holds(self, value: float) -> bool:
        """Whether a value lies on its side of the limit."""
        return COMPARE[self.compare](value, self.limit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One threshold of a run that is over."""

    text: str
    holds: bool | None  # None: it can't be told
    value: float | None  # in the unit of the limit: ns, requests a second, a number or a share
    unit: str  # "ns", "per_s", "count" or "share"
    reason: str  # why it can't be told


def several(text: str) -> tuple[str, ...]:
    """The thresholds of a list, each as it was written; ValueError."""
    parts = tuple(part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip())
    for part in parts:
        read(part)
    return parts


def read(text: str) -> Threshold:
    """What one says; ValueError."""
    parts = TEXT.fullmatch(text.strip())
    if parts is None:
        raise ValueError(
            f"{text!r} is not a threshold like p99<250ms, errors<0.1%, rate>=4950 or max[login]<2s"
        )
    metric, percent, limit_text = parts["metric"], 0.0, parts["limit"]
    share = False
    if re.fullmatch(r"p\d.*", metric):
        metric, percent = "p", float(metric[1:])
        if not 0 < percent < 100:
            raise ValueError(f"{text!r}: a percentile lies between p0 and p100; there are min and max")
    if metric == "p" or metric in TIMES:
        limit = float(values.duration(limit_text))
    elif metric in COUNTS:
        share = limit_text.endswith("%")
        limit = _number(limit_text.removesuffix("%"), text) / (100 if share else 1)
    elif metric == "rate":
        limit = values.total_rate(limit_text)
    else:
        raise ValueError(
            f"{text!r}: {metric!r} is not known; there are p50 (and the like), min, mean, max, errors, unsent and rate"
        )
    span_ns = values.duration(parts["span"]) if parts["span"] else 0
    return Threshold(
        text.strip(), metric, percent, (parts["scope"] or "").strip(), parts["compare"], limit, share, span_ns
    )


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{whole!r}: {text!r} is not a number or a percentage")
    return value


def check(plan: Plan) -> None:
    """Whether each can be told of this plan; InputError."""
    stages = [stage.name for stage in plan.stages]
    requests = [request.name for request in plan.mix]
    for flag, texts in (("--slo", plan.slo), ("--abort-on", plan.abort_on)):
        for text in texts:
            threshold = read(text)
            if flag == "--slo" and threshold.span_ns:
                raise InputError(f"{flag}: {text!r}: 'for' is of --abort-on; an SLO is of the whole run")
            if threshold.scope and threshold.scope in stages and threshold.scope in requests:
                raise InputError(f"{flag}: {text!r}: there is a stage and a request of that name; rename one")
            if threshold.scope and threshold.scope not in stages + requests:
                known = ", ".join([*(stages if len(stages) > 1 else []), *requests])
                raise InputError(
                    f"{flag}: {text!r}: there is no stage or request {threshold.scope!r}; there is {known}"
                )
            if threshold.metric == "unsent" and threshold.scope:
                raise InputError(f"{flag}: {text!r}: what was not sent is known of the whole run only")
            if threshold.metric == "unsent" and flag == "--abort-on":
                raise InputError(f"{flag}: {text!r}: what was not sent is known at the end only")


def failures(numbers: Numbers, requests: list[Request]) -> int:
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
    if len(plan.mix) == 1 or not stats.parts:
        return failures(stats, list(plan.mix))
    return sum(failures(numbers, [plan.mix[request]]) for (_, request), numbers in stats.parts.items())


@dataclass(frozen=True, slots=True)
class Scope:
    """What a threshold is about."""

    numbers: Numbers
    failed: int
    seconds: float
    planned: int = 0
    unsent: int = 0


def scope_of(name: str, stats: Stats, plan: Plan, elapsed_ns: int) -> Scope:
    """The numbers of the run, of a stage or of a request; what was not sent is not among them."""
    stages = [stage.name for stage in plan.stages]
    requests = [request.name for request in plan.mix]
    if not name or len(stats.parts) == 0:
        return Scope(stats, all_failures(stats, plan), elapsed_ns / 1e9)
    if name in requests:
        request = requests.index(name)
        numbers = stats.of_request(request)
        return Scope(numbers, failures(numbers, [plan.mix[request]]), elapsed_ns / 1e9)
    stage = stages.index(name)
    failed = sum(
        failures(part, [plan.mix[request]]) for (at, request), part in stats.parts.items() if at == stage
    )
    return Scope(stats.of_stage(stage), failed, stage_seconds(plan, stage, elapsed_ns))


def stage_seconds(plan: Plan, stage: int, elapsed_ns: int) -> float:
    """How long a stage was measured: without the warm-up, and until the end of the run. `elapsed_ns`: since the warm-up."""
    end_ns = plan.warmup_ns + elapsed_ns
    ends = [min(at, end_ns) if at else end_ns for at in shapes.stage_ends_ns(plan)]
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
