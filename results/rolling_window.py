"""The last seconds of a run, for whoever watches it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from heyfleet.ext import Histogram
from heyfleet.results.stats import Stats

SECONDS = 5


@dataclass(frozen=True, slots=True)
class _Mark:
    """How things stood at an instant."""

    at_s: float
    ended: int
    latency: Histogram


class RollingWindow:
    """What came into `stats` within the last seconds. `now_s` is any clock that goes on."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._marks: deque[_Mark] = deque(maxlen=SECONDS + 1)
        self.rate = 0.0  # ended requests a second
        self.percentiles_ns = (0, 0)  # 50 and 99, of the latency; 0 without a response

    def look(self, now_s: float) -> None:
        """Compute `rate` and `percentiles_ns` anew, at most once a second; to be called oftener than that."""
        if self._marks and now_s - self._marks[-1].at_s < 1:
            return
        latency = self._stats.histogram("latency") or Histogram()
        ended = self._stats.responses.total() + self._stats.errors.total()
        if self._marks:
            oldest = self._marks[0]
            news = latency.since(oldest.latency)
            self.rate = (ended - oldest.ended) / (now_s - oldest.at_s)
            some = news.count > 0
            self.percentiles_ns = (
                (news.value_at_percentile(50), news.value_at_percentile(99)) if some else (0, 0)
            )
        self._marks.append(_Mark(now_s, ended, latency.copy()))
