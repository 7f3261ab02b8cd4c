"""Times with three significant digits and a unit."""

from __future__ import annotations

import pytest

from heyfleet.results.units import format_time


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0 s"),
        (7, "7 ns"),
        (999.4, "999 ns"),
        (999.6, "1 \u00b5s"),
        (5_412, "5.41 \u00b5s"),
        (54_160, "54.2 \u00b5s"),
        (66_000_000, "66 ms"),
        (999_600_000, "1 s"),
        (1_234_567_890, "1.23 s"),
        (12_345_678_900, "12.3 s"),
        (3_700_000_000_000, "3700 s"),
    ],
)
def test_times(nanoseconds: float, text: str) -> None:
    assert format_time(nanoseconds) == text
