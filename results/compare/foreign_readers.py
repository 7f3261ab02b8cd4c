"""Files of other tools, and of ours, as samples: what is in one is told from its first lines."""

from __future__ import annotations

import csv
import datetime
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hdrh.histogram import HdrHistogram

from heyfleet.errors import InputError
from heyfleet.results.archive.histogram_log import LINE_BYTES_AT_MOST, read_line
from heyfleet.results.compare.sample import Sample, of_timed_values

FILE_BYTES_AT_MOST = 1 << 30
_LATENCY_TAGS = ("", "latency")
# fastest and slowest stand there with four places, marks with three
_HEY_BAR = re.compile(r"^\s*(\d+(?:\.\d+)?)\s+\[(\d+)\]", re.MULTILINE)
_HEY_NUMBER = re.compile(r"^\s*(Total|Slowest|Fastest|Average|Requests/sec):\s+([\d.]+)", re.MULTILINE)
_HEY_STATUS = re.compile(r"^\s*\[(\d{3})\]\s+(\d+) responses", re.MULTILINE)
_HEY_ERRORS = re.compile(r"^Error distribution:\n(?P<rows>(?:\s*\[\d+\].*\n?)+)", re.MULTILINE)
_HGRM_ROW = re.compile(r"^\s*(\d[\d.]*)\s+([01]\.\d+)\s+(\d+)(?:\s+[\d.]+|\s+inf)?\s*$", re.MULTILINE)


