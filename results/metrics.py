"""Counters and histograms, merged without loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from heyfleet.ext import Histogram, add_encoded_all
from heyfleet.proto import stats_pb2
from heyfleet.proto.counters import COUNTER_NAMES
from heyfleet.proto.stats_pb2 import Snapshot


class InvalidSnapshotError(ValueError):
    """A snapshot that no agent can have measured; nothing of it was merged."""


class Metrics:
    """Sums over snapshots: of a whole run, of its warm-up, or of one stage and request."""

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}
        self.responses: Counter[int] = Counter()  # by status code
        self.errors: Counter[str] = Counter()  # by kind
        self.counters: Counter[str] = Counter(dict.fromkeys(COUNTER_NAMES, 0))

    def histogram(self, metric: str) -> Histogram | None:
        """Return the histogram of a metric, or None if nothing was recorded."""
        return self.histograms.get(metric)

    @property
    def completed(self) -> int:
        """Number of requests that got a response or an error."""
        return self.responses.total() + self.errors.total()

    @property
    def in_flight(self) -> int:
        """Number of requests that were sent and have no end yet; negative if snapshots contradict each other."""
        return self.counters["sent"] - self.completed - self.counters["abandoned"]

    def count(self, snapshot: Snapshot) -> None:
        """Add all of a snapshot except its histograms."""
        # Loops instead of Counter.update: a controller does this a thousand times a second.
        for status, count in snapshot.responses.items():
            self.responses[status] += count
        for kind, count in snapshot.errors.items():
            self.errors[kind] += count
        for name in COUNTER_NAMES:
            if value := getattr(snapshot, name):
                self.counters[name] += value

    def merge(self, snapshot: Snapshot) -> None:
        """Add a snapshot that passed `check_snapshot`, without its warm-up and breakdowns.

        Raises InvalidSnapshotError, with nothing changed, if a histogram can't be decoded.
        """
        merge_histograms([(self, snapshot)])
        self.count(snapshot)

    def __add__(self, other: Metrics) -> Metrics:
        """Return the sums of both as new metrics."""
        total = Metrics()
        for each in (self, other):
            total.responses.update(each.responses)
            total.errors.update(each.errors)
            total.counters.update(each.counters)
            for metric, histogram in each.histograms.items():
                total.histograms.setdefault(metric, Histogram()).add(histogram)
        return total

    def write_to(self, snapshot: Snapshot) -> None:
        """Write everything into an empty snapshot."""
        snapshot.responses.update(self.responses)
        snapshot.errors.update(self.errors)
        for name in COUNTER_NAMES:
            setattr(snapshot, name, self.counters[name])
        for metric, histogram in self.histograms.items():
            snapshot.histograms[metric].CopyFrom(encode_histogram(histogram))


def merge_histograms(pairs: Sequence[tuple[Metrics, Snapshot]]) -> None:
    """Add the histograms of each snapshot to its metrics: all of them, or none and InvalidSnapshotError."""
    additions: list[tuple[Histogram, bytes, int, int, int, int, int]] = []
    new: list[tuple[Metrics, str, Histogram]] = []
    for metrics, snapshot in pairs:
        for metric, message in snapshot.histograms.items():
            if message.count:
                histogram = metrics.histograms.get(metric)
                if histogram is None:
                    histogram = Histogram()
                    new.append((metrics, metric, histogram))
                additions.append((histogram, message.counts_v2, *histogram_totals(message)))
    try:
        add_encoded_all(additions)
    except ValueError as error:
        raise InvalidSnapshotError(str(error)) from None
    for metrics, metric, histogram in new:
        metrics.histograms[metric] = histogram


def encode_histogram(histogram: Histogram) -> stats_pb2.Histogram:
    """Return a histogram as a message."""
    return stats_pb2.Histogram(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )


def decode_histogram(message: stats_pb2.Histogram) -> Histogram:
    """Return the histogram of a message; InvalidSnapshotError if it is damaged."""
    histogram = Histogram()
    if message.count:
        count, sum_ns, min_ns, max_ns, clamped = histogram_totals(message)
        try:
            histogram.add_encoded(
                message.counts_v2, count=count, sum_ns=sum_ns, min_ns=min_ns, max_ns=max_ns, clamped=clamped
            )
        except ValueError as error:
            raise InvalidSnapshotError(str(error)) from None
    return histogram


def histogram_totals(message: stats_pb2.Histogram) -> tuple[int, int, int, int, int]:
    """Return count, sum, minimum, maximum (all in ns) and the number of clamped values."""
    return message.count, message.sum_ns, message.min_ns, message.max_ns, message.clamped
