"""Files of other tools, and of heyfleet, as samples. The format is recognized by the first lines, or by what is in them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from heyfleet.documents import csv_rows, numbered_lines, parse_integer, parse_json
from heyfleet.errors import InputError
from heyfleet.files import MAX_DATA_BYTES, read_text_file
from heyfleet.results.compare.histogram_log_reader import is_histogram_log, read_histogram_log
from heyfleet.results.compare.percentiles_reader import has_percentiles, read_percentiles
from heyfleet.results.compare.sample import (
    FileOptions,
    Floats,
    Sample,
    binned_sample,
    sample_of_timed_values,
)

_HEY_BAR = re.compile(r"^[ \t]*(\d+(?:\.\d+)?)\s+\[(\d+)\]", re.MULTILINE)
_HEY_NUMBER = re.compile(r"^[ \t]*(Total|Slowest|Fastest|Average|Requests/sec):\s+([\d.]+)", re.MULTILINE)
_HEY_STATUS = re.compile(r"^[ \t]*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_HEY_ERRORS = re.compile(r"^Error distribution:\n(?P<rows>(?:[ \t]*\[\d+\].*\n?)+)", re.MULTILINE)
_HEY_FAILED = re.compile(r"^[ \t]*Requests/sec:.*^Error distribution:", re.MULTILINE | re.DOTALL)
_FIRST_LINE = re.compile(r"\s*+(.*)")
_MAX_STATUS = 999
_MAX_NUMBER = 1e19  # more than the nanoseconds since 1970


def read_sample_file(path: str, options: FileOptions) -> Sample:
    """Return the sample of a file; InputError if it can't be read."""
    text = read_text_file(path, "compare", MAX_DATA_BYTES, undecodable="replace")
    return parse_sample(path, text, options)


def parse_sample(path: str, text: str, options: FileOptions) -> Sample:
    """Return the sample of a file's text; InputError if it can't be used."""
    text = text.replace("\r\n", "\n")
    first = _FIRST_LINE.match(text)
    first_line = first[1] if first else ""
    for matches, parse in _FORMATS:
        if matches(first_line, text):
            if options.tag and parse is not read_histogram_log:
                raise InputError(f"{path}: --tag applies to histogram logs, and this is none")
            try:
                sample = parse(path, text, options)
            except (ValueError, KeyError, IndexError, TypeError) as error:
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


def _hey_report(name: str, text: str, options: FileOptions) -> Sample:
    """Read hey's histogram: counts between two marks."""
    bars = _HEY_BAR.findall(text.partition("Latency distribution")[0])
    failed = _HEY_ERRORS.search(text)
    errors = (
        sum(map(parse_integer, re.findall(r"^[ \t]*\[(\d+)\]", failed["rows"], re.MULTILINE)))
        if failed
        else 0
    )
    if not bars:
        sample = binned_sample(name, "hey's report", [], [], [])
        sample.errors = errors
        return sample
    marks, counts = [float(mark) for mark, _ in bars], [parse_integer(count) for _, count in bars]
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
    sample = binned_sample(
        name,
        "hey's report",
        [low_ns[index] for index in indices],
        [high_ns[index] for index in indices],
        [counts[index] for index in indices],
    )
    sample.errors = errors
    sample.requests += errors
    responses = sum(parse_integer(count) for _, count in _HEY_STATUS.findall(text))
    if responses and responses != sample.count:
        raise ValueError(f"its histogram has {sample.count} responses, its status codes {responses}")
    sample.seconds = totals.get("Total") or None
    return sample


def _hey_csv(name: str, text: str, options: FileOptions) -> Sample:
    numbered = csv_rows(text)
    _, names = next(numbered)
    if missing := {"response-time", "offset"} - set(names):
        raise ValueError(f"it has no column {missing.pop()}, which hey -o csv writes")
    latency, offset = names.index("response-time"), names.index("offset")
    rows = _convert_rows(numbered, lambda row: (_number(row[latency]), _number(row[offset])), "hey's CSV")
    latencies_s = np.array([latency_s for latency_s, _ in rows])
    ended_s: Floats = np.array([offset_s for _, offset_s in rows]) + latencies_s
    return sample_of_timed_values(name, "hey's CSV", ended_s, latencies_s * 1e9)


def _vegeta_json(name: str, text: str, options: FileOptions) -> Sample:
    def convert(line: str) -> tuple[int, float, float]:
        row = parse_json(line)
        return _status(row["code"]), _unix_s(str(row["timestamp"])), _number(row["latency"])

    numbered = ((number, line) for number, line in numbered_lines(text) if line.strip())
    return _vegeta_sample(name, _convert_rows(numbered, convert, "vegeta's JSON: code, timestamp, latency"))


def _vegeta_csv(name: str, text: str, options: FileOptions) -> Sample:
    rows = _convert_rows(
        csv_rows(text), lambda row: (_status(row[1]), _number(row[0]) / 1e9, _number(row[2])), "vegeta's CSV"
    )
    return _vegeta_sample(name, rows)


def _summary_json(name: str, text: str, options: FileOptions) -> Sample:
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
    number = float("nan") if isinstance(value, bool) else float(value)
    if not 0 <= number < _MAX_NUMBER:
        raise ValueError
    return number


def _status(value: Any) -> int:
    """Return a status code, or 0 for none. Raises ValueError or TypeError."""
    if _number(value) > _MAX_STATUS:
        raise ValueError
    return int(value)


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


# Each format: whether the first line or the text of a file is in it, and its parser.
_Matcher = Callable[[str, str], object]
_Parser = Callable[[str, str, FileOptions], Sample]
_FORMATS: tuple[tuple[_Matcher, _Parser], ...] = (
    (lambda _, text: is_histogram_log(text), read_histogram_log),
    (lambda first, _: first.startswith("response-time,"), _hey_csv),
    (lambda first, _: re.match(r'\{.*"latency"\s*:\s*[^\s{]', first), _vegeta_json),
    (lambda _, text: re.match(r'\s*+\{\s*+"', text), _summary_json),
    (lambda first, _: re.match(r"\d{16,},\d{1,3},\d+,", first), _vegeta_csv),
    (lambda _, text: has_percentiles(text), read_percentiles),
    (lambda _, text: len(_HEY_BAR.findall(text)) >= 2 or _HEY_FAILED.search(text), _hey_report),
)
