"""Histogram logs (HdrHistogram's interval logs) of heyfleet and of other tools as samples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from hdrh.histogram import HdrHistogram

from heyfleet.documents import numbered_lines
from heyfleet.results.archive.histogram_log import MAX_LINE_BYTES, read_line
from heyfleet.results.compare.sample import MAX_BLOCKS, FileOptions, Sample, check_sums

_LATENCY = "latency"  # heyfleet's tag of the metric that everyone means
_NO_TAG = ""
_TAG = re.compile(r"Tag=([^,]*),")
_MAX_TAGS_SHOWN = 20
_ONLY_COMMENTS = re.compile(r"\s*+#\[")
_OWN = re.compile(r"^#\[Logged with heyfleet", re.MULTILINE)
_NAMES_WITH_END = re.compile(r'"StartTimestamp"\s*,\s*"EndTimestamp"')
# Comments and blank lines, then the line of column names or a histogram.
_BEGIN = re.compile(
    r'(?:[ \t]*+(?:#[^\n]*+)?\n)*+[ \t]*+(?:"StartTimestamp"|Tag=[^,\n]*,|[\d.]+,[\d.]+,[\d.]+,HIST)'
)

_Marks = tuple[float, float]  # the lowest and the highest value of a bucket in ns


class _Block(NamedTuple):
    """The histogram of one line, and the length of its interval."""

    counts: dict[_Marks, int]
    seconds: float


def is_histogram_log(text: str) -> bool:
    """Return whether a text is a histogram log, whatever comments and blank lines stand before its first line."""
    return bool(_BEGIN.match(text) or _ONLY_COMMENTS.match(text))


def read_histogram_log(name: str, text: str, options: FileOptions) -> Sample:
    """Return the lines of one tag as a sample with blocks. Raises ValueError, also if it is not clear which tag."""
    lines = list(_histogram_lines(text))
    from_heyfleet = bool(_OWN.search(text))
    tag = _choose_tag({_tag_of(line) for _, line, _ in lines}, options.tag)
    unit_ns = 1.0 if from_heyfleet or options.unit_ns is None else options.unit_ns
    blocks = []
    for number, line, has_end in lines:
        if _tag_of(line) != tag:
            continue
        try:
            blocks.append(_read_block(line, has_end, unit_ns))
        except Exception as error:  # the decoder of hdrhistogram raises many kinds of errors
            raise ValueError(f"line {number}: {error or 'its histogram is damaged'}") from None
    source = "heyfleet's log" if from_heyfleet else "a histogram log"
    if tag not in (_NO_TAG, _LATENCY):
        source += f", tag {tag}"
    if not from_heyfleet and options.unit_ns is None:
        source += ", taken to be in ns (see --unit)"
    return _sample_of_blocks(name, source, blocks)


def _histogram_lines(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield number and text of each line with a histogram, and whether its second column is the end of the interval.

    The line of column names says so: HdrHistogram_c writes the end where HdrHistogram for Java writes the length.
    """
    has_end = False
    for number, line in numbered_lines(text):
        shown = line.strip()
        if shown.startswith('"StartTimestamp"'):
            has_end = bool(_NAMES_WITH_END.match(shown))
        elif shown and not shown.startswith(("#", '"')):
            yield number, shown, has_end


def _tag_of(line: str) -> str:
    match = _TAG.match(line)
    return match[1] if match else _NO_TAG


def _choose_tag(tags: set[str], wanted: str) -> str:
    """Return the tag to read: the wanted one, none, that of the latency, or the only one."""
    if wanted:
        if wanted in tags:
            return wanted
        raise ValueError(f"it has no tag {wanted!r}, but {_list_tags(tags)}")
    for tag in (_NO_TAG, _LATENCY):
        if tag in tags:
            return tag
    if len(tags) > 1:
        raise ValueError(f"it has {_list_tags(tags)}; choose one with --tag")
    return next(iter(tags), _NO_TAG)


def _list_tags(tags: set[str]) -> str:
    names = sorted(tags - {_NO_TAG})
    if not names:
        return "lines without a tag only"
    more = f" and {len(names) - _MAX_TAGS_SHOWN} more" if len(names) > _MAX_TAGS_SHOWN else ""
    return f"the tags {', '.join(names[:_MAX_TAGS_SHOWN])}{more}"


def _read_block(line: str, has_end: bool, unit_ns: float) -> _Block:
    if len(line) > MAX_LINE_BYTES:
        raise ValueError("it is too long")
    log_line = read_line(line)
    assert log_line is not None  # it is no comment
    seconds = log_line.length_s - log_line.begin_s if has_end else log_line.length_s
    if seconds < 0:
        raise ValueError(f"its interval ends {-seconds:g} s before it begins")
    return _Block(_counts(HdrHistogram.decode(line.rpartition(",")[2]), unit_ns), seconds)


def _counts(histogram: HdrHistogram, unit_ns: float) -> dict[_Marks, int]:
    """Return the counts by bucket. The iterators of hdrhistogram visit every bucket, and widen it to the one before."""
    counts = np.ctypeslib.as_array(histogram.counts)
    lows = {index: histogram.get_value_from_index(index) for index in np.flatnonzero(counts).tolist()}
    return {
        (low * unit_ns, histogram.get_highest_equivalent_value(low) * unit_ns): int(counts[index])
        for index, low in lows.items()
    }


def _sample_of_blocks(name: str, source: str, blocks: Sequence[_Block]) -> Sample:
    """Return the sum of all lines as a sample; several lines make a block if there are many."""
    marks = sorted({mark for block in blocks for mark in block.counts})
    check_sums(
        sum(sum(block.counts.values()) for block in blocks), max((high for _, high in marks), default=0.0)
    )
    index_by_mark = {mark: index for index, mark in enumerate(marks)}
    width = max(-(-len(blocks) // MAX_BLOCKS), 1)
    matrix = np.zeros((-(-len(blocks) // width), len(marks)), np.int64)
    seconds = np.zeros(len(matrix))
    for number, block in enumerate(blocks):
        seconds[number // width] += block.seconds
        for mark, count in block.counts.items():
            matrix[number // width, index_by_mark[mark]] += count
    low_ns, high_ns = (np.array([mark[side] for mark in marks], float) for side in (0, 1))
    completed = matrix.sum(axis=1)
    return Sample(
        name,
        source,
        low_ns,
        high_ns,
        matrix.sum(axis=0),
        seconds=float(seconds.sum()) or None,
        requests=int(completed.sum()),
        blocks=matrix,
        block_completed=completed,
        block_seconds=seconds,
    )
