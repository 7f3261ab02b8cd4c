"""What agents measured, merged without loss: the same whatever the order, and each snapshot once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from heyfleet.ext import ERROR_NAMES, METRIC_NAMES, Histogram, add_encoded_all
from heyfleet.proto import stats_pb2
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.stats_pb2 import Breakdown, Snapshot
from heyfleet.results.sequence_set import SequenceSet

METRICS = frozenset(METRIC_NAMES)
BAD_RESPONSE = "bad response: "  # and a reason of the parser's
TRACE_ROW_BYTES = 64
_SEQUENCE_AT_MOST = 1 << 40
_COUNT_AT_MOST = (1 << 63) - 1
_INSTANT_AT_MOST_NS = 1 << 62
_REASON_LENGTH_AT_MOST = 100
_PARTS_AT_MOST = 4096
_ADDRESSES_AT_MOST = 4096
_ADDRESS_LENGTH_AT_MOST = 200


class InvalidSnapshotError(ValueError):
    """A snapshot says what can't be; nothing of it was merged."""


class Metrics:
    """Sums of what snapshots say: of a whole run, of its warm-up, or of one stage and request."""

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}
        self.responses: Counter[int] = Counter()  # by status code
        self.errors: Counter[str] = Counter()  # by kind
        self.totals: Counter[str] = Counter(dict.fromkeys(COUNTER_NAMES, 0))

    def histogram(self, metric: str) -> Histogram | None:
        """What was recorded of a metric, or None."""
        return self.histograms.get(metric)

    @property
    def ended(self) -> int:
        """Requests that were answered, or failed."""
        return self.responses.total() + self.errors.total()

    def count(self, snapshot: Snapshot) -> None:
        """Add all but the histograms."""
        # Loops, and not Counter.update: a controller does this a thousand times a second.
        for status, count in snapshot.responses.items():
            self.responses[status] += count
        for kind, count in snapshot.errors.items():
            self.errors[kind] += count
        for name in COUNTER_NAMES:
            if value := getattr(snapshot, name):
                self.totals[name] += value

    def merge(self, snapshot: Snapshot) -> None:
        """Add all of a snapshot that was checked before, but its parts. InvalidSnapshotError, with nothing changed."""
        _merge_histograms([(self, snapshot)])
        self.count(snapshot)

    def plus(self, other: Metrics) -> Metrics:
        """The sums of both, as new numbers."""
        both = Metrics()
        for each in (self, other):
            both.responses.update(each.responses)
            both.errors.update(each.errors)
            both.totals.update(each.totals)
            for metric, histogram in each.histograms.items():
                both.histograms.setdefault(metric, Histogram()).add(histogram)
        return both

    def write(self, snapshot: Snapshot) -> None:
        """Put everything into a snapshot that is empty."""
        snapshot.responses.update(self.responses)
        snapshot.errors.update(self.errors)
        for name in COUNTER_NAMES:
            setattr(snapshot, name, self.totals[name])
        for metric, histogram in self.histograms.items():
            snapshot.histograms[metric].CopyFrom(encoded(histogram))


