"""The last seconds of a run, for whoever watches it."""

from __future__ import annotations

from collections import deque

from heyfleet.ext import Histogram, add_encoded_all
from heyfleet.proto.fleet_pb2 import Snapshot

SECONDS = 5


class _Second:
    """What came in within one second."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ended = 0
        self.latency = Histogram()


class Recent:
    """Latencies and ends of requests, by the second in which they were told. `now_s` is any clock that goes on."""

    def __init__(self) -> None:
        self._seconds: deque[_Second] = deque(maxlen=SECONDS + 1)

    def add(self, snapshot: Snapshot, now_s: float) -> None:
        """Count a snapshot whose numbers were found good."""
        if not self._seconds or self._seconds[-1].number != int(now_s):
            self._seconds.append(_Second(int(now_s)))
        second = self._seconds[-1]
        second.ended += sum(snapshot.responses.values()) + sum(snapshot.errors.values())
        part = snapshot.histograms.get("latency")
        if part is not None and part.count:
            numbers = (part.count, part.sum_ns, part.min_ns, part.max_ns, part.clamped)
            add_encoded_all([(second.latency, part.counts_v2, *numbers)])

    def _whole(self, now_s: float) -> list[_Second]:
        """The seconds that are over; the one that goes on would make any rate too low."""
        return [each for each in self._seconds if int(now_s) - SECONDS <= each.number < int(now_s)]

    def rate(self, now_s: float) -> float:
        """Ended requests a second."""
        seconds = self._whole(now_s)
        span = int(now_s) - seconds[0].number if seconds else 0
        return sum(each.ended for each in seconds) / span if span else 0.0

    def percentiles_ns(self, now_s: float, *percentiles: float) -> tuple[int, ...]:
        """Of the latency; 0 without a response."""
        merged = Histogram()
        for each in self._whole(now_s):
            merged.add(each.latency)
        return tuple(merged.value_at_percentile(p) if merged.count else 0 for p in percentiles)
