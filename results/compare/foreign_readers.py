"""Files of other tools, and of heyfleet, as samples. The format is recognized by the first lines."""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hdrh.histogram import HdrHistogram

from heyfleet.errors import InputError
from heyfleet.results.archive.histogram_log import MAX_LINE_BYTES, read_line
from heyfleet.results.compare.sample import Floats, Sample, sample_of_timed_values

_MAX_FILE_BYTES = 1 << 30
_LATENCY_TAGS = ("", "latency")
_HEY_BAR = re.compile(r"^\s*(\d+(?:\.\d+)?)\s+\[(\d+)\]", re.MULTILINE)
_HEY_NUMBER = re.compile(r"^\s*(Total|Slowest|Fastest|Average|Requests/sec):\s+([\d.]+)", re.MULTILINE)
_HEY_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_HEY_ERRORS = re.compile(r"^Error distribution:\n(?P<rows>(?:\s*\[\d+\].*\n?)+)", re.MULTILINE)
_HEY_FAILED = re.compile(r"^\s*Requests/sec:.*^Error distribution:", re.MULTILINE | re.DOTALL)
_MAX_NUMBER = 1e19  # more than the nanoseconds since 1970
_HGRM_ROW = re.compile(r"^\s*(\d[\d.]*)\s+([01]\.\d+)\s+(\d+)(?:\s+[\d.]+|\s+inf)?\s*$", re.MULTILINE)


def read_file(path: Path, unit_ns: float) -> Sample:
    """Return the sample of a file; InputError if it can't be read.

    `unit_ns` is the unit of values in histogram logs of other tools.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_FILE_BYTES:
            raise InputError(f"{path}: {size >> 20} MiB is too large; the maximum is {_MAX_FILE_BYTES >> 20}")
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    for matches, parse in _FORMATS:
        if matches(text[:4096], text):
            try:
                sample = parse(str(path), text, unit_ns)
            except (ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
                raise InputError(f"{path}: {error}") from None
            if not sample.count:
                failed = f": all {sample.errors} requests failed" if sample.errors else ""
                raise InputError(f"{path}: it has no latencies{failed}", "compare runs that got responses")
            return sample
    raise InputError(
        f"{path}: unknown format",
        "compare archives, HdrHistogram logs, HdrHistogram's or wrk2's percentiles (hgrm), hey's report or CSV, or vegeta's"
        " results (vegeta encode --to json, or csv)",
    )


def _hdr_log(name: str, text: str, unit_ns: float) -> Sample:
    """Read the lines without a tag or with that of heyfleet's latency; each is a block."""
    from_heyfleet = text.startswith("#[Logged with heyfleet")
    unit_ns = 1.0 if from_heyfleet else unit_ns
    blocks: list[dict[tuple[float, float], int]] = []
    seconds: list[float] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if len(line) > MAX_LINE_BYTES:
                raise ValueError("it is too long")
            log_line = read_line(line)
            if log_line is None or log_line.tag not in _LATENCY_TAGS:
                continue
            counts = _decode_counts(line, unit_ns)
        except Exception as error:  # the decoder of hdrhistogram raises many kinds of errors
            raise ValueError(f"line {number}: {error or 'its histogram is damaged'}") from None
        blocks.append(counts)
        seconds.append(log_line.length_s)
    marks = sorted({mark for block in blocks for mark in block})
    index_by_mark = {mark: index for index, mark in enumerate(marks)}
    matrix = np.zeros((len(blocks), len(marks)), np.int64)
    for row, counts in zip(matrix, blocks, strict=True):
        for mark, count in counts.items():
            row[index_by_mark[mark]] = count
    low_ns, high_ns = (np.array([mark[side] for mark in marks], float) for side in (0, 1))
    completed = matrix.sum(axis=1)
    return Sample(
        name,
        "heyfleet's log" if from_heyfleet else "a histogram log",
        low_ns,
        high_ns,
        matrix.sum(axis=0),
        seconds=sum(seconds) or None,
        requests=int(completed.sum()),
        blocks=matrix,
        block_completed=completed,
        block_seconds=np.array(seconds),
    )


