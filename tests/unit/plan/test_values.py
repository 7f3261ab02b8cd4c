"""Values of flags: what is taken, as what, and what is refused with which words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.plan import values

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("0", 0),
        ("10s", 10 * S),
        ("3m", 180 * S),
        ("1h30m", 5400 * S),
        ("500ms", S // 2),
        ("1.5s", 3 * S // 2),
        (".5s", S // 2),
        ("1.s", S),
        ("2us", 2000),
        ("2µs", 2000),
        ("7ns", 7),
        ("1m0.000000001s", 60 * S + 1),
        ("1ms1m", 60 * S + 1_000_000),
    ],
)
def test_durations_are_those_of_go(text: str, value_ns: int) -> None:
    assert values.duration(text) == value_ns


@pytest.mark.parametrize(
    "text", ["", "10", "s", ".s", "10x", "-1s", "1 s", "1e3s", "1s2", "10S", "1sm", "\u0661s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration like 500ms"):
        values.duration(text)


def test_a_duration_without_unit_suggests_seconds() -> None:
    with pytest.raises(ValueError, match="for seconds write 10s"):
        values.duration("10")


def test_a_duration_beyond_64_bits() -> None:
    with pytest.raises(ValueError, match="too large"):
        values.duration("9999999h")


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [("20", 20 * S), ("0", 0), ("0.5", S // 2), (".5", S // 2), ("500ms", S // 2), ("2m", 120 * S)],
)
def test_a_timeout_is_in_seconds_or_a_duration(text: str, value_ns: int) -> None:
    assert values.seconds(text) == value_ns


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("Accept: text/html", ("Accept", "text/html")),
        ("X:1", ("X", "1")),
        ("X:", ("X", "")),
        ("X-Y: a: b \t", ("X-Y", "a: b")),
        ("X: grün", ("X", "grün")),
        ("!#$%&'*+.^_`|~9z: a\tb", ("!#$%&'*+.^_`|~9z", "a\tb")),
    ],
)
def test_headers(text: str, pair: tuple[str, str]) -> None:
    assert values.header(text) == pair


@pytest.mark.parametrize(
    ("convert", "text", "words"),
    [
        (values.header, "Accept text/html", "has no colon"),
        (values.header, "", "has no colon"),
        (values.header, ": x", "'' is not a header name"),
        (values.header, "a b: x", "'a b' is not a header name"),
        (values.header, "X : x", "'X ' is not a header name"),
        (values.header, "X: a\r\nY: b", "line break"),
        (values.header, "X: a\nb", "line break"),
        (values.header, "X: a\0b", "control character"),
        (values.header, "X: \udcff", "not UTF-8"),
        (values.header, "Content-Length: 5", "can't be set"),
        (values.header, "transfer-encoding: chunked", "can't be set"),
        (values.method, "", "not a request method"),
        (values.method, "GE T", "not a request method"),
        (values.method, "GET\r\n", "not a request method"),
        (values.method, "connect", "tunnel"),
        (values.credentials, "me", "user:password"),
        (values.credentials, "me:\n", "control"),
        (values.host_header, "a b", "not a host"),
        (values.host_header, "http://a/", "not a host"),
        (values.host_header, "a\r\nX: y", "line break"),
        (values.count, "0", "the least is 1"),
        (values.count, "-5", "the least is 1"),
        (values.count, "1.5", "not a whole number"),
        (values.count, "", "not a whole number"),
        (values.count, "9223372036854775808", "the most is 9223372036854775807"),
        (values.small_count, "2147483648", "the most is 2147483647"),
        (values.rate, "fast", "not a number"),
        (values.rate, "-1", "0 .no limit. or more"),
        (values.rate, "nan", "finite"),
        (values.rate, "inf", "finite"),
        (values.io_backend, "kqueue", "auto, io_uring and epoll"),
    ],
)
def test_what_is_refused(convert: Callable[[str], Any], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convert(text)


def test_methods_are_in_upper_case() -> None:
    assert values.method("purge") == "PURGE"


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("127.0.0.1", ("127.0.0.1",)),
        ("127.0.0.2-127.0.0.4", ("127.0.0.2", "127.0.0.3", "127.0.0.4")),
        ("10.0.0.5, 10.0.0.9 ,10.0.0.5", ("10.0.0.5", "10.0.0.9")),
        ("::1,fe80::1-fe80::2", ("::1", "fe80::1", "fe80::2")),
    ],
)
def test_sources(text: str, addresses: tuple[str, ...]) -> None:
    assert values.sources(text) == addresses


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not an address"),
        ("eth0", "'eth0' is not an address"),
        ("10.0.0.9-10.0.0.1", "lower address to a higher"),
        ("10.0.0.1-::1", "lower address to a higher"),
        ("10.0.0.0-10.1.0.0", "more than 4096 addresses"),
    ],
)
def test_what_are_no_sources(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        values.sources(text)
