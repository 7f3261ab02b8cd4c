"""The grammar of thresholds: 'p99<250ms', 'errors[login]<0.1%', 'rate>=4950', 'errors>50% for 5s'."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from heyfleet.durations import parse_duration_ns, parse_rate_per_s
from heyfleet.errors import InputError
from heyfleet.mask import mask_text
from heyfleet.proto.plan_pb2 import Plan

_THRESHOLD = re.compile(
    r"(?P<metric>p\d+(?:\.\d+)?|[a-z]+)\s*(?:\[(?P<scope>[^\]]+)\])?\s*(?P<compare><=|>=|<|>)\s*(?P<limit>\S+)"
    r"(?:\s+for\s+(?P<span>\S+))?",
    re.ASCII,
)
_SCOPE = re.compile(r"(?<=\[)[^\]]+")
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
TIMES = ("min", "mean", "max")
COUNTS = ("errors", "unsent")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A threshold, parsed."""

    text: str
    metric: str  # "p", one of TIMES, one of COUNTS, or "rate"
    percent: float  # the percentile of "p"
    scope: str  # the name of a stage or a request; "" for the whole run
    compare: str
    limit: float  # in ns, requests a second or requests; with `share` from 0 to 1
    share: bool
    span_ns: int  # how long the comparison must stay true; 0 for at once

    def holds(self, value: float) -> bool:
        """Return whether a value lies on the required side of the limit."""
        return _COMPARISONS[self.compare](value, self.limit)


def parse_thresholds(text: str) -> tuple[str, ...]:
    """Return the thresholds of a list, each as it was written, but without secrets, as the names of requests have none.

    Raises ValueError if one is malformed.
    """
    text = _SCOPE.sub(lambda match: mask_text(match[0]), text)
    items = re.split(r",(?![^\[]*\])", text)
    return tuple(parse_threshold(item).text for item in items if item.strip())


def parse_threshold(text: str) -> Threshold:
    """Return one threshold. Raises ValueError."""
    text = text.strip()
    match = _THRESHOLD.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a threshold like p99<250ms, errors<0.1%, rate>=4950 or max[login]<2s"
        )
    metric, percent, limit_text = match["metric"], 0.0, match["limit"]
    share = False
    if re.fullmatch(r"p\d.*", metric):
        metric, percent = "p", float(metric[1:])
        if not 0 < percent < 100:
            raise ValueError(f"{text!r}: a percentile lies between p0 and p100; for the ends use min and max")
    if metric == "p" or metric in TIMES:
        limit = float(parse_duration_ns(limit_text))
    elif metric in COUNTS:
        share = limit_text.endswith("%")
        limit = _parse_number(limit_text.removesuffix("%"), text) / (100 if share else 1)
    elif metric == "rate":
        limit = parse_rate_per_s(limit_text)
    else:
        raise ValueError(
            f"{text!r}: {metric!r} is unknown; use p50 (or another percentile), min, mean, max, errors, unsent or rate"
        )
    span_ns = parse_duration_ns(match["span"]) if match["span"] else 0
    return Threshold(
        text, metric, percent, (match["scope"] or "").strip(), match["compare"], limit, share, span_ns
    )


def _parse_number(text: str, threshold: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise ValueError(f"{threshold!r}: {text!r} is not a number or a percentage")
    return value


def check_thresholds(plan: Plan) -> None:
    """Refuse thresholds that can't be judged on this plan. Raises InputError."""
    stages = [stage.name for stage in plan.stages]
    requests = [request.name for request in plan.requests]
    for flag, texts in (("--slo", plan.slo), ("--abort-on", plan.abort_on)):
        for text in texts:
            threshold = parse_threshold(text)
            if flag == "--slo" and threshold.span_ns:
                raise InputError(
                    f"{flag}: {text!r}: 'for' works in --abort-on only; --slo judges the whole run"
                )
            if threshold.scope and threshold.scope in stages and threshold.scope in requests:
                raise InputError(f"{flag}: {text!r}: a stage and a request have that name", "rename one")
            if threshold.scope and threshold.scope not in stages + requests:
                known = ", ".join([*(stages if len(stages) > 1 else []), *requests])
                raise InputError(
                    f"{flag}: {text!r}: there is no stage or request {threshold.scope!r}",
                    f"known are {known}",
                )
            if threshold.metric == "unsent" and threshold.scope:
                raise InputError(f"{flag}: {text!r}: unsent requests are counted for the whole run only")
            if threshold.metric == "unsent" and flag == "--abort-on":
                raise InputError(f"{flag}: {text!r}: unsent requests are counted at the end of the run")
