"""Whether a run that goes on must end, because of what --abort-on says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.plan.thresholds import Threshold, parse_threshold
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.stats import Metrics, Stats
from heyfleet.results.thresholds import Scope, judge, scope_of

_INTERVAL_S = 0.9  # snapshots come each second, and not to the millisecond


@dataclass(slots=True)
class _Mark:
    """How a scope stood when it was last looked at."""

    responses: Counter[int]
    errors: Counter[str]
    latency: Histogram
    failed: int


class AbortWatch:
    """Looks at what came in since it last looked, interval by interval."""

    def __init__(self, plan: Plan, stats: Stats) -> None:
        self._plan = plan
        self._stats = stats
        self._thresholds = [parse_threshold(text) for text in plan.abort_on]
        self._marks: dict[str, _Mark] = {}
        self._so_since_s: dict[str, float] = {}
        self._looked_s: float | None = None

    def look(self, now_s: float) -> str:
        """The threshold that ends the run, with what was measured; '' if none does. `now_s` is any clock that goes on."""
        if not self._thresholds or (self._looked_s is not None and now_s - self._looked_s < _INTERVAL_S):
            return ""
        begin_s, self._looked_s = self._looked_s, now_s
        news: dict[str, Scope] = {}
        for name in dict.fromkeys(threshold.scope for threshold in self._thresholds):
            scope = scope_of(name, self._stats, self._plan, 0)
            seconds = now_s - begin_s if begin_s is not None else 1.0
            news[name] = self._since(name, scope, seconds)
        for threshold in self._thresholds:
            if text := self._judge(threshold, news[threshold.scope], now_s):
                return text
        return ""

    def _judge(self, threshold: Threshold, scope: Scope, now_s: float) -> str:
        verdict = judge(threshold, scope)
        if verdict.holds is None:
            return ""  # nothing came in: what was so before is neither confirmed nor refuted
        if not verdict.holds:
            self._so_since_s.pop(threshold.text, None)
            return ""
        since_s = self._so_since_s.setdefault(threshold.text, now_s - scope.seconds)
        if (now_s - since_s) * 1e9 < threshold.span_ns * 0.98:
            return ""
        return threshold.text

    def _since(self, name: str, scope: Scope, seconds: float) -> Scope:
        numbers = scope.numbers
        latency = numbers.histogram("latency") or Histogram()
        before = self._marks.get(name) or _Mark(Counter(), Counter(), Histogram(), 0)
        news = Metrics()
        news.responses = numbers.responses - before.responses
        news.errors = numbers.errors - before.errors
        since = latency.since(before.latency)
        if since.count:
            news.histograms["latency"] = since
        failed = scope.failed - before.failed
        self._marks[name] = _Mark(
            Counter(numbers.responses), Counter(numbers.errors), latency.copy(), scope.failed
        )
        return Scope(news, failed, seconds)
