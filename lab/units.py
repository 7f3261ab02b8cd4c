"""Parameter values of the practice targets: `20ms`, `16KiB`, `1%`, `1,3,7`. Each reader raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable

from heyfleet.durations import parse_duration_ns, parse_size_bytes

_SIZE_AT_MOST = 64 * 1024 * 1024


def seconds(text: str) -> float:
    """Return the seconds of a duration such as `100us`, `20ms`, `1.5s`, `2m` or a bare `0`."""
    return parse_duration_ns(text) / 1e9


def size_bytes(text: str) -> int:
    """Return the bytes of a size such as `1024`, `16KiB` or `1MiB`, up to 64 MiB."""
    return parse_size_bytes(text, _SIZE_AT_MOST)


def share(text: str) -> float:
    """Return a share such as `1%` or `0.5`, from 0 to 1."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError("not a share such as 1% or 0.5")
    return value


def tail(text: str) -> tuple[float, float]:
    """Return the share (0 to 1) and the seconds of `SHARE/DURATION`, such as `1%/200ms`."""
    part, _, duration = text.partition("/")
    return share(part), seconds(duration)


def stall(text: str) -> tuple[float, float]:
    """Return the seconds of `LENGTH/PERIOD`, such as `1s/10s`; the length is the shorter one."""
    length, period = (seconds(part) for part in (text if "/" in text else "/").split("/", 1))
    if not 0 < length < period:
        raise ValueError("not LENGTH/PERIOD such as 1s/10s")
    return length, period


def span(text: str) -> tuple[float, float]:
    """Return the range `LEAST-MOST` in seconds, such as `0.3-0.5`; one value stands for both."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)(?:-([0-9]{1,6}(?:\.[0-9]+)?))?", text)
    if match is None:
        raise ValueError("not LEAST-MOST in seconds, such as 0.3-0.5")
    least, most = float(match[1]), float(match[2] or match[1])
    if least > most:
        raise ValueError("the least is above the most")
    return least, most


def number(least: int, most: int) -> Callable[[str], int]:
    """Make a reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"not a number from {least} to {most}")
        return int(text)

    return read


def numbers(least: int, most: int) -> Callable[[str], tuple[int, ...]]:
    """Make a reader of such numbers, separated by commas."""
    one = number(least, most)
    return lambda text: tuple(one(part) for part in text.split(","))
