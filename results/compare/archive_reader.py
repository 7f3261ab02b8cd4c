"""Archived runs as samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from heyfleet.ext import Histogram
from heyfleet.results.archive import layout
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.compare.sample import MAX_BLOCKS, Floats, Ints, Sample
from heyfleet.results.export.run_view import RunView, Selection
from heyfleet.results.metrics import decode_histogram


def read_archive(folder: Path, selection: Selection) -> Sample:
    """Return the sample of an archive, or of a folder of repeated runs; ArchiveError if it can't be read."""
    repeated = sorted(path.parent for path in folder.glob(f"*/{layout.FACTS}"))
    if repeated and not (folder / layout.FACTS).exists():
        runs = [_sample(RunView(ArchivedRun(each), selection), each.name) for each in repeated]
        return combine_runs(str(folder), runs)
    return _sample(RunView(ArchivedRun(folder), selection), str(folder))


def combine_runs(name: str, runs: list[Sample]) -> Sample:
    """Return repeated runs as one sample."""
    marks, counts = _count_matrix([dict(zip(run.low_ns, run.counts, strict=True)) for run in runs])
    high_ns = np.zeros(len(marks))
    for run in runs:
        high_ns[np.searchsorted(marks, run.low_ns)] = run.high_ns
    timed = all(run.seconds for run in runs)
    return Sample(
        name,
        f"{len(runs)} runs, {runs[0].source}",
        marks,
        high_ns,
        counts.sum(axis=0),
        seconds=sum(run.seconds or 0.0 for run in runs) if timed else None,
        requests=sum(run.requests for run in runs),
        errors=sum(run.errors for run in runs),
        runs=runs,
    )


def sample_of_histogram(name: str, source: str, histogram: Histogram) -> Sample:
    """Return the sample of a histogram; its first and last value are known exactly."""
    buckets = histogram.buckets()
    low_ns, high_ns, counts = (
        (np.array(column) for column in zip(*buckets, strict=True)) if buckets else [np.zeros(0)] * 3
    )
    return Sample(
        name,
        source,
        _clip_to_extremes(low_ns, histogram),
        _clip_to_extremes(high_ns, histogram),
        counts.astype(np.int64),
    )


def set_blocks(sample: Sample, blocks: list[Histogram]) -> None:
    """Add the histograms of stretches of time to the sample of their sum."""
    total = Histogram()
    for histogram in blocks:
        total.add(histogram)
    index_by_mark = {bucket[0]: index for index, bucket in enumerate(total.buckets())}
    counts = np.zeros((len(blocks), len(index_by_mark)), np.int64)
    for row, histogram in zip(counts, blocks, strict=True):
        for low_ns, _, count in histogram.buckets():
            row[index_by_mark[low_ns]] = count
    if len(index_by_mark) == len(sample.counts):
        sample.blocks = counts


def _sample(view: RunView, name: str) -> Sample:
    metrics = view.metrics
    sample = sample_of_histogram(name, "heyfleet", metrics.histogram("latency") or Histogram())
    sample.seconds = view.seconds or None
    sample.requests, sample.errors = metrics.completed, metrics.errors.total()
    if view.selection.agent or not view.has_intervals:
        return sample
    blocks: dict[int, tuple[Histogram, list[int]]] = {}
    seconds = max((each.second for each in view.intervals()), default=-1) + 1
    width = max(-(-seconds // MAX_BLOCKS), 1)
    for interval in view.intervals():
        merged = interval.merged
        completed = sum(merged.responses.values()) + sum(merged.errors.values())
        if not completed:
            continue
        # Completed requests, begin and end of the block.
        histogram, sums = blocks.setdefault(interval.second // width, (Histogram(), [0, 1 << 62, 0]))
        if "latency" in merged.histograms:
            histogram.add(decode_histogram(merged.histograms["latency"]))
        sums[0] += completed
        sums[1], sums[2] = min(sums[1], merged.begin_ns), max(sums[2], merged.end_ns)
    rows = [blocks[index] for index in sorted(blocks)]
    set_blocks(sample, [histogram for histogram, _ in rows])
    if sample.blocks is not None:
        sample.block_completed = np.array([sums[0] for _, sums in rows], np.int64)
        sample.block_seconds = np.array([(sums[2] - sums[1]) / 1e9 for _, sums in rows])
    return sample


def _clip_to_extremes(marks_ns: Floats, histogram: Histogram) -> Floats:
    return np.clip(marks_ns.astype(np.float64), histogram.min_ns, histogram.max_ns)


def _count_matrix(rows: list[dict[float, int]]) -> tuple[Floats, Ints]:
    """Return all marks, and the counts of each row at them."""
    marks = np.array(sorted({mark for row in rows for mark in row}))
    counts = np.zeros((len(rows), len(marks)), np.int64)
    for row, by_mark in zip(counts, rows, strict=True):
        row[np.searchsorted(marks, list(by_mark))] = list(by_mark.values())
    return marks, counts
