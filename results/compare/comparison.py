"""Two samples compared: the numbers, and the words for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from heyfleet.errors import InputError
from heyfleet.results.compare import statistics as st
from heyfleet.results.compare.sample import Sample

PERCENTS = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
_SEED = 1  # the same files, the same words
_NARROW = 0.05  # differences up to that, and no more, are called none
_WIDE = 0.01  # marks that are further apart than that are shown both
_NO_BOUND = "no bound"
RATE, ERRORS = "rate", "errors"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of both, and how it differs: as a share of the one before, or in shares of all requests for the errors."""

    name: str
    before: st.Estimate | None
    after: st.Estimate | None
    least: float = 0.0  # what the marks allow
    most: float = 0.0
    low: float = 0.0  # where the difference lies, with 95 % confidence
    high: float = 0.0

    @property
    def known(self) -> bool:
        """Whether both have it."""
        return self.before is not None and self.after is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of two samples."""

    before: Sample
    after: Sample
    rows: tuple[Row, ...]

    @property
    def way(self) -> str:
        """How the intervals were made, and what they rely on."""
        ways = [st.way_of(self.before), st.way_of(self.after)]
        return ways[0] if ways[0] == ways[1] else f"{ways[0]} (before), {ways[1]} (after)"


def compare(before: Sample, after: Sample) -> Comparison:
    """All rows that one of the two supports."""
    rng = np.random.default_rng(_SEED)
    wanted = [percent for percent in PERCENTS if _supported(before, percent) or _supported(after, percent)]
    sides = []
    for sample in (before, after):
        own = [percent for percent in wanted if _supported(sample, percent)]
        found = st.percentiles(sample, [percent / 100 for percent in own], rng)
        sides.append(dict(zip(own, found, strict=True)))
    rows = [_row(f"p{percent:g}", sides[0].get(percent), sides[1].get(percent)) for percent in wanted]
    rows.append(_row(RATE, st.rate(before, rng), st.rate(after, rng)))
    rows.append(_row(ERRORS, st.error_share(before, rng), st.error_share(after, rng)))
    return Comparison(before, after, tuple(rows))


def _supported(sample: Sample, percent: float) -> bool:
    """As in reports: a value on the far side for each percentile."""
    return sample.count * min(percent, 100 - percent) >= 100 - 1e-6


def _row(name: str, before: st.Estimate | None, after: st.Estimate | None) -> Row:
    if before is None or after is None:
        return Row(name, before, after)
    return Row(name, before, after, *(st.difference if name == ERRORS else st.ratio)(before, after))


def verdict(comparison: Comparison) -> str:
    """One sentence: p99, or the highest percentile that both have, then the rate, then the errors."""
    rows = {row.name: row for row in comparison.rows if row.known}
    chosen = next((rows[name] for name in ("p99", "p95", "p90", "p75", "p50") if name in rows), None)
    parts = [in_words(row) for row in (chosen, rows.get(RATE), rows.get(ERRORS)) if row is not None]
    return ", ".join(part for part in parts if part) or "nothing that both have can be compared"


def in_words(row: Row) -> str:
    """How it differs; "" for errors where there are none."""
    if row.name == ERRORS:
        return _errors_in_words(row)
    exact = row.low == row.high
    if row.low > 0:
        return f"{row.name} rose by {_span(row.low, row.high, exact)}"
    if row.high < 0:
        return f"{row.name} fell by {_span(-row.high, -row.low, exact)}"
    if exact:
        return f"{row.name} unchanged"
    told = "unchanged within" if max(-row.low, row.high) <= _NARROW else "not told apart:"
    return f"{row.name} {told} {_percent(row.low)} to {_percent(row.high)} (95 %)"


def _errors_in_words(row: Row) -> str:
    if row.before is None or row.after is None or row.before.high == row.after.high == 0:
        return ""
    if row.low <= 0 <= row.high:
        return "errors not told apart"
    how = "more" if row.low > 0 else "fewer"
    return f"{how} errors: {_points(row.low)} to {_points(row.high)} (95 %)"


def _span(least: float, most: float, exact: bool) -> str:
    if exact:
        return f"{least:.0%} (no interval is known)"
    ends = dict.fromkeys((_share(least), _share(most)))  # one, where both are written alike
    return f"{' to '.join(ends)} (95 %)"


def _share(value: float) -> str:
    if value == float("inf"):
        return _NO_BOUND
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _percent(value: float) -> str:
    if value == float("inf"):
        return _NO_BOUND
    return f"{value:+.1%}" if abs(value) < 0.1 else f"{value:+.0%}"


def _points(value: float) -> str:
    return f"{value * 100:+.2f} points"


def value_text(estimate: st.Estimate | None, name: str) -> str:
    """A number, or both marks that it lies between."""
    return "-" if estimate is None else marks_text(estimate.low, estimate.high, name)


def marks_text(low: float, high: float, name: str) -> str:
    """The same, of a value that there is."""
    if name == RATE:
        return f"{low:.2f}/s"
    if name == ERRORS:
        return f"{low:.3%}"
    if high > low * (1 + _WIDE):
        return f"{low / 1e9:.4f} .. {high / 1e9:.4f}"
    return f"{high / 1e9:.4f}"


def difference_text(row: Row) -> str:
    """The difference as the marks allow it, and its interval."""
    if not row.known:
        return "-"
    if row.name == ERRORS:
        return f"{_points(row.most)}  [{_points(row.low)}, {_points(row.high)}]"
    middle = (
        _percent(row.most)
        if row.most - row.least < _WIDE
        else f"{_percent(row.least)} .. {_percent(row.most)}"
    )
    if row.low == row.high:
        return middle
    return f"{middle}  [{_percent(row.low)}, {_percent(row.high)}]"


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition of --fail-if: a number that has changed by more than a share."""

    text: str
    name: str
    share: float

    def fails(self, row: Row) -> bool | None:
        """Whether that is sure; None where the interval has both."""
        if self.share >= 0:
            return True if row.low > self.share else False if row.high <= self.share else None
        return True if row.high < self.share else False if row.low >= self.share else None


_LIMIT = re.compile(r"(p\d+(?:\.\d+)?|rate|errors)\s*([+-]\d+(?:\.\d+)?)\s*%")


def read_limit(text: str) -> Limit:
    """`p99 +10%`, `rate -5%`, `errors +1%` (points of all requests). InputError."""
    found = _LIMIT.fullmatch(text.strip())
    known = [f"p{percent:g}" for percent in PERCENTS]
    if not found or (found[1][0] == "p" and found[1] not in known):
        raise InputError(
            f"--fail-if {text!r}: it is like 'p99 +10%', 'rate -5%' or 'errors +1%', of {', '.join(known)}, rate, errors"
        )
    return Limit(text.strip(), found[1], float(found[2]) / 100)