class Stats(Metrics):
    """Sums of snapshots. `add` is idempotent by (agent, sequence), associative and commutative.

    `warmup` is in none of the other numbers; `parts`, by the places of stage and request in the plan, are the same once
    more, where there are several of either.
    """

    def __init__(self, *, histograms: bool = True, parts: bool = True, trace: bool = True) -> None:
        super().__init__()
        self.warmup = Metrics()
        self.parts: dict[tuple[int, int], Metrics] = {}
        self.addresses: defaultdict[str, Counter[str]] = defaultdict(
            Counter
        )  # what became of connections to each
        self.end_ns = 0  # of the latest snapshot
        self._keeps_histograms = histograms
        self._keeps_parts = parts and histograms
        self._keeps_trace = trace and histograms
        self._seen: defaultdict[str, SequenceSet] = defaultdict(SequenceSet)
        self._trace: dict[tuple[str, int], bytes] = {}

    @classmethod
    def of_sums(cls, sums: Snapshot, sequences: Mapping[str, Iterable[tuple[int, int]]]) -> Stats:
        """Stats that were once put into a snapshot by `to_snapshot`. InvalidSnapshotError, as with `add`."""
        stats = cls()
        check(sums, whole=bool(sums.histograms))
        stats._merge(sums)
        stats._seen.update({agent: SequenceSet(pairs) for agent, pairs in sequences.items()})
        return stats

    def add(self, snapshot: Snapshot, *, checked: bool = False) -> bool:
        """Merge one snapshot; False if it was there already. InvalidSnapshotError, with nothing changed, if it can't be.

        `checked`: it was merged into other stats before.
        """
        if snapshot.sequence in self._seen[snapshot.agent]:
            return False
        if not checked:
            check(snapshot)
        self._merge(snapshot)
        self._seen[snapshot.agent].add(snapshot.sequence)
        if snapshot.trace and self._keeps_trace:
            self._trace[snapshot.agent, snapshot.sequence] = snapshot.trace
        return True

    def _merge(self, snapshot: Snapshot) -> None:
        pairs: list[tuple[Metrics, Snapshot]] = [(self, snapshot)]
        if snapshot.HasField("warmup"):
            pairs.append((self.warmup, snapshot.warmup))
        if self._keeps_histograms:
            parts = {
                (part.stage, part.request): part.metrics for part in snapshot.breakdowns if self._keeps_parts
            }
            known = {place: self.parts.get(place) or Metrics() for place in parts}
            pairs += [(known[place], numbers) for place, numbers in parts.items()]
            _merge_histograms(pairs)
            self.parts.update(known)
        for numbers, part in pairs:
            numbers.count(part)
        for address, numbers_there in snapshot.addresses.items():
            for name in ADDRESS_COUNTER_NAMES:
                self.addresses[address][name] += getattr(numbers_there, name)
        self.end_ns = max(self.end_ns, snapshot.end_ns)

    def of_stage(self, stage: int) -> Metrics:
        """All requests of a stage; the plan has several."""
        return self._sum(place for place in self.parts if place[0] == stage)

    def of_request(self, request: int) -> Metrics:
        """One request in all stages; the plan has several."""
        return self._sum(place for place in self.parts if place[1] == request)

    def _sum(self, places: Iterable[tuple[int, int]]) -> Metrics:
        total = Metrics()
        for place in sorted(places):
            total = total.plus(self.parts[place])
        return total

    def missing(self, agent: str, last_sequence: int) -> int:
        """How many of the agent's snapshots up to the last did not arrive."""
        return self._seen[agent].missing(last_sequence)

    def contiguous(self, agent: str) -> int:
        """Up to which sequence all of the agent's snapshots are here."""
        return self._seen[agent].contiguous

    def sequences(self, agent: str) -> list[tuple[int, int]]:
        """Which of the agent's snapshots are here, as pairs of first and last."""
        return self._seen[agent].pairs

    def trace(self) -> bytes:
        """The per-request rows, agent by agent, in the order of their snapshots."""
        return b"".join(self._trace[key] for key in sorted(self._trace))

    def to_snapshot(self, agent: str = "") -> Snapshot:
        """All of it as one snapshot, without the trace."""
        snapshot = Snapshot(agent=agent, end_ns=self.end_ns)
        self.write(snapshot)
        if self.warmup.totals["sent"] or self.warmup.histograms:
            self.warmup.write(snapshot.warmup)
        for (stage, request), numbers in sorted(self.parts.items()):
            part = Breakdown(stage=stage, request=request)
            numbers.write(part.metrics)
            snapshot.breakdowns.append(part)
        for address, counts in sorted(self.addresses.items()):
            for name in ADDRESS_COUNTER_NAMES:
                setattr(snapshot.addresses[address], name, counts[name])
        return snapshot


def _merge_histograms(pairs: list[tuple[Metrics, Snapshot]]) -> None:
    """All of them, or none: InvalidSnapshotError."""
    into: list[tuple[Histogram, bytes, int, int, int, int, int]] = []
    made: list[tuple[Metrics, str, Histogram]] = []
    for numbers, snapshot in pairs:
        for metric, part in snapshot.histograms.items():
            if part.count:
                histogram = numbers.histograms.get(metric)
                if histogram is None:
                    histogram = Histogram()
                    made.append((numbers, metric, histogram))
                into.append((histogram, *totals_of(part)))
    try:
        add_encoded_all(into)
    except ValueError as error:
        raise InvalidSnapshotError(str(error)) from None
    for numbers, metric, histogram in made:
        numbers.histograms[metric] = histogram


def encoded(histogram: Histogram) -> stats_pb2.Histogram:
    """A histogram as it travels."""
    return stats_pb2.Histogram(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )


