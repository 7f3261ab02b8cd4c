"""Merge what the workers of one agent measured into the messages that an agent sends."""

from __future__ import annotations

from collections import Counter

from heyfleet.ext import EngineSnapshot, Histogram
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.stats_pb2 import Breakdown, Snapshot
from heyfleet.proto.stats_pb2 import Histogram as HistogramMessage


def merge_workers(workers: list[EngineSnapshot], into: Snapshot) -> Snapshot:
    """Add the workers' snapshots to `into` and return it; histograms are merged without loss."""
    _merge_metrics(workers, into)
    _merge_addresses(workers, into)
    if warmups := [worker.warmup for worker in workers if worker.warmup is not None]:
        _merge_metrics(warmups, into.warmup)
    for key in sorted({key for worker in workers for key in worker.breakdowns}):
        stage, request = key
        breakdown = Breakdown(stage=stage, request=request)
        _merge_metrics(
            [worker.breakdowns[key] for worker in workers if key in worker.breakdowns], breakdown.metrics
        )
        into.breakdowns.append(breakdown)
    return into


def encode_histogram(histogram: Histogram) -> HistogramMessage:
    """Encode a histogram as the schema's message."""
    return HistogramMessage(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )


def _merge_addresses(workers: list[EngineSnapshot], into: Snapshot) -> None:
    for worker in workers:
        for address, counts in worker.addresses.items():
            sums = into.addresses[address]
            for name, count in zip(ADDRESS_COUNTER_NAMES, counts, strict=True):
                setattr(sums, name, getattr(sums, name) + count)


def _merge_metrics(workers: list[EngineSnapshot], into: Snapshot) -> None:
    histograms: dict[str, Histogram] = {}
    responses: Counter[int] = Counter()
    errors: Counter[str] = Counter()
    for worker in workers:
        for metric, histogram in worker.histograms.items():
            histograms.setdefault(metric, Histogram()).add(histogram)
        responses.update(worker.responses)
        errors.update(worker.errors)
        for name in COUNTER_NAMES:
            setattr(into, name, getattr(into, name) + worker.counters[name])
    for metric, histogram in histograms.items():
        into.histograms[metric].CopyFrom(encode_histogram(histogram))
    into.responses.update(responses)
    into.errors.update(errors)
