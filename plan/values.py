"""Values of flags, from their text. Each function raises ValueError, with one line that people understand."""

from __future__ import annotations

import re

# RFC 9110, 5.6.2
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # Go takes both signs for micro
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
DURATION_PART = re.compile(r"(\d+)?(?:\.(\d*))?(" + "|".join(UNITS_NS) + ")(?![a-z])", re.ASCII)
SOURCES_AT_MOST = 4096
# Headers that the agent writes itself: a second one would contradict the first.
FRAMING_HEADERS = {"content-length", "transfer-encoding"}


def duration(text: str) -> int:
    """Nanoseconds of a Go duration such as 500ms, 10s or 1h30m."""
    if text == "0":
        return 0
    total_ns = position = 0
    while position < len(text):
        part = DURATION_PART.match(text, position)
        if part is None or (not part[1] and not part[2]):
            break
        fraction = part[2] or ""
        unit_ns = UNITS_NS[part[3]]
        total_ns += int(part[1] or 0) * unit_ns + int(fraction or 0) * unit_ns // 10 ** len(fraction)
        position = part.end()
    if not text or position < len(text):
        hint = f"; for seconds write {text}s" if re.fullmatch(r"\d+(\.\d+)?", text, re.ASCII) else ""
        raise ValueError(f"{text!r} is not a duration like 500ms, 10s, 3m or 1h30m{hint}")
    return in_range(total_ns, text, 0, 2**63 - 1)


def seconds(text: str) -> int:
    """Nanoseconds of plain seconds, as hey takes them, or of a Go duration."""
    return duration(f"{text}s" if re.fullmatch(r"\d+\.?\d*|\.\d+", text, re.ASCII) else text)


def count(text: str) -> int:
    """A whole number from 1."""
    return in_range(_whole(text), text, 1, 2**63 - 1)


def small_count(text: str) -> int:
    """A whole number from 1, of things that a host has: connections, threads."""
    return in_range(_whole(text), text, 1, 2**31 - 1)


def rate(text: str) -> float:
    """Requests a second; 0 is no limit."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None
    if not 0 <= value < float("inf"):
        raise ValueError(f"{text} is not a rate; it must be 0 (no limit) or more, and finite")
    return value


RATE = re.compile(r"(\d+\.?\d*|\.\d+)([kKM]?)(?:/(s|m|h))?", re.ASCII)
MULTIPLES = {"": 1, "k": 1_000, "K": 1_000, "M": 1_000_000}
PER_S = {None: 1, "s": 1, "m": 60, "h": 3600}
RATE_AT_MOST = 1e9


def total_rate(text: str) -> float:
    """Requests a second of 5000, 5k/s, 300/m or 1.5M/s."""
    parts = RATE.fullmatch(text.strip())
    if parts is None:
        raise ValueError(f"{text.strip()!r} is not a rate like 5000, 5k/s, 300/m or 0.5/s")
    value = float(parts[1]) * MULTIPLES[parts[2]] / PER_S[parts[3]]
    if value > RATE_AT_MOST:
        raise ValueError(f"{text.strip()} is too large; the most is 1000M/s")
    return value


def positive_rate(text: str) -> float:
    """The same, but not 0."""
    value = total_rate(text)
    if not value:
        raise ValueError(f"{text.strip()} sends nothing; a rate must be above 0")
    return value


def users(text: str) -> float:
    """How many users there are; 0 too."""
    return float(in_range(_whole(text.strip()), text.strip(), 0, 2**31 - 1))


def seed(text: str) -> int:
    """A whole number of 64 bits."""
    return in_range(_whole(text), text, 0, 2**64 - 1)


def arrivals(text: str) -> bool:
    """Whether arrivals are random."""
    if text not in ("constant", "poisson"):
        raise ValueError(f"{text!r} is not known; there are constant and poisson")
    return text == "poisson"


def header(text: str) -> tuple[str, str]:
    """Name and value of 'Name: value'; the value may be empty (RFC 9110, 5.1 and 5.5)."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"{text!r} has no colon; write it like 'Name: value'")
    if not TOKEN.fullmatch(name):
        raise ValueError(f"{text!r}: {name!r} is not a header name")
    if name.lower() in FRAMING_HEADERS:
        raise ValueError(f"{name} can't be set: it follows from the body (-d, -D)")
    return name, header_value(value)


def header_value(text: str) -> str:
    """A value without outer blanks, that can't end its line."""
    if CONTROL.search(text):
        raise ValueError(f"{text!r} has a line break or control character; a header value can't")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} is not UTF-8") from None
    return text.strip(" \t")


def host_header(text: str) -> str:
    """The value of a Host header; '' is that of the URL."""
    value = header_value(text)
    if re.search(r"[\s/@?#]", value):
        raise ValueError(f"{text!r} is not a host; write a name, or name:port")
    return value


def method(text: str) -> str:
    """A request method, in upper case as hey has it (RFC 9110, 9.1)."""
    if not TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not a request method")
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT asks for a tunnel, not for an answer; it can't be measured here")
    return text.upper()


def credentials(text: str) -> str:
    """user:password, as basic authentication takes them (RFC 7617); '' is none."""
    if text and ":" not in text:
        raise ValueError("no colon; write it like user:password")
    if CONTROL.search(text):
        raise ValueError("a user name or password can't have control characters")
    return text


def _whole(text: str) -> int:
    if not re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def in_range(value: int, text: str, lowest: int, highest: int) -> int:
    """The value, if it lies within; `text` is how it was written."""
    if value < lowest:
        raise ValueError(f"{text} is too small; the least is {lowest}")
    if value > highest:
        raise ValueError(f"{text} is too large; the most is {highest}")
    return value


def io_backend(text: str) -> str:
    """The backend as a plan names it; '' leaves the choice to the agent."""
    if text not in ("auto", "io_uring", "epoll"):
        raise ValueError(f"{text!r} is not known; there are auto, io_uring and epoll")
    return "" if text == "auto" else text


def sources(text: str) -> tuple[str, ...]:
    """Local addresses of a list like 10.0.0.5,127.0.0.2-127.0.0.9."""
    import ipaddress

    found: list[str] = []
    for part in text.split(","):
        first_text, dash, last_text = part.strip().partition("-")
        try:
            first = ipaddress.ip_address(first_text.strip())
            last = ipaddress.ip_address(last_text.strip()) if dash else first
        except ValueError:
            raise ValueError(f"{part!r} is not an address, or a range like 127.0.0.2-127.0.0.9") from None
        count = int(last) - int(first) + 1
        if first.version != last.version or count < 1:
            raise ValueError(f"{part!r} does not go from a lower address to a higher one")
        if len(found) + count > SOURCES_AT_MOST:
            raise ValueError(f"{text!r} has more than {SOURCES_AT_MOST} addresses")
        found += [str(type(first)(int(first) + number)) for number in range(count)]
    return tuple(dict.fromkeys(found))
