"""Values of the lab's parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from heyfleet.lab import units


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (units.parse_seconds, "0", 0.0),
        (units.parse_seconds, "100us", 1e-4),
        (units.parse_seconds, "20ms", 0.02),
        (units.parse_seconds, "1.5s", 1.5),
        (units.parse_seconds, "2m", 120.0),
        (units.parse_size, "0", 0),
        (units.parse_size, "1024", 1024),
        (units.parse_size, "16KiB", 16384),
        (units.parse_size, "64MiB", 1 << 26),
        (units.parse_share, "1%", 0.01),
        (units.parse_share, "0.5", 0.5),
        (units.parse_share, "100%", 1.0),
        (units.parse_tail, "1%/200ms", (0.01, 0.2)),
        (units.parse_stall, "1s/10s", (1.0, 10.0)),
        (units.parse_range, "0.3-0.5", (0.3, 0.5)),
        (units.parse_range, "2", (2.0, 2.0)),
        (units.parse_seconds, "1m30s", 90.0),
        (units.number_parser(1, 10**6), "10k", 10_000),
        (units.number_parser(3, 5), "5", 5),
        (units.numbers_parser(1, 9), "1,3,7", (1, 3, 7)),
    ],
)
def test_values(parse: Callable[[str], object], text: str, value: object) -> None:
    assert parse(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        *((units.parse_seconds, text) for text in ("", "20", "ms", "-1s", "1 s", "1e3s", "20MS", "٣ms")),
        *((units.parse_size, text) for text in ("", "-1", "1.5", "1kb", "65MiB", "67108865", "²")),
        *((units.parse_share, text) for text in ("", "101%", "1.1", "-1%", "%", "one")),
        *((units.parse_tail, text) for text in ("", "1%", "200ms", "1%/", "200ms/1%")),
        *((units.parse_stall, text) for text in ("", "1s", "10s/1s", "1s/1s", "0/1s", "1s/2s/3s")),
        *((units.number_parser(3, 5), text) for text in ("", "2", "6", "3.1", "x", "1" * 5000)),
        *((units.parse_range, text) for text in ("", "1-", "-1", "0.5-0.3", "1s-2s")),
        *((units.numbers_parser(1, 9), text) for text in ("", "1,", ",1", "1,10", "1;2")),
    ],
)
def test_invalid_values(parse: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"is not |is too "):
        parse(text)
