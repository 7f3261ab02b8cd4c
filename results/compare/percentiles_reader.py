"""Percentiles of HdrHistogram (hgrm) and the report of wrk2, which contains them, as samples."""

from __future__ import annotations

import re

from heyfleet.documents import parse_integer
from heyfleet.results.compare.sample import FileOptions, Sample, binned_sample

_NUMERIC_LINE = re.compile(r"^[ \t]*[-+.]?\d.*$", re.MULTILINE)
_FOOTER = re.compile(r"^[ \t]*#", re.MULTILINE)
_HEADER = re.compile(r"^[ \t]*Value[ \t]+Percentile[ \t]+TotalCount", re.MULTILINE)
_ROW = re.compile(
    r"^[ \t]*(\d[\d.]*)[ \t]+([01]\.\d+)[ \t]+(\d+)(?:[ \t]+(?:[\d.]+|inf|Infinity))?[ \t]*$", re.MULTILINE
)
# What wrk2 prints. Its histogram may lack the requests of its calibration, which its totals have.
_WRK2_SPECTRUM = re.compile(
    r"^[ \t]*Latency Distribution \(HdrHistogram - (Recorded|Uncorrected)", re.MULTILINE
)
_WRK2_TITLE = "Detailed Percentile spectrum"
_WRK2_RATE = re.compile(r"^Requests/sec:[ \t]*([\d.]+)", re.MULTILINE)
_WRK2_TOTAL = re.compile(r"^[ \t]*(\d+) requests in ", re.MULTILINE)
_WRK2_ERRORS = re.compile(
    r"^[ \t]*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", re.MULTILINE
)
_WRK2_STATUSES = re.compile(r"^[ \t]*Non-2xx or 3xx responses: (\d+)", re.MULTILINE)
_MS_IN_NS = 1e6


def has_percentiles(text: str) -> bool:
    """Return whether a text has a table of percentiles."""
    return bool(_HEADER.search(text))


def read_percentiles(name: str, text: str, options: FileOptions) -> Sample:
    """Return percentiles as a sample; between two rows, latencies are only known to lie there. Raises ValueError."""
    spectra = _WRK2_SPECTRUM.findall(text)
    is_wrk2 = bool(spectra) or _WRK2_TITLE in text
    table, note = _choose_table(text, spectra)
    if options.unit_ns is None and not is_wrk2:
        note = ", taken to be in ms (see --unit)"
    unit_ns = _MS_IN_NS if is_wrk2 or options.unit_ns is None else options.unit_ns
    source = "wrk2's percentiles" if is_wrk2 else "percentiles (hgrm)"
    sample = binned_sample(name, f"{source}{note}", *_read_rows(table, unit_ns))
    if is_wrk2:
        _add_totals(sample, text)
    return sample


def _choose_table(text: str, spectra: list[str]) -> tuple[str, str]:
    """Return the rows to read, and a note. Of the two tables of wrk2 -U, it is the one with waiting time (Recorded)."""
    begins = [match.end() for match in _HEADER.finditer(text)]
    if len(begins) == 1:
        return text[begins[0] :], ""
    if len(spectra) != len(begins) or spectra.count("Recorded") != 1:
        raise ValueError(f"it has {len(begins)} tables of percentiles; keep one of them")
    index = spectra.index("Recorded")
    end = begins[index + 1] if index + 1 < len(begins) else len(text)
    return text[begins[index] : end], ", the recorded ones, not the uncorrected"


def _read_rows(table: str, unit_ns: float) -> tuple[list[float], list[float], list[int]]:
    """Return the lowest and highest values between two rows in ns, and how many latencies lie there."""
    low_ns: list[float] = []
    high_ns: list[float] = []
    counts: list[int] = []
    previous_value, previous_total = 0.0, 0
    rows = _FOOTER.split(table, maxsplit=1)[0].partition("\n")[2]  # behind what is left of the header
    for line in _NUMERIC_LINE.findall(rows):
        row = _ROW.fullmatch(line)
        if row is None:
            raise ValueError(f"{line.strip()[:80]!r} is not a row of percentiles: VALUE PERCENTILE COUNT")
        value, total = float(row[1]), parse_integer(row[3])
        if value < previous_value or total < previous_total:
            raise ValueError(
                f"its rows must ascend: {value} with {total} follows {previous_value} with {previous_total}"
            )
        if total > previous_total:
            low_ns.append((previous_value if counts else value) * unit_ns)
            high_ns.append(value * unit_ns)
            counts.append(total - previous_total)
        previous_value, previous_total = value, total
    return low_ns, high_ns, counts


def _add_totals(sample: Sample, text: str) -> None:
    """Add the requests, the rate and the errors that wrk2 prints below its percentiles."""
    if errors := _WRK2_ERRORS.search(text):
        sample.errors = sum(map(parse_integer, errors.groups()))
    if statuses := _WRK2_STATUSES.search(text):
        sample.source += f", {statuses[1]} responses not 2xx or 3xx"
    total, rate = _WRK2_TOTAL.search(text), _WRK2_RATE.search(text)
    responses = parse_integer(total[1]) if total else sample.requests
    if rate and float(rate[1]):
        sample.seconds = responses / float(rate[1])
    sample.requests = responses + sample.errors
