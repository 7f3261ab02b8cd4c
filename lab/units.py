"""Parameter values as people write them: `20ms`, `16KiB`, `1%`, `1,3,7`. Each reader raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_BYTES = {"": 1, "KiB": 1024, "MiB": 1024 * 1024}


def seconds(text: str) -> float:
    """A duration such as `100us`, `20ms`, `1.5s`, `2m` or a bare `0`, in seconds."""
    if text == "0":
        return 0.0
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(us|ms|s|m)", text)
    if match is None:
        raise ValueError("not a duration such as 20ms or 1.5s")
    return float(match[1]) * _SECONDS[match[2]]


def size_bytes(text: str) -> int:
    """A size such as `1024`, `16KiB` or `1MiB`, up to 64 MiB, in bytes."""
    match = re.fullmatch(r"([0-9]{1,9})(KiB|MiB|)", text)
    size = int(match[1]) * _BYTES[match[2]] if match else -1
    if not 0 <= size <= 64 * _BYTES["MiB"]:
        raise ValueError("not a size such as 1024 or 16KiB, at most 64MiB")
    return size


def share(text: str) -> float:
    """A share such as `1%` or `0.5`, from 0 to 1."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)(%?)", text)
    value = float(match[1]) / (100 if match[2] else 1) if match else -1.0
    if not 0 <= value <= 1:
        raise ValueError("not a share such as 1% or 0.5")
    return value


def tail(text: str) -> tuple[float, float]:
    """`SHARE/DURATION` such as `1%/200ms`, as a share from 0 to 1 and seconds."""
    part, _, duration = text.partition("/")
    return share(part), seconds(duration)


def stall(text: str) -> tuple[float, float]:
    """`LENGTH/PERIOD` such as `1s/10s`, in seconds; the length is the shorter."""
    length, period = (seconds(part) for part in (text if "/" in text else "/").split("/", 1))
    if not 0 < length < period:
        raise ValueError("not LENGTH/PERIOD such as 1s/10s")
    return length, period


def span(text: str) -> tuple[float, float]:
    """`LEAST-MOST` in seconds such as `0.3-0.5`, or one value for both."""
    match = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]+)?)(?:-([0-9]{1,6}(?:\.[0-9]+)?))?", text)
    if match is None:
        raise ValueError("not LEAST-MOST in seconds, such as 0.3-0.5")
    least, most = float(match[1]), float(match[2] or match[1])
    if least > most:
        raise ValueError("the least is above the most")
    return least, most


def number(least: int, most: int) -> Callable[[str], int]:
    """A reader of whole numbers from `least` to `most`."""

    def read(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not least <= int(text) <= most:
            raise ValueError(f"not a number from {least} to {most}")
        return int(text)

    return read


def numbers(least: int, most: int) -> Callable[[str], tuple[int, ...]]:
    """A reader of such numbers between commas."""
    one = number(least, most)
    return lambda text: tuple(one(part) for part in text.split(","))
