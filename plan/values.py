"""Parsers of option values that are not durations, rates, counts or addresses.

Each function takes the text of one value and raises ValueError with one line that says what is wrong with it.
"""

from __future__ import annotations

import re

from heyfleet.durations import check_range, format_duration, parse_count, parse_duration_ns, parse_rate_per_s
from heyfleet.mask import mask_header, mask_line, mask_text, mask_url
from heyfleet.plan.host_name import to_ascii
from heyfleet.plan.places import check_host_header
from heyfleet.proto.protocol import LEASE_NS_AT_LEAST, LEASE_NS_AT_MOST

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
# The agent writes these itself; a second one would contradict the first.
_FRAMING_HEADERS = frozenset({"content-length", "transfer-encoding"})
MAX_CONNECTIONS = 1_000_000_000  # of a plan; an agent's share is also limited by its host's descriptors
_MAX_LOCAL_AGENTS = 1000
MAX_AGENTS = 10_000
MAX_WORKERS = 4096
MAX_STREAMS = 1_000_000
_MAX_UINT64 = 2**64 - 1


def parse_positive_count(text: str) -> int:
    """Return a whole number of at least 1, such as 200 or 10k."""
    return parse_count(text, 1)


def parse_small_count(text: str) -> int:
    """Return a whole number of at least 1 of things that a host has few of, such as connections or threads."""
    return parse_count(text, 1, MAX_CONNECTIONS)


def parse_agents(text: str) -> int:
    """Return a whole number of at least 1 of agents that one controller can lead."""
    return parse_count(text, 1, MAX_AGENTS)


def parse_workers(text: str) -> int:
    """Return a whole number of at least 1 of threads."""
    return parse_count(text, 1, MAX_WORKERS)


def parse_streams(text: str) -> int:
    """Return a whole number of at least 1 of concurrent requests on an HTTP/2 connection."""
    return parse_count(text, 1, MAX_STREAMS)


def parse_local_agents(text: str) -> int:
    """Return a whole number of at least 1 of processes that one host can start."""
    return parse_count(text, 1, _MAX_LOCAL_AGENTS)


def parse_lease_ns(text: str) -> int:
    """Return the nanoseconds of a lease that agents accept."""
    lease_ns = parse_duration_ns(text)
    if not LEASE_NS_AT_LEAST <= lease_ns <= LEASE_NS_AT_MOST:
        limits = f"{format_duration(LEASE_NS_AT_LEAST)} to {format_duration(LEASE_NS_AT_MOST)}"
        raise ValueError(f"{text!r} is no lease that agents accept, which is {limits}")
    return lease_ns


def parse_users(text: str) -> float:
    """Return a number of users; 0 is allowed."""
    return float(parse_count(text, 0, MAX_CONNECTIONS))


def parse_positive_rate(text: str) -> float:
    """Return the requests a second of a rate above 0."""
    rate = parse_rate_per_s(text)
    if not rate:
        raise ValueError(f"{text.strip()} sends nothing; a rate must be above 0")
    return rate


def parse_seed(text: str) -> int:
    """Return an unsigned integer of 64 bits."""
    if not re.fullmatch(r"[+-]?\d{1,30}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a whole number")
    return check_range(int(text), text, 0, _MAX_UINT64)


def parse_arrivals(text: str) -> bool:
    """Return whether requests arrive at random (poisson) or evenly (constant)."""
    if text not in ("constant", "poisson"):
        raise ValueError(f"{text!r} is unknown; use constant or poisson")
    return text == "poisson"


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of 'Name: value'; the value may be empty (RFC 9110, sections 5.1 and 5.5)."""
    name, colon, value = text.partition(":")
    if not colon:
        raise ValueError(f"{mask_line(text)!r} has no colon; write it like 'Name: value'")
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{mask_line(text)!r}: {mask_line(name)!r} is not a header name")
    if name.lower() in _FRAMING_HEADERS:
        raise ValueError(f"{name} can't be set: it follows from the body (-d, -D)")
    return name, parse_header_value(value, name)


def parse_header_value(text: str, name: str = "") -> str:
    """Return a header value without surrounding blanks; line breaks are refused because they would end the header."""
    if _CONTROL.search(text):
        raise ValueError(
            f"{mask_header(name, text)!r} has a line break or control character; a header value can't"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{mask_header(name, text)!r} is not UTF-8") from None
    return text.strip(" \t")


def parse_host_header(text: str) -> str:
    """Return the value of a Host header; an empty one stands for the URL's host."""
    value = parse_header_value(text)
    try:
        name, colon, port = check_host_header(value).partition(":")
    except ValueError:
        raise ValueError(f"{mask_url(text)!r} is not a host; write a name, or name:port") from None
    return to_ascii(name) + colon + port


def parse_method(text: str) -> str:
    """Return a request method in upper case, as hey sends it (RFC 9110, section 9.1)."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} is not a request method")
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT opens a tunnel instead of answering; heyfleet can't measure it")
    return text.upper()


def parse_request_name(text: str) -> str:
    """Return the name of a request; thresholds write names in brackets, with commas between them."""
    name = text.strip()
    if not name or not name.isprintable() or any(mark in name for mark in "[],"):
        raise ValueError(
            f"{mask_text(text)!r} is not a name; a name has no brackets, commas, line breaks or control characters"
        )
    return name


def parse_credentials(text: str) -> str:
    """Return user:password for basic authentication (RFC 7617); an empty text stands for none."""
    if text and ":" not in text:
        raise ValueError("no colon; write it like user:password")
    if _CONTROL.search(text):
        raise ValueError("a user name or password can't have control characters")
    return text


def parse_output(text: str) -> str:
    """Return the format of the report on standard output; an empty text stands for hey's text report."""
    if text not in ("", "csv", "json"):
        raise ValueError(f"{text!r} is unknown; use csv or json (hey's templates are not supported)")
    return text


def parse_io_backend(text: str) -> str:
    """Return an I/O backend as the plan names it; an empty text leaves the choice to the agent."""
    if text not in ("auto", "io_uring", "epoll"):
        raise ValueError(f"{text!r} is unknown; use auto, io_uring or epoll")
    return "" if text == "auto" else text


def parse_tls_version(text: str) -> str:
    """Return a TLS version, 1.2 or 1.3."""
    if text not in ("1.2", "1.3"):
        raise ValueError(f"{text!r} is unknown; use 1.2 or 1.3")
    return text