def decoded(part: stats_pb2.Histogram) -> Histogram:
    """One that has travelled. InvalidSnapshotError, if it can't be."""
    histogram = Histogram()
    if part.count:
        counts_v2, count, sum_ns, min_ns, max_ns, clamped = totals_of(part)
        try:
            histogram.add_encoded(
                counts_v2, count=count, sum_ns=sum_ns, min_ns=min_ns, max_ns=max_ns, clamped=clamped
            )
        except ValueError as error:
            raise InvalidSnapshotError(str(error)) from None
    return histogram


def totals_of(part: stats_pb2.Histogram) -> tuple[bytes, int, int, int, int, int]:
    """What `Histogram.add_encoded` takes."""
    return part.counts_v2, part.count, part.sum_ns, part.min_ns, part.max_ns, part.clamped


def check(snapshot: Snapshot, *, whole: bool = True) -> None:
    """Raise InvalidSnapshotError if no agent can have measured this, in any of its parts."""
    _check_one(snapshot, whole=whole)
    if snapshot.HasField("warmup"):
        _check_nested(snapshot.warmup, whole=whole)
    if len(snapshot.breakdowns) > _PARTS_AT_MOST:
        raise InvalidSnapshotError(f"it has {len(snapshot.breakdowns)} parts")
    if len({(part.stage, part.request) for part in snapshot.breakdowns}) != len(snapshot.breakdowns):
        raise InvalidSnapshotError("it has a part twice")
    for part in snapshot.breakdowns:
        _check_nested(part.metrics, whole=whole)
    if len(snapshot.addresses) > _ADDRESSES_AT_MOST or any(
        len(each) > _ADDRESS_LENGTH_AT_MOST for each in snapshot.addresses
    ):
        raise InvalidSnapshotError(f"it has {len(snapshot.addresses)} addresses, or one too long")
    if any(
        getattr(each, name) > _COUNT_AT_MOST
        for each in snapshot.addresses.values()
        for name in ADDRESS_COUNTER_NAMES
    ):
        raise InvalidSnapshotError("one of its counts of an address is beyond 2**63")


def _check_nested(numbers: Snapshot, *, whole: bool) -> None:
    if numbers.HasField("warmup") or numbers.breakdowns or numbers.trace or numbers.addresses:
        raise InvalidSnapshotError("a part of it has parts itself")
    _check_one(numbers, whole=whole)


def _check_one(snapshot: Snapshot, *, whole: bool) -> None:
    """Raise InvalidSnapshotError if no agent can have measured this. The histograms' own bytes are checked as they are added.

    `whole`: the latencies are there, one for each response.
    """
    if not 0 <= snapshot.sequence <= _SEQUENCE_AT_MOST:
        raise InvalidSnapshotError(f"its sequence is {snapshot.sequence}")
    if not 0 <= snapshot.begin_ns <= snapshot.end_ns <= _INSTANT_AT_MOST_NS:
        raise InvalidSnapshotError(f"it goes from {snapshot.begin_ns} to {snapshot.end_ns} ns")
    if len(snapshot.trace) % TRACE_ROW_BYTES:
        raise InvalidSnapshotError(f"its {len(snapshot.trace)} bytes of rows end within one")
    for metric in snapshot.histograms:
        if metric not in METRICS:
            raise InvalidSnapshotError(
                f"it has a histogram of {metric[:_REASON_LENGTH_AT_MOST]!r}, which is no metric"
            )
    for status in snapshot.responses:
        if not 100 <= status <= 999:
            raise InvalidSnapshotError(f"it has responses with status {status}")
    for kind in snapshot.errors:
        if kind not in ERROR_NAMES and not _is_bad_response(kind):
            raise InvalidSnapshotError(
                f"it has errors of the kind {kind[:_REASON_LENGTH_AT_MOST]!r}, which there is not"
            )
    responses, errors = sum(snapshot.responses.values()), sum(snapshot.errors.values())
    if max(responses, errors, *(getattr(snapshot, name) for name in COUNTER_NAMES)) > _COUNT_AT_MOST:
        raise InvalidSnapshotError("one of its counts is beyond 2**63")
    latencies = snapshot.histograms["latency"].count if "latency" in snapshot.histograms else 0
    if whole and latencies != responses:
        raise InvalidSnapshotError(f"it has {responses} responses, and {latencies} latencies")


def _is_bad_response(kind: str) -> bool:
    return kind.startswith(BAD_RESPONSE) and len(kind) <= _REASON_LENGTH_AT_MOST
