"""Rate and latency over the last seconds of a run, for live views."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.stats import Stats

SECONDS = 5


@dataclass(frozen=True, slots=True)
class _Mark:
    """The state of the stats at an instant."""

    at_s: float
    completed: int
    latency: Histogram


class RollingWindow:
    """Rate and percentiles of what was added to `stats` within the last seconds."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._marks: deque[_Mark] = deque(maxlen=SECONDS + 1)
        self.rate = 0.0  # completed requests a second
        self.percentiles_ns = (0, 0)  # p50 and p99 of the latency; 0 if the sample can't support it

    def update(self, now_s: float) -> None:
        """Recompute at most once a second, and so to be called more often; `now_s` is any monotonic clock."""
        if self._marks and now_s - self._marks[-1].at_s < 1:
            return
        latency = self._stats.histogram("latency") or Histogram()
        completed = self._stats.completed
        if self._marks:
            oldest = self._marks[0]
            self.rate = (completed - oldest.completed) / (now_s - oldest.at_s)
            window = latency.since(oldest.latency)
            self.percentiles_ns = (percentile_ns(window, 50) or 0, percentile_ns(window, 99) or 0)
        self._marks.append(_Mark(now_s, completed, latency.copy()))
