from __future__ import annotations

from collections.abc import Callable

import pytest

from heyfleet.lab import units


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.seconds, "0", 0.0),
        (units.seconds, "100us", 1e-4),
        (units.seconds, "20ms", 0.02),
        (units.seconds, "1.5s", 1.5),
        (units.seconds, "2m", 120.0),
        (units.size_bytes, "0", 0),
        (units.size_bytes, "1024", 1024),
        (units.size_bytes, "16KiB", 16384),
        (units.size_bytes, "64MiB", 1 << 26),
        (units.share, "1%", 0.01),
        (units.share, "0.5", 0.5),
        (units.share, "100%", 1.0),
        (units.tail, "1%/200ms", (0.01, 0.2)),
        (units.stall, "1s/10s", (1.0, 10.0)),
        (units.number(3, 5), "5", 5),
        (units.numbers(1, 9), "1,3,7", (1, 3, 7)),
    ],
)
def test_reads(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        *((units.seconds, text) for text in ("", "20", "ms", "-1s", "1 s", "1e3s", "20MS", "٣ms")),
        *((units.size_bytes, text) for text in ("", "-1", "1kb", "65MiB", "67108865", "²")),
        *((units.share, text) for text in ("", "101%", "1.1", "-1%", "%", "one")),
        *((units.tail, text) for text in ("", "1%", "200ms", "1%/", "200ms/1%")),
        *((units.stall, text) for text in ("", "1s", "10s/1s", "1s/1s", "0/1s", "1s/2s/3s")),
        *((units.number(3, 5), text) for text in ("", "2", "6", "3.0", "+4", " 4", "1" * 5000)),
        *((units.numbers(1, 9), text) for text in ("", "1,", ",1", "1,10", "1;2")),
    ],
)
def test_refuses(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValueError, match=r"not |too large"):
        read(text)
