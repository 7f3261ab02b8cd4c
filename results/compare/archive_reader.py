"""Kept runs as samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heyfleet.ext import Histogram
from heyfleet.results.archive import layout
from heyfleet.results.archive.reader import Run
from heyfleet.results.compare.sample import BLOCKS_AT_MOST, Floats, Sample
from heyfleet.results.export.run_view import RunView, Selection
from heyfleet.results.stats import decoded


def read(folder: Path, selection: Selection) -> Sample:
    """An archive, or a folder of repeated runs. ArchiveError."""
    repeated = sorted(path.parent for path in folder.glob(f"*/{layout.FACTS}"))
    if repeated and not (folder / layout.FACTS).exists():
        return together(str(folder), [_of(RunView(Run(each), selection), each.name) for each in repeated])
    return _of(RunView(Run(folder), selection), str(folder))


def together(name: str, runs: list[Sample]) -> Sample:
    """Repeated runs as one sample."""
    marks, counts = _matrix([dict(zip(run.low_ns, run.counts, strict=True)) for run in runs])
    high_ns = np.zeros(len(marks))
    for run in runs:
        high_ns[np.searchsorted(marks, run.low_ns)] = run.high_ns
    timed = all(run.seconds for run in runs)
    return Sample(
        name,
        f"{len(runs)} runs, {runs[0].made_by}",
        marks,
        high_ns,
        counts.sum(axis=0),
        seconds=sum(run.seconds or 0.0 for run in runs) if timed else None,
        requests=sum(run.requests for run in runs),
        errors=sum(run.errors for run in runs),
        runs=runs,
    )


def of_histogram(name: str, made_by: str, histogram: Histogram) -> Sample:
    """A histogram of ours."""
    buckets = histogram.buckets()
    low_ns, high_ns, counts = (
        (np.array(column) for column in zip(*buckets, strict=True)) if buckets else [np.zeros(0)] * 3
    )
    return Sample(
        name, made_by, _clipped(low_ns, histogram), _clipped(high_ns, histogram), counts.astype(np.int64)
    )


def with_blocks(sample: Sample, blocks: list[Histogram]) -> None:
    """The same by stretches of time."""
    known = {bucket[0]: place for place, bucket in enumerate(_all(blocks).buckets())}
    made = np.zeros((len(blocks), len(known)), np.int64)
    for row, histogram in zip(made, blocks, strict=True):
        for low_ns, _, count in histogram.buckets():
            row[known[low_ns]] = count
    if len(known) == len(sample.counts):
        sample.blocks = made


def _of(source: RunView, name: str) -> Sample:
    numbers = source.numbers
    sample = of_histogram(name, "heyfleet", numbers.histogram("latency") or Histogram())
    sample.seconds = source.seconds or None
    sample.requests, sample.errors = numbers.ended, numbers.errors.total()
    if source.selection.agent or not source.by_the_second:
        return sample
    blocks: dict[int, tuple[Histogram, list[int]]] = {}
    seconds = max((each.second for each in source.intervals()), default=-1) + 1
    width = max(-(-seconds // BLOCKS_AT_MOST), 1)
    for interval in source.intervals():
        merged = interval.merged
        ended = sum(merged.responses.values()) + sum(merged.errors.values())
        if not ended:
            continue
        histogram, sums = blocks.setdefault(interval.second // width, (Histogram(), [0, 1 << 62, 0]))
        if "latency" in merged.histograms:
            histogram.add(decoded(merged.histograms["latency"]))
        sums[0] += ended
        sums[1], sums[2] = min(sums[1], merged.begin_ns), max(sums[2], merged.end_ns)
    rows = [blocks[index] for index in sorted(blocks)]
    with_blocks(sample, [histogram for histogram, _ in rows])
    if sample.blocks is not None:
        sample.block_ended = np.array([sums[0] for _, sums in rows], np.int64)
        sample.block_seconds = np.array([(sums[2] - sums[1]) / 1e9 for _, sums in rows])
    return sample


def _clipped(marks_ns: Floats, histogram: Histogram) -> Floats:
    """The first and the last value are known exactly."""
    return np.clip(marks_ns.astype(np.float64), histogram.min_ns, histogram.max_ns)


def _all(blocks: list[Histogram]) -> Histogram:
    total = Histogram()
    for histogram in blocks:
        total.add(histogram)
    return total


def _matrix(rows: list[dict[float, int]]) -> tuple[Floats, np.ndarray]:
    marks = np.array(sorted({mark for row in rows for mark in row}))
    made = np.zeros((len(rows), len(marks)), np.int64)
    for row, counts in zip(made, rows, strict=True):
        row[np.searchsorted(marks, list(counts))] = list(counts.values())
    return marks, made
