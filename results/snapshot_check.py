"""Validation of snapshots, which may come from any host."""

from __future__ import annotations

from heyfleet.ext import ERROR_NAMES, METRIC_NAMES
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.stats_pb2 import Snapshot
from heyfleet.results.metrics import InvalidSnapshotError

BAD_RESPONSE = "bad response: "  # an error kind that the parser's reason follows
TRACE_ROW_BYTES = 64
_METRICS = frozenset(METRIC_NAMES)
_MAX_SEQUENCE = 1 << 40
MAX_COUNT = (1 << 63) - 1
_MAX_INSTANT_NS = 1 << 62
_MAX_REASON_LENGTH = 100
_MAX_BREAKDOWNS = 4096
_MAX_ERROR_KINDS = 4096
_MAX_ADDRESSES = 4096
_MAX_ADDRESS_LENGTH = 200


def check_snapshot(snapshot: Snapshot, *, with_latencies: bool = True) -> int:
    """Return the largest of all counts, or raise InvalidSnapshotError if no agent can have measured this.

    The bytes of histograms are checked when they are merged. Without `with_latencies`, the snapshot may lack the
    latency histogram that its responses imply.
    """
    largest = _check_metrics(snapshot, with_latencies=with_latencies)
    if snapshot.HasField("warmup"):
        largest = max(largest, _check_nested(snapshot.warmup, with_latencies=with_latencies))
    if len(snapshot.breakdowns) > _MAX_BREAKDOWNS:
        raise InvalidSnapshotError(f"it has {len(snapshot.breakdowns)} breakdowns")
    pairs = {(breakdown.stage, breakdown.request) for breakdown in snapshot.breakdowns}
    if len(pairs) != len(snapshot.breakdowns):
        raise InvalidSnapshotError("it has two breakdowns of one stage and request")
    for breakdown in snapshot.breakdowns:
        largest = max(largest, _check_nested(breakdown.metrics, with_latencies=with_latencies))
    return max(largest, _check_addresses(snapshot))


def _check_addresses(snapshot: Snapshot) -> int:
    too_long = any(len(address) > _MAX_ADDRESS_LENGTH for address in snapshot.addresses)
    if len(snapshot.addresses) > _MAX_ADDRESSES or too_long:
        raise InvalidSnapshotError(f"it has {len(snapshot.addresses)} addresses, or one that is too long")
    counts = [
        getattr(metrics, name) for metrics in snapshot.addresses.values() for name in ADDRESS_COUNTER_NAMES
    ]
    largest = max(counts, default=0)
    if largest > MAX_COUNT:
        raise InvalidSnapshotError("a counter of an address is beyond 2**63")
    return largest


def _check_nested(metrics: Snapshot, *, with_latencies: bool) -> int:
    if metrics.HasField("warmup") or metrics.breakdowns or metrics.trace or metrics.addresses:
        raise InvalidSnapshotError("its warm-up or a breakdown has breakdowns of its own")
    return _check_metrics(metrics, with_latencies=with_latencies)


def _check_metrics(snapshot: Snapshot, *, with_latencies: bool) -> int:
    if not 0 <= snapshot.sequence <= _MAX_SEQUENCE:
        raise InvalidSnapshotError(f"its sequence is {snapshot.sequence}")
    if not 0 <= snapshot.begin_ns <= snapshot.end_ns <= _MAX_INSTANT_NS:
        raise InvalidSnapshotError(f"it goes from {snapshot.begin_ns} to {snapshot.end_ns} ns")
    if max(abs(snapshot.first_worker_ns), abs(snapshot.last_worker_ns)) > _MAX_INSTANT_NS:
        raise InvalidSnapshotError(
            f"its workers began between {snapshot.first_worker_ns} and {snapshot.last_worker_ns} ns"
        )
    if len(snapshot.trace) % TRACE_ROW_BYTES:
        raise InvalidSnapshotError(f"the last row of its trace is cut off ({len(snapshot.trace)} bytes)")
    _check_names(snapshot)
    responses, errors = sum(snapshot.responses.values()), sum(snapshot.errors.values())
    counts = [getattr(snapshot, name) for name in COUNTER_NAMES]
    counts += [histogram.count for histogram in snapshot.histograms.values()]
    largest: int = max(responses, errors, *counts)
    if largest > MAX_COUNT:
        raise InvalidSnapshotError("a counter is beyond 2**63")
    latencies = snapshot.histograms["latency"].count if "latency" in snapshot.histograms else 0
    if with_latencies and latencies != responses:
        raise InvalidSnapshotError(f"it has {responses} responses but {latencies} latencies")
    return largest


def _check_names(snapshot: Snapshot) -> None:
    for metric in snapshot.histograms:
        if metric not in _METRICS:
            raise InvalidSnapshotError(f"it has a histogram of {_shortened(metric)}, which is not a metric")
    for status in snapshot.responses:
        if not 100 <= status <= 999:
            raise InvalidSnapshotError(f"it has responses with status {status}")
    if len(snapshot.errors) > _MAX_ERROR_KINDS:
        raise InvalidSnapshotError(f"it has {len(snapshot.errors)} kinds of errors")
    for kind in snapshot.errors:
        if kind not in ERROR_NAMES and not _is_bad_response(kind):
            raise InvalidSnapshotError(f"it has errors of the unknown kind {_shortened(kind)}")


def _shortened(text: str) -> str:
    return repr(text[:_MAX_REASON_LENGTH])


def _is_bad_response(kind: str) -> bool:
    return kind.startswith(BAD_RESPONSE) and len(kind) <= _MAX_REASON_LENGTH
