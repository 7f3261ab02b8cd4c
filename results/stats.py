"""Everything that agents measured, merged from their snapshots in any order, each snapshot once."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES
from heyfleet.proto.stats_pb2 import Breakdown, Snapshot
from heyfleet.results.metrics import Metrics, merge_histograms
from heyfleet.results.sequence_set import SequenceSet
from heyfleet.results.snapshot_check import check_snapshot


class Stats(Metrics):
    """Sums of snapshots. `add` is idempotent by (agent, sequence), associative and commutative.

    `warmup` is not included in any other number. If the plan has several stages or requests, `breakdowns` has the same
    sums by (stage, request), each by its index in the plan.
    """

    def __init__(self, *, histograms: bool = True, breakdowns: bool = True, trace: bool = True) -> None:
        super().__init__()
        self.warmup = Metrics()
        self.breakdowns: dict[tuple[int, int], Metrics] = {}
        self.addresses: defaultdict[str, Counter[str]] = defaultdict(Counter)  # counters by target address
        self.end_ns = 0  # of the latest snapshot
        self._with_histograms = histograms
        self._with_breakdowns = breakdowns and histograms
        self._with_trace = trace and histograms
        self._sequences: defaultdict[str, SequenceSet] = defaultdict(SequenceSet)
        self._trace: dict[tuple[str, int], bytes] = {}

    @classmethod
    def from_snapshot(cls, sums: Snapshot, sequences: Mapping[str, Iterable[tuple[int, int]]]) -> Stats:
        """Return the stats that `to_snapshot` made a snapshot of; InvalidSnapshotError, as with `add`."""
        stats = cls()
        check_snapshot(sums, with_latencies=bool(sums.histograms))
        stats._merge(sums)
        stats._sequences.update({agent: SequenceSet(pairs) for agent, pairs in sequences.items()})
        return stats

    def add(self, snapshot: Snapshot, *, checked: bool = False) -> bool:
        """Merge one snapshot; return False if it was merged before.

        Pass `checked` for a snapshot that was merged into other stats before. Raises InvalidSnapshotError, with nothing
        changed, if no agent can have measured this.
        """
        if snapshot.sequence in self._sequences[snapshot.agent]:
            return False
        if not checked:
            check_snapshot(snapshot)
        self._merge(snapshot)
        self._sequences[snapshot.agent].add(snapshot.sequence)
        if snapshot.trace and self._with_trace:
            self._trace[snapshot.agent, snapshot.sequence] = snapshot.trace
        return True

    def _merge(self, snapshot: Snapshot) -> None:
        pairs: list[tuple[Metrics, Snapshot]] = [(self, snapshot)]
        if snapshot.HasField("warmup"):
            pairs.append((self.warmup, snapshot.warmup))
        if self._with_histograms:
            targets: dict[tuple[int, int], Metrics] = {}
            for breakdown in snapshot.breakdowns if self._with_breakdowns else ():
                index = breakdown.stage, breakdown.request
                targets[index] = self.breakdowns.get(index) or Metrics()
                pairs.append((targets[index], breakdown.metrics))
            merge_histograms(pairs)
            self.breakdowns.update(targets)
        for metrics, message in pairs:
            metrics.count(message)
        for address, counts in snapshot.addresses.items():
            for name in ADDRESS_COUNTER_NAMES:
                self.addresses[address][name] += getattr(counts, name)
        self.end_ns = max(self.end_ns, snapshot.end_ns)

    def stage_metrics(self, stage: int) -> Metrics:
        """Return the sums of all requests in a stage, by its index; for plans with breakdowns."""
        return self._sum(index for index in self.breakdowns if index[0] == stage)

    def request_metrics(self, request: int) -> Metrics:
        """Return the sums of one request over all stages, by its index; for plans with breakdowns."""
        return self._sum(index for index in self.breakdowns if index[1] == request)

    def _sum(self, indices: Iterable[tuple[int, int]]) -> Metrics:
        return sum((self.breakdowns[index] for index in sorted(indices)), Metrics())

    def missing(self, agent: str, last_sequence: int) -> int:
        """Return how many of an agent's snapshots up to the last have not arrived."""
        return self._sequences[agent].missing(last_sequence)

    def contiguous(self, agent: str) -> int:
        """Return the sequence number up to which all of an agent's snapshots have arrived."""
        return self._sequences[agent].contiguous

    def sequences(self, agent: str) -> list[tuple[int, int]]:
        """Return the sequence numbers that have arrived from an agent, as [first, last] pairs."""
        return self._sequences[agent].pairs

    def trace(self) -> bytes:
        """Return the per-request rows, agent by agent, in the order of their snapshots."""
        return b"".join(self._trace[key] for key in sorted(self._trace))

    def to_snapshot(self, agent: str = "") -> Snapshot:
        """Return everything as one snapshot, without the trace."""
        snapshot = Snapshot(agent=agent, end_ns=self.end_ns)
        self.write_to(snapshot)
        if self.warmup.counters["sent"] or self.warmup.histograms:
            self.warmup.write_to(snapshot.warmup)
        for (stage, request), metrics in sorted(self.breakdowns.items()):
            breakdown = Breakdown(stage=stage, request=request)
            metrics.write_to(breakdown.metrics)
            snapshot.breakdowns.append(breakdown)
        for address, counts in sorted(self.addresses.items()):
            for name in ADDRESS_COUNTER_NAMES:
                setattr(snapshot.addresses[address], name, counts[name])
        return snapshot
