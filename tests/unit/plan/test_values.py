"""Parsers of option values: what they accept, what it becomes, and how they refuse the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.plan import values


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
    assert values.parse_header(text) == pair


@pytest.mark.parametrize(
    ("convert", "text", "words"),
    [
        (values.parse_header, "Accept text/html", "has no colon"),
        (values.parse_header, "", "has no colon"),
        (values.parse_header, ": x", "'' is not a header name"),
        (values.parse_header, "a b: x", "'a b' is not a header name"),
        (values.parse_header, "X : x", "'X ' is not a header name"),
        (values.parse_header, "X: a\r\nY: b", "line break"),
        (values.parse_header, "X: a\nb", "line break"),
        (values.parse_header, "X: a\0b", "control character"),
        (values.parse_header, "X: \udcff", "not UTF-8"),
        (values.parse_header, "Content-Length: 5", "can't be set"),
        (values.parse_header, "transfer-encoding: chunked", "can't be set"),
        (values.parse_method, "", "not a request method"),
        (values.parse_method, "GE T", "not a request method"),
        (values.parse_method, "GET\r\n", "not a request method"),
        (values.parse_method, "connect", "tunnel"),
        (values.parse_credentials, "me", "user:password"),
        (values.parse_credentials, "me:\n", "control"),
        (values.parse_host_header, "a b", "not a host"),
        (values.parse_host_header, "http://a/", "not a host"),
        (values.parse_host_header, "a\r\nX: y", "line break"),
        (values.parse_positive_count, "0", "the minimum is 1"),
        (values.parse_positive_count, "-5", "the minimum is 1"),
        (values.parse_positive_count, "1.5", "not a whole number"),
        (values.parse_positive_count, "", "not a whole number"),
        (values.parse_positive_count, "9223372036854775808", "the maximum is 9223372036854775807"),
        (values.parse_small_count, "1000000001", "the maximum is 1000000000"),
        (values.parse_local_agents, "1001", "the maximum is 1000"),
        (values.parse_lease_ns, "50ms", "100ms to 1h"),
        (values.parse_lease_ns, "0", "100ms to 1h"),
        (values.parse_lease_ns, "61m", "100ms to 1h"),
        (values.parse_users, "1000000001", "the maximum is 1000000000"),
        (values.parse_positive_rate, "fast", "not a rate"),
        (values.parse_positive_rate, "0", "sends nothing"),
        (values.parse_positive_rate, "nan", "not a rate"),
        (values.parse_positive_rate, "inf", "not a rate"),
        (values.parse_tls_version, "1.1", r"use 1\.2 or 1\.3"),
        (values.parse_output, "xml", "use csv or json"),
        (values.parse_arrivals, "bursty", "use constant or poisson"),
        (values.parse_seed, "-1", "the minimum is 0"),
        (values.parse_io_backend, "kqueue", "auto, io_uring or epoll"),
    ],
)
def test_bad_values(convert: Callable[[str], Any], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        convert(text)


def test_methods_are_in_upper_case() -> None:
    assert values.parse_method("purge") == "PURGE"
