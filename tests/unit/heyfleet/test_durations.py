"""The grammar of durations, rates, counts and sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.durations import (
    MAX_DURATION_NS,
    format_duration,
    parse_count,
    parse_duration_ns,
    parse_rate_per_s,
    parse_seconds_ns,
    parse_size_bytes,
)

HOUR_NS = 3_600_000_000_000


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration_ns, "500ms", 500_000_000),
        (parse_duration_ns, "1h30m", HOUR_NS * 3 // 2),
        (parse_duration_ns, "1.5h", HOUR_NS * 3 // 2),
        (parse_duration_ns, ".5s", 500_000_000),
        (parse_duration_ns, "5.s", 5_000_000_000),
        (parse_duration_ns, "0", 0),
        (parse_duration_ns, "1\u00b5s", 1000),
        (parse_duration_ns, "1\u03bcs", 1000),
        (parse_duration_ns, "0.1ns", 0),
        (parse_seconds_ns, "20", 20_000_000_000),
        (parse_seconds_ns, "0.5", 500_000_000),
        (parse_seconds_ns, "2m", 120_000_000_000),
        (parse_rate_per_s, "5k/s", 5000.0),
        (parse_rate_per_s, "300/m", 5.0),
        (parse_rate_per_s, "0", 0.0),
        (parse_rate_per_s, "1.5M", 1_500_000.0),
        (parse_count, "200", 200),
        (parse_count, "10k", 10_000),
        (parse_count, "1.5M", 1_500_000),
        (parse_count, "+7", 7),
        (parse_size_bytes, "0", 0),
        (parse_size_bytes, "16KiB", 16_384),
        (parse_size_bytes, "1.5MiB", 1_572_864),
        (parse_size_bytes, "5 MB", 5_000_000),
        (parse_size_bytes, "2G", 2_000_000_000),
    ],
)
def test_a_value_is_parsed(parse: Callable[[str], float], text: str, value: float) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "reason"),
    [
        (parse_duration_ns, "", "is not a duration"),
        (parse_duration_ns, "30", "for seconds write 30s"),
        (parse_duration_ns, "1d", "is not a duration"),
        (parse_duration_ns, "-1s", "is not a duration"),
        (parse_duration_ns, "1sx", "is not a duration"),
        (parse_duration_ns, "9999999h", "9999999h is too large; the maximum is 876000h$"),
        (parse_duration_ns, "9223372036854775807ns", "the maximum is 876000h$"),
        (parse_seconds_ns, "9" * 30, "the maximum is 876000h$"),
        (parse_seconds_ns, "soon", "is not a duration"),
        (parse_rate_per_s, "fast", "is not a rate"),
        (parse_rate_per_s, "-1", "is not a rate"),
        (parse_rate_per_s, "1e3", "is not a rate"),
        (parse_rate_per_s, "2000M", "too large"),
        (parse_rate_per_s, "1e300", "is not a rate"),
        (parse_rate_per_s, "0.0000000001", "too small; the minimum is 0.000000001/s"),
        (parse_rate_per_s, "0.000001/h", "too small"),
        (parse_rate_per_s, "5/d", "is not a rate"),
        (parse_count, "1.5", "is not a whole number"),
        (parse_count, "-1", "too small; the minimum is 0"),
        (parse_count, "10G", "is not a whole number"),
        (parse_count, "9" * 30, "too large"),
        (parse_size_bytes, "1.5", "is not a size"),
        (parse_size_bytes, "1KB/s", "is not a size"),
        (parse_size_bytes, "", "is not a size"),
    ],
)
def test_a_bad_value_is_quoted_with_the_grammar(
    parse: Callable[[str], object], text: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text)


@given(st.integers(0, MAX_DURATION_NS))
def test_a_formatted_duration_parses_to_itself(nanoseconds: int) -> None:
    assert parse_duration_ns(format_duration(nanoseconds)) == nanoseconds


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [(0, "0s"), (HOUR_NS * 3 // 2, "1h30m"), (1_500_000_000, "1.5s"), (250_000_000, "250ms"), (1, "1ns")],
)
def test_a_duration_is_formatted_shortly(nanoseconds: int, text: str) -> None:
    assert format_duration(nanoseconds) == text