def read(path: Path, unit_ns: float) -> Sample:
    """One file; `unit_ns` is that of the values in a histogram log that others wrote. InputError names what is wrong."""
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_AT_MOST:
            raise InputError(
                f"{path}: it has {size >> 20} MiB, and up to {FILE_BYTES_AT_MOST >> 20} are read"
            )
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    for suits, make in _FORMATS:
        if suits(text[:4096], text):
            try:
                sample = make(str(path), text, unit_ns)
            except (ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
                raise InputError(f"{path}: {error}") from None
            if not sample.count:
                raise InputError(f"{path}: it has no latency")
            return sample
    raise InputError(
        f"{path}: this is none of what can be compared: an archive, an HdrHistogram log, wrk2's or HdrHistogram's"
        " percentiles (hgrm), hey's report or CSV, vegeta's results as JSON or CSV (vegeta encode --to json)"
    )


def _hdr_log(name: str, text: str, unit_ns: float) -> Sample:
    """Lines without a tag, or of our latency; each is a block."""
    ours = text.startswith("#[Logged with heyfleet")
    unit_ns = 1.0 if ours else unit_ns
    blocks: list[dict[tuple[float, float], int]] = []
    seconds: list[float] = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if len(line) > LINE_BYTES_AT_MOST:
                raise ValueError("it is too long")
            found = read_line(line)
            if found is None or found.tag not in _LATENCY_TAGS:
                continue
            counts = _counts(line, unit_ns)
        except Exception as error:  # the decoder's of the package hdrhistogram have many kinds
            raise ValueError(f"line {number}: {error or 'its histogram is damaged'}") from None
        blocks.append(counts)
        seconds.append(found.length_s)
    marks = sorted({mark for block in blocks for mark in block})
    places = {mark: place for place, mark in enumerate(marks)}
    made = np.zeros((len(blocks), len(marks)), np.int64)
    for row, counts in zip(made, blocks, strict=True):
        for mark, count in counts.items():
            row[places[mark]] = count
    low_ns, high_ns = (np.array([mark[side] for mark in marks], float) for side in (0, 1))
    ended = made.sum(axis=1)
    return Sample(
        name,
        "heyfleet's log" if ours else "a histogram log",
        low_ns,
        high_ns,
        made.sum(axis=0),
        seconds=sum(seconds) or None,
        requests=int(ended.sum()),
        blocks=made,
        block_ended=ended,
        block_seconds=np.array(seconds),
    )


def _counts(line: str, unit_ns: float) -> dict[tuple[float, float], int]:
    histogram = HdrHistogram.decode(line.rpartition(",")[2].strip())
    return {
        (
            each.value_iterated_from * unit_ns,
            each.value_iterated_to * unit_ns,
        ): each.count_added_in_this_iter_step
        for each in histogram.get_recorded_iterator()
    }


def _hgrm(name: str, text: str, unit_ns: float) -> Sample:
    """Values in ms; what lies between two rows is known no better than that."""
    rows = [(float(value), int(total)) for value, _, total in _HGRM_ROW.findall(text)]
    low_ns: list[float] = []
    high_ns: list[float] = []
    counts: list[int] = []
    value_before, total_before = 0.0, 0
    for value, total in rows:
        if value < value_before or total < total_before:
            raise ValueError(
                f"its rows must ascend: {value} with {total} follows {value_before} with {total_before}"
            )
        if total > total_before:
            low_ns.append((value_before if counts else value) * 1e6)
            high_ns.append(value * 1e6)
            counts.append(total - total_before)
        value_before, total_before = value, total
    return _binned(name, "percentiles (hgrm)", low_ns, high_ns, counts)


def _hey_report(name: str, text: str, unit_ns: float) -> Sample:
    """What hey's histogram tells: so many latencies between two marks."""
    found = _HEY_BAR.findall(text.partition("Latency distribution")[0])
    marks, counts = [float(mark) for mark, _ in found], [int(count) for _, count in found]
    if marks != sorted(marks):
        raise ValueError("the marks of its histogram must ascend")
    numbers = {key: float(value) for key, value in _HEY_NUMBER.findall(text)}
    # Marks are rounded: they may lie half of their last digit to either side.
    half = 0.5 / 10 ** max(len(mark.partition(".")[2]) for mark, _ in found)
    low_ns = [max(mark - half, 0.0) * 1e9 for mark in (marks[0], *marks[:-1])]
    high_ns = [(mark + half) * 1e9 for mark in marks]
    if slowest := numbers.get("Slowest"):
        high_ns[-1] = max(slowest * 1e9, low_ns[-1])
    kept = [index for index, count in enumerate(counts) if count]
    sample = _binned(
        name,
        "hey's report",
        [low_ns[index] for index in kept],
        [high_ns[index] for index in kept],
        [counts[index] for index in kept],
    )
    errors = _HEY_ERRORS.search(text)
    if errors:
        sample.errors = sum(map(int, re.findall(r"^\s*\[(\d+)\]", errors["rows"], re.MULTILINE)))
    sample.requests += sample.errors
    answered = sum(int(count) for _, count in _HEY_STATUS.findall(text))
    if answered and answered != sample.count:
        raise ValueError(f"its histogram has {sample.count} responses, its status codes {answered}")
    sample.seconds = numbers.get("Total") or None
    return sample


def _binned(name: str, made_by: str, low_ns: list[float], high_ns: list[float], counts: list[int]) -> Sample:
    return Sample(
        name,
        made_by,
        np.array(low_ns, float),
        np.array(high_ns, float),
        np.array(counts, np.int64),
        requests=sum(counts),
    )


def _hey_csv(name: str, text: str, unit_ns: float) -> Sample:
    rows = list(csv.DictReader(text.splitlines()))
    latencies = np.array([float(row["response-time"]) for row in rows])
    at_s = np.array([float(row["offset"]) for row in rows]) + latencies
    return of_timed_values(name, "hey's CSV", at_s, latencies * 1e9)


def _vegeta_json(name: str, text: str, unit_ns: float) -> Sample:
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return _vegeta(
        name,
        [
            (int(row["code"]), _unix_s(str(row["timestamp"])), float(row["latency"]), bool(row.get("error")))
            for row in rows
        ],
    )


def _vegeta_csv(name: str, text: str, unit_ns: float) -> Sample:
    return _vegeta(
        name,
        [
            (int(row[1]), float(row[0]) / 1e9, float(row[2]), bool(row[5]))
            for row in csv.reader(text.splitlines())
            if row
        ],
    )


def _vegeta(name: str, rows: list[tuple[int, float, float, bool]]) -> Sample:
    """Rows of code, time in s, latency in ns, and whether it failed; code 0 is no answer."""
    answered = [row for row in rows if row[0]]
    latencies = np.array([latency_ns for _, _, latency_ns, _ in answered])
    at_s = np.array([unix_s for _, unix_s, _, _ in answered]) + latencies / 1e9
    sample = of_timed_values(name, "vegeta's results", at_s, latencies)
    sample.errors = len(rows) - len(answered)
    sample.requests = len(rows)
    return sample


def _unix_s(text: str) -> float:
    # Go writes nanoseconds, of which fromisoformat takes six digits.
    return datetime.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).timestamp()


_Suits = Callable[[str, str], object]
_Make = Callable[[str, str, float], Sample]
_FORMATS: tuple[tuple[_Suits, _Make], ...] = (
    (lambda head, _: re.match(r'#\[|"StartTimestamp"|Tag=|[\d.]+,[\d.]+,[\d.]+,HIST', head), _hdr_log),
    (lambda head, _: head.startswith("response-time,"), _hey_csv),
    (lambda head, _: re.match(r'\{.*"latency"', head.partition("\n")[0]), _vegeta_json),
    (lambda head, _: re.match(r"\d{16,},\d{1,3},\d+,", head), _vegeta_csv),
    (lambda _, text: re.search(r"Value\s+Percentile\s+TotalCount", text), _hgrm),
    (lambda _, text: len(_HEY_BAR.findall(text)) >= 2, _hey_report),
)