def _decode_counts(line: str, unit_ns: float) -> dict[tuple[float, float], int]:
    """Return the counts of a line's histogram by the lowest and highest value of each bucket in ns."""
    histogram = HdrHistogram.decode(line.rpartition(",")[2].strip())
    return {
        (
            each.value_iterated_from * unit_ns,
            each.value_iterated_to * unit_ns,
        ): each.count_added_in_this_iter_step
        for each in histogram.get_recorded_iterator()
    }


def _hgrm(name: str, text: str, unit_ns: float) -> Sample:
    """Read percentiles in ms; between two rows, latencies are only known to lie there."""
    rows = [(float(value), int(total)) for value, _, total in _HGRM_ROW.findall(text)]
    low_ns: list[float] = []
    high_ns: list[float] = []
    counts: list[int] = []
    previous_value, previous_total = 0.0, 0
    for value, total in rows:
        if value < previous_value or total < previous_total:
            raise ValueError(
                f"its rows must ascend: {value} with {total} follows {previous_value} with {previous_total}"
            )
        if total > previous_total:
            low_ns.append((previous_value if counts else value) * 1e6)
            high_ns.append(value * 1e6)
            counts.append(total - previous_total)
        previous_value, previous_total = value, total
    return _binned_sample(name, "percentiles (hgrm)", low_ns, high_ns, counts)


def _hey_report(name: str, text: str, unit_ns: float) -> Sample:
    """Read hey's histogram: counts between two marks."""
    bars = _HEY_BAR.findall(text.partition("Latency distribution")[0])
    failed = _HEY_ERRORS.search(text)
    errors = sum(map(int, re.findall(r"^\s*\[(\d+)\]", failed["rows"], re.MULTILINE))) if failed else 0
    if not bars:
        sample = _binned_sample(name, "hey's report", [], [], [])
        sample.errors = errors
        return sample
    marks, counts = [float(mark) for mark, _ in bars], [int(count) for _, count in bars]
    if marks != sorted(marks):
        raise ValueError("the marks of its histogram must ascend")
    # Sections after the histogram may have lines of the same names.
    summary_section = text.partition("Response time histogram")[0]
    totals = {key: float(value) for key, value in _HEY_NUMBER.findall(summary_section)}
    # Marks are rounded: they may lie half of their last digit to either side.
    half = 0.5 / 10 ** max(len(mark.partition(".")[2]) for mark, _ in bars)
    low_ns = [max(mark - half, 0.0) * 1e9 for mark in (marks[0], *marks[:-1])]
    high_ns = [(mark + half) * 1e9 for mark in marks]
    if slowest := totals.get("Slowest"):
        high_ns[-1] = max(slowest * 1e9, low_ns[-1])
    indices = [index for index, count in enumerate(counts) if count]
    sample = _binned_sample(
        name,
        "hey's report",
        [low_ns[index] for index in indices],
        [high_ns[index] for index in indices],
        [counts[index] for index in indices],
    )
    sample.errors = errors
    sample.requests += errors
    responses = sum(int(count) for _, count in _HEY_STATUS.findall(text))
    if responses and responses != sample.count:
        raise ValueError(f"its histogram has {sample.count} responses, its status codes {responses}")
    sample.seconds = totals.get("Total") or None
    return sample


def _binned_sample(
    name: str, source: str, low_ns: list[float], high_ns: list[float], counts: list[int]
) -> Sample:
    return Sample(
        name,
        source,
        np.array(low_ns, float),
        np.array(high_ns, float),
        np.array(counts, np.int64),
        requests=sum(counts),
    )


def _hey_csv(name: str, text: str, unit_ns: float) -> Sample:
    reader = csv.DictReader(text.splitlines())
    if missing := {"response-time", "offset"} - set(reader.fieldnames or ()):
        raise ValueError(f"it has no column {missing.pop()}, which hey -o csv writes")
    numbered = ((reader.line_num, row) for row in reader)
    rows = _convert_rows(
        numbered, lambda row: (_number(row["response-time"]), _number(row["offset"])), "hey's CSV"
    )
    latencies_s = np.array([latency_s for latency_s, _ in rows])
    ended_s: Floats = np.array([offset_s for _, offset_s in rows]) + latencies_s
    return sample_of_timed_values(name, "hey's CSV", ended_s, latencies_s * 1e9)


