"""Parsers of the lab's parameter values. Each takes the text of one value and raises ValueError with one line."""

from __future__ import annotations

import re
from collections.abc import Callable

from heyfleet.durations import parse_count, parse_duration_ns, parse_size_bytes

_MAX_SIZE_BYTES = 64 * 1024 * 1024


def parse_seconds(text: str) -> float:
    """Return the seconds of a duration such as 100us, 20ms or 1.5s."""
    return parse_duration_ns(text) / 1e9


def parse_size(text: str) -> int:
    """Return the bytes of a size such as 1024, 16KiB or 1MiB; at most 64 MiB."""
    return parse_size_bytes(text, maximum=_MAX_SIZE_BYTES)


def parse_share(text: str) -> float:
    """Return a share such as 1% or 0.5 as a number from 0 to 1."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not a share such as 1% or 0.5")
    return value


def parse_tail(text: str) -> tuple[float, float]:
    """Return SHARE/DURATION, such as 1%/200ms, as a number from 0 to 1 and seconds."""
    share, _, duration = text.partition("/")
    return parse_share(share), parse_seconds(duration)


def parse_stall(text: str) -> tuple[float, float]:
    """Return LENGTH/PERIOD, such as 1s/10s, in seconds; the length must be shorter than the period."""
    length, _, period = text.partition("/")
    try:
        length_s, period_s = parse_seconds(length), parse_seconds(period)
    except ValueError:
        length_s = period_s = 0.0
    if not 0 < length_s < period_s:
        raise ValueError(f"{text!r} is not LENGTH/PERIOD such as 1s/10s")
    return length_s, period_s


def parse_range(text: str) -> tuple[float, float]:
    """Return MIN-MAX in seconds, such as 0.3-0.5, or one value for both."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)(?:-([0-9]{1,6}(?:\.[0-9]+)?))?", text)
    if match is None:
        raise ValueError(f"{text!r} is not MIN-MAX in seconds, such as 0.3-0.5")
    low, high = float(match[1]), float(match[2] or match[1])
    if low > high:
        raise ValueError(f"{text!r} is not a range: its minimum is above its maximum")
    return low, high


def number_parser(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within limits."""
    return lambda text: parse_count(text, minimum, maximum)


def numbers_parser(minimum: int, maximum: int) -> Callable[[str], tuple[int, ...]]:
    """Return a parser of a comma-separated list of whole numbers within limits."""
    parse = number_parser(minimum, maximum)
    return lambda text: tuple(parse(part) for part in text.split(","))
