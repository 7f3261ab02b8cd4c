"""Decides while a run goes on whether an --abort-on threshold ends it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.plan.thresholds import Threshold, parse_threshold
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.metrics import Metrics
from heyfleet.results.stats import Stats
from heyfleet.results.thresholds import INCONCLUSIVE, PASSED, Scope, judge, scope_of

_MIN_INTERVAL_S = 0.9  # snapshots come each second, but not to the millisecond
_SPAN_TOLERANCE = 0.98


@dataclass(slots=True)
class _Mark:
    """The sums of a scope at the last check."""

    responses: Counter[int]
    errors: Counter[str]
    latency: Histogram
    failed: int


class AbortWatch:
    """Judges what was added to `stats` since the last check, about once a second."""

    def __init__(self, plan: Plan, stats: Stats) -> None:
        self._plan = plan
        self._stats = stats
        self._thresholds = [parse_threshold(text) for text in plan.abort_on]
        self._marks: dict[str, _Mark] = {}
        self._true_since_s: dict[str, float] = {}
        self._checked_s: float | None = None

    def check(self, now_s: float) -> str:
        """Return the threshold that ends the run, or ""; `now_s` is any monotonic clock."""
        if not self._thresholds or (
            self._checked_s is not None and now_s - self._checked_s < _MIN_INTERVAL_S
        ):
            return ""
        seconds = now_s - self._checked_s if self._checked_s is not None else 1.0
        self._checked_s = now_s
        recent = {
            name: self._since_last_check(name, seconds)
            for name in dict.fromkeys(threshold.scope for threshold in self._thresholds)
        }
        return next(
            (each.text for each in self._thresholds if self._ends_run(each, recent[each.scope], now_s)), ""
        )

    def _ends_run(self, threshold: Threshold, scope: Scope, now_s: float) -> bool:
        verdict = judge(threshold, scope)
        if verdict.result == INCONCLUSIVE:
            return False  # nothing was received, so the previous result stands
        if verdict.result != PASSED:
            self._true_since_s.pop(threshold.text, None)
            return False
        since_s = self._true_since_s.setdefault(threshold.text, now_s - scope.seconds)
        return (now_s - since_s) * 1e9 >= threshold.span_ns * _SPAN_TOLERANCE

    def _since_last_check(self, name: str, seconds: float) -> Scope:
        scope = scope_of(name, self._stats, self._plan, 0)
        metrics = scope.metrics
        latency = metrics.histogram("latency") or Histogram()
        before = self._marks.get(name) or _Mark(Counter(), Counter(), Histogram(), 0)
        recent = Metrics()
        recent.responses = metrics.responses - before.responses
        recent.errors = metrics.errors - before.errors
        since = latency.since(before.latency)
        if since.count:
            recent.histograms["latency"] = since
        self._marks[name] = _Mark(
            Counter(metrics.responses), Counter(metrics.errors), latency.copy(), scope.failed
        )
        return Scope(recent, scope.failed - before.failed, seconds)