def _vegeta_json(name: str, text: str, unit_ns: float) -> Sample:
    def convert(line: str) -> tuple[int, float, float]:
        row = json.loads(line)
        return int(row["code"]), _unix_s(str(row["timestamp"])), _number(row["latency"])

    numbered = ((number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip())
    return _vegeta_sample(name, _convert_rows(numbered, convert, "vegeta's JSON: code, timestamp, latency"))


def _vegeta_csv(name: str, text: str, unit_ns: float) -> Sample:
    reader = csv.reader(text.splitlines())
    numbered = ((reader.line_num, row) for row in reader if row)
    rows = _convert_rows(
        numbered, lambda row: (int(row[1]), _number(row[0]) / 1e9, _number(row[2])), "vegeta's CSV"
    )
    return _vegeta_sample(name, rows)


def _summary_json(name: str, text: str, unit_ns: float) -> Sample:
    """Refuse a JSON document that can't be compared, and say what can."""
    if '"heyfleet_version"' in text:
        raise ValueError("it is heyfleet's JSON report; compare the archives of runs instead")
    tool = "autocannon's" if '"p97_5"' in text else "a tool's"
    raise ValueError(
        f"it is {tool} JSON summary, which has percentiles but not the distribution that compare needs;"
        " measure with heyfleet, hey or vegeta instead"
    )


_Row = TypeVar("_Row")
_Converted = TypeVar("_Converted")


def _convert_rows(
    numbered: Iterable[tuple[int, _Row]], convert: Callable[[_Row], _Converted], kind: str
) -> list[_Converted]:
    """Return converted rows. Raises ValueError with the line of one that is cut off or damaged."""
    converted = []
    for number, row in numbered:
        try:
            converted.append(convert(row))
        except (ValueError, KeyError, IndexError, TypeError, RecursionError):
            raise ValueError(
                f"line {number} is not a row of {kind}; remove it if the file is cut off there"
            ) from None
    return converted


def _number(value: Any) -> float:
    """Return a number that can be a time. Raises ValueError or TypeError."""
    number = float(value)
    if not 0 <= number < _MAX_NUMBER:
        raise ValueError
    return number


def _vegeta_sample(name: str, rows: list[tuple[int, float, float]]) -> Sample:
    """Return the sample of rows of status, start in s and latency in ns; status 0 means no response."""
    answered = [row for row in rows if row[0]]
    latencies_ns = np.array([latency_ns for _, _, latency_ns in answered])
    ended_s = np.array([unix_s for _, unix_s, _ in answered]) + latencies_ns / 1e9
    sample = sample_of_timed_values(name, "vegeta's results", ended_s, latencies_ns)
    sample.errors = len(rows) - len(answered)
    sample.requests = len(rows)
    return sample


def _unix_s(text: str) -> float:
    # Go writes nanoseconds; fromisoformat reads six digits of them.
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


# Each format: whether the beginning or the text of a file is in it, and its parser.
_Matcher = Callable[[str, str], object]
_Parser = Callable[[str, str, float], Sample]
_FORMATS: tuple[tuple[_Matcher, _Parser], ...] = (
    (lambda begin, _: re.match(r'#\[|"StartTimestamp"|Tag=|[\d.]+,[\d.]+,[\d.]+,HIST', begin), _hdr_log),
    (lambda begin, _: begin.startswith("response-time,"), _hey_csv),
    (lambda begin, _: re.match(r'\{.*"latency"\s*:\s*[^\s{]', begin.partition("\n")[0]), _vegeta_json),
    (lambda begin, _: re.match(r'\s*\{\s*"', begin), _summary_json),
    (lambda begin, _: re.match(r"\d{16,},\d{1,3},\d+,", begin), _vegeta_csv),
    (lambda _, text: re.search(r"Value\s+Percentile\s+TotalCount", text), _hgrm),
    (lambda _, text: len(_HEY_BAR.findall(text)) >= 2 or _HEY_FAILED.search(text), _hey_report),
)
