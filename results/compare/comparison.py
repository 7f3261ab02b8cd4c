"""Two samples compared: the numbers, their wording, and limits on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from heyfleet.errors import InputError
from heyfleet.results.compare import statistics
from heyfleet.results.compare.sample import Sample
from heyfleet.results.compare.statistics import Estimate
from heyfleet.results.distribution import minimum_sample
from heyfleet.results.units import format_time

PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
RATE, ERRORS = "rate", "errors"
_SEED = 1  # the same files give the same result
_NARROW = 0.05  # an interval within this on both sides of 0 is called unchanged
_WIDE = 0.01  # marks further apart than this are both shown
_INFINITE = "unlimited"


@dataclass(frozen=True, slots=True)
class Row:
    """One number of both samples, and how it differs: relative to before, or for errors in shares of all requests."""

    name: str
    before: Estimate | None
    after: Estimate | None
    least: float = 0.0  # the difference that the marks allow
    most: float = 0.0
    low: float = 0.0  # the 95 % confidence interval of the difference
    high: float = 0.0

    @property
    def comparable(self) -> bool:
        """Whether both samples have it."""
        return self.before is not None and self.after is not None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two samples and their differences."""

    before: Sample
    after: Sample
    rows: tuple[Row, ...]

    @property
    def method(self) -> str:
        """How the confidence intervals were computed."""
        methods = [statistics.method_of(self.before), statistics.method_of(self.after)]
        return methods[0] if methods[0] == methods[1] else f"{methods[0]} (before), {methods[1]} (after)"


def compare(before: Sample, after: Sample) -> Comparison:
    """Compare all percentiles that one of the samples supports, the rate and the errors."""
    rng = np.random.default_rng(_SEED)
    percents = [
        percent for percent in PERCENTILES if max(before.count, after.count) >= minimum_sample(percent)
    ]
    sides = []
    for sample in (before, after):
        supported = [percent for percent in percents if sample.count >= minimum_sample(percent)]
        quantiles = [percent / 100 for percent in supported]
        estimates = statistics.estimate_quantiles(sample, quantiles, rng)
        sides.append(dict(zip(supported, estimates, strict=True)))
    rows = [_row(f"p{percent:g}", sides[0].get(percent), sides[1].get(percent)) for percent in percents]
    rows.append(_row(RATE, statistics.estimate_rate(before, rng), statistics.estimate_rate(after, rng)))
    errors = statistics.estimate_error_share(before, rng), statistics.estimate_error_share(after, rng)
    rows.append(_row(ERRORS, *errors))
    return Comparison(before, after, tuple(rows))


def _row(name: str, before: Estimate | None, after: Estimate | None) -> Row:
    if before is None or after is None:
        return Row(name, before, after)
    return Row(
        name,
        before,
        after,
        *(statistics.difference if name == ERRORS else statistics.ratio)(before, after),
    )


def verdict(comparison: Comparison) -> str:
    """Return one sentence on p99, or the highest percentile that both have, the rate and the errors."""
    rows = {row.name: row for row in comparison.rows if row.comparable}
    percentile = next((rows[name] for name in ("p99", "p95", "p90", "p75", "p50") if name in rows), None)
    parts = [describe(row) for row in (percentile, rows.get(RATE), rows.get(ERRORS)) if row is not None]
    return ", ".join(part for part in parts if part) or "the two have no number in common"


def describe(row: Row) -> str:
    """Return in words how a number differs; "" for errors if there are none."""
    if row.name == ERRORS:
        return _describe_errors(row)
    exact = row.low == row.high
    if row.low > 0:
        return f"{row.name} rose by {_range(row.low, row.high, exact)}"
    if row.high < 0:
        return f"{row.name} fell by {_range(-row.high, -row.low, exact)}"
    if exact:
        return f"{row.name} unchanged"
    result = "unchanged within" if max(-row.low, row.high) <= _NARROW else "inconclusive:"
    return f"{row.name} {result} {_signed_percent(row.low)} to {_signed_percent(row.high)} (95 %)"


def _describe_errors(row: Row) -> str:
    if row.before is None or row.after is None or row.before.high == row.after.high == 0:
        return ""
    if row.low <= 0 <= row.high:
        return "errors inconclusive"
    change = "more" if row.low > 0 else "fewer"
    return f"{change} errors: {_points(row.low)} to {_points(row.high)} (95 %)"


def _range(least: float, most: float, exact: bool) -> str:
    if exact:
        return f"{least:.0%} (its variation is not known)"
    ends = dict.fromkeys((_percent(least), _percent(most)))  # one, if both have the same text
    return f"{' to '.join(ends)} (95 %)"


def _percent(value: float) -> str:
    if value == float("inf"):
        return _INFINITE
    return f"{value:.1%}" if value < 0.1 else f"{value:.0%}"


def _signed_percent(value: float) -> str:
    if value == float("inf"):
        return _INFINITE
    return f"{value:+.1%}" if abs(value) < 0.1 else f"{value:+.0%}"


def _points(value: float) -> str:
    return f"{value * 100:+.2f} points"


def estimate_text(estimate: Estimate | None, name: str) -> str:
    """Return a value, or both marks that it lies between."""
    return "-" if estimate is None else value_text(estimate.low, estimate.high, name)


def value_text(low: float, high: float, name: str) -> str:
    """Return a value between two marks, with the unit of its row."""
    if name == RATE:
        return f"{low:.2f}/s"
    if name == ERRORS:
        return f"{low:.3%}"
    if high > low * (1 + _WIDE):
        return f"{format_time(low)} .. {format_time(high)}"
    return format_time(high)


def difference_text(row: Row) -> str:
    """Return the difference that the marks allow, and its confidence interval."""
    if not row.comparable:
        return "-"
    if row.name == ERRORS:
        return f"{_points(row.most)}  [{_points(row.low)}, {_points(row.high)}]"
    middle = (
        _signed_percent(row.most)
        if row.most - row.least < _WIDE
        else f"{_signed_percent(row.least)} .. {_signed_percent(row.most)}"
    )
    if row.low == row.high:
        return middle
    return f"{middle}  [{_signed_percent(row.low)}, {_signed_percent(row.high)}]"


@dataclass(frozen=True, slots=True)
class Limit:
    """A condition of --fail-if: a number that has changed by more than a share."""

    text: str
    name: str
    share: float

    def is_exceeded(self, row: Row) -> bool | None:
        """Return whether the number has certainly changed by more; None if that is inconclusive."""
        if self.share >= 0:
            return True if row.low > self.share else False if row.high <= self.share else None
        return True if row.high < self.share else False if row.low >= self.share else None


_LIMIT = re.compile(r"(p\d+(?:\.\d+)?|rate|errors)\s*([+-]\d+(?:\.\d+)?)\s*%")


def parse_limit(text: str) -> Limit:
    """Parse `p99 +10%`, `rate -5%` or `errors +1%` (points of all requests); InputError if it is none of these."""
    match = _LIMIT.fullmatch(text.strip())
    names = [f"p{percent:g}" for percent in PERCENTILES]
    if not match or (match[1][0] == "p" and match[1] not in names):
        raise InputError(
            f"--fail-if {text!r}: not a limit like 'p99 +10%', 'rate -5%' or 'errors +1%'",
            f"use one of {', '.join(names)}, rate and errors",
        )
    return Limit(text.strip(), match[1], float(match[2]) / 100)
