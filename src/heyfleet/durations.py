"""The one grammar of durations, rates, sizes and counts, for flags, plan files, fleet files, the REST API and the lab.

    duration  500ms, 10s, 1h30m, 1.5s        number and unit, several in a row, as Go writes them
    rate      5000, 5k/s, 300/m, 1.5M/s      requests a second, or a minute or hour
    count     200, 10k, 1.5M                 a whole number
    size      512, 16KiB, 1MiB, 5MB          bytes; KiB counts in 1024s, kB in 1000s

Each function takes the text of one value and raises ValueError with one line that quotes the text and shows the grammar.
"""

from __future__ import annotations

import re
from fractions import Fraction

_NS_PER_UNIT = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,  # the micro sign
    "\u03bcs": 1_000,  # the Greek letter; Go accepts both
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_NUMBER = r"\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}"
_DURATION_PART = re.compile(rf"({_NUMBER})({'|'.join(_NS_PER_UNIT)})(?![a-z])", re.ASCII)
_PLAIN_NUMBER = re.compile(_NUMBER, re.ASCII)
_RATE = re.compile(rf"({_NUMBER})([kKM]?)(?:/(s|m|h))?", re.ASCII)
_COUNT = re.compile(rf"([+-]?)({_NUMBER})([kKM]?)", re.ASCII)
_SIZE = re.compile(rf"({_NUMBER})\s?((?:[kKMG]i?)?)B?", re.ASCII)
_MULTIPLES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
_SECONDS_PER_UNIT = {None: 1, "s": 1, "m": 60, "h": 3600}
_KIB, _KB = 1024, 1000
_BYTES_PER_UNIT = {
    "": 1,
    "k": _KB,
    "K": _KB,
    "M": _KB**2,
    "G": _KB**3,
    "ki": _KIB,
    "Ki": _KIB,
    "Mi": _KIB**2,
    "Gi": _KIB**3,
}
_INT64_MAX = 2**63 - 1
# Two of them and the clock of a host that never restarts still fit a signed integer of 64 bits.
MAX_DURATION_NS = 876_000 * _NS_PER_UNIT["h"]
MAX_RATE_PER_S = 1e9
MIN_RATE_PER_S = 1e-9  # a lower one sends its first request after decades


def parse_duration_ns(text: str) -> int:
    """Return the nanoseconds of a duration such as 500ms, 10s or 1h30m, of at most 100 years; 0 needs no unit."""
    text = text.strip()
    if text == "0":
        return 0
    total_ns = Fraction(0)
    position = 0
    while part := _DURATION_PART.match(text, position):
        total_ns += Fraction(part[1].rstrip(".")) * _NS_PER_UNIT[part[2]]
        position = part.end()
    if not text or position < len(text):
        hint = f"; for seconds write {text}s" if _PLAIN_NUMBER.fullmatch(text) else ""
        raise ValueError(f"{text!r} is not a duration like 500ms, 10s, 3m or 1h30m{hint}")
    if total_ns > MAX_DURATION_NS:
        raise ValueError(f"{text} is too large; the maximum is {format_duration(MAX_DURATION_NS)}")
    return int(total_ns)


def parse_seconds_ns(text: str) -> int:
    """Return the nanoseconds of plain seconds, as hey's -t takes them, or of a duration."""
    text = text.strip()
    return parse_duration_ns(f"{text}s" if _PLAIN_NUMBER.fullmatch(text) else text)


def parse_rate_per_s(text: str) -> float:
    """Return the requests a second of a rate such as 5000, 5k/s, 300/m or 0.5; at most 1000M/s, 0 or at least 1e-9/s."""
    text = text.strip()
    parts = _RATE.fullmatch(text)
    if parts is None:
        raise ValueError(f"{text!r} is not a rate like 5000, 5k/s, 300/m or 0.5/s")
    rate = float(parts[1]) * _MULTIPLES[parts[2]] / _SECONDS_PER_UNIT[parts[3]]
    if rate > MAX_RATE_PER_S:
        raise ValueError(f"{text} is too large; the maximum is 1000M/s")
    if 0 < rate < MIN_RATE_PER_S:
        raise ValueError(f"{text} is too small; the minimum is 0.000000001/s")
    return rate


def parse_count(text: str, minimum: int = 0, maximum: int = _INT64_MAX) -> int:
    """Return the whole number of a count such as 200, 10k or 1.5M."""
    text = text.strip()
    parts = _COUNT.fullmatch(text)
    value = Fraction(parts[2].rstrip(".")) * _MULTIPLES[parts[3]] if parts else Fraction(1, 2)
    if parts is None or value.denominator != 1:
        raise ValueError(f"{text!r} is not a whole number like 200, 10k or 1.5M")
    return check_range(-int(value) if parts[1] == "-" else int(value), text, minimum, maximum)


def parse_size_bytes(text: str, maximum: int = _INT64_MAX) -> int:
    """Return the bytes of a size such as 512, 16KiB, 1MiB or 5MB."""
    text = text.strip()
    parts = _SIZE.fullmatch(text)
    value = Fraction(parts[1].rstrip(".")) * _BYTES_PER_UNIT[parts[2]] if parts else Fraction(1, 2)
    if value.denominator != 1:
        raise ValueError(f"{text!r} is not a size like 512, 16KiB, 1MiB or 5MB")
    return check_range(int(value), text, 0, maximum)


def check_range(value: int, text: str, minimum: int, maximum: int) -> int:
    """Return `value` if it lies within the limits; the error quotes `text`, the value as it was written."""
    if value < minimum:
        raise ValueError(f"{text} is too small; the minimum is {minimum}")
    if value > maximum:
        raise ValueError(f"{text} is too large; the maximum is {maximum}")
    return value


def format_duration(nanoseconds: int) -> str:
    """Return a duration in the grammar above, exact and short: 1h30m, 1.5s, 250ms; 0 is 0s."""
    if nanoseconds == 0:
        return "0s"
    words = []
    for unit in ("h", "m"):
        whole, nanoseconds = divmod(nanoseconds, _NS_PER_UNIT[unit])
        if whole:
            words.append(f"{whole}{unit}")
    for unit in ("s", "ms", "us", "ns"):
        if nanoseconds >= _NS_PER_UNIT[unit]:
            whole, rest = divmod(nanoseconds, _NS_PER_UNIT[unit])
            digits = f"{rest:0{len(str(_NS_PER_UNIT[unit])) - 1}d}".rstrip("0") if rest else ""
            words.append(f"{whole}{'.' if digits else ''}{digits}{unit}")
            break
    return "".join(words)
