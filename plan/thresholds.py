"""The grammar of thresholds: 'p99<250ms', 'errors[login]<0.1%', 'rate>=4950', 'errors>50% for 5s'."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heyfleet.errors import InputError
from heyfleet.plan import values
from heyfleet.proto.plan_pb2 import Plan

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
    requests = [request.name for request in plan.requests]
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
