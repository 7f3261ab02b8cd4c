"""What agents measured, merged without loss: the same whatever the order, and each snapshot once."""

from __future__ import annotations

from collections import Counter, defaultdict

from heyfleet.ext import Histogram
from heyfleet.proto import fleet_pb2

COUNTERS = (
    "sent",
    "abandoned",
    "connections_opened",
    "bytes_sent",
    "bytes_received",
    "body_bytes",
    "unasked",
)


class Stats:
    """Sums of snapshots. `add` is idempotent by (agent, sequence), associative and commutative."""

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = defaultdict(Histogram)
        self.responses: Counter[int] = Counter()  # by status code
        self.errors: Counter[str] = Counter()  # by kind
        self.totals: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))
        self.end_ns = 0  # of the latest snapshot
        self._seen: defaultdict[str, set[int]] = defaultdict(set)

    def add(self, snapshot: fleet_pb2.Snapshot) -> bool:
        """Merge one snapshot; False if it was there already."""
        seen = self._seen[snapshot.agent]
        if snapshot.sequence in seen:
            return False
        for metric, part in snapshot.histograms.items():
            if part.count:
                self.histograms[metric].add_encoded(
                    part.counts_v2,
                    count=part.count,
                    sum_ns=part.sum_ns,
                    min_ns=part.min_ns,
                    max_ns=part.max_ns,
                    clamped=part.clamped,
                )
        self.responses.update(snapshot.responses)
        self.errors.update(snapshot.errors)
        self.totals.update({name: getattr(snapshot, name) for name in COUNTERS})
        self.end_ns = max(self.end_ns, snapshot.end_ns)
        seen.add(snapshot.sequence)
        return True

    def histogram(self, metric: str) -> Histogram | None:
        """What was recorded of a metric, or None."""
        return self.histograms.get(metric)

    def missing(self, agent: str, last_sequence: int) -> int:
        """How many of the agent's snapshots up to the last did not arrive."""
        return sum(number not in self._seen[agent] for number in range(1, last_sequence + 1))
