"""Parsers of the options that say where connections come from and go to."""

from __future__ import annotations

import pytest

from heyfleet.plan.addresses import (
    parse_connect_rule,
    parse_dns_ttl_ns,
    parse_resolve_rule,
    parse_sources,
    parse_unix_path,
)
from heyfleet.proto.plan_pb2 import Resolve


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a.test:80:192.0.2.1", Resolve(host="a.test", port=80, to_hosts=["192.0.2.1"])),
        ("A.test:443:::1", Resolve(host="a.test", port=443, to_hosts=["::1"])),
        (
            "a.test:443:[2001:db8::1],192.0.2.1",
            Resolve(host="a.test", port=443, to_hosts=["2001:db8::1", "192.0.2.1"]),
        ),
        ("*:80:127.0.0.1", Resolve(port=80, to_hosts=["127.0.0.1"])),
        ("[::1]:80:127.0.0.1", Resolve(host="::1", port=80, to_hosts=["127.0.0.1"])),
    ],
)
def test_resolve_rules(text: str, rule: Resolve) -> None:
    assert parse_resolve_rule(text) == rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.test", "not like HOST:PORT:ADDRESS"),
        (":80:127.0.0.1", "not like HOST:PORT:ADDRESS"),
        ("a.test::127.0.0.1", "not like HOST:PORT:ADDRESS"),
        ("a.test:80:b.test", "'b.test' is not an IPv4 or IPv6 address; --connect-to takes a name"),
        ("a.test:0:127.0.0.1", "0 is too small"),
        ("a.test:65536:127.0.0.1", "65536 is too large"),
    ],
)
def test_bad_resolve_rules(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_resolve_rule(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a.test:80:b.test:81", Resolve(host="a.test", port=80, to_hosts=["b.test"], to_port=81)),
        ("::b.test:", Resolve(to_hosts=["b.test"])),
        ("a.test:443::8443", Resolve(host="a.test", port=443, to_port=8443)),
        ("[::1]:80:[::2]:80", Resolve(host="::1", port=80, to_hosts=["::2"], to_port=80)),
    ],
)
def test_connect_rules(text: str, rule: Resolve) -> None:
    assert parse_connect_rule(text) == rule


@pytest.mark.parametrize("text", ["a.test:80", "a.test:80:b.test", "a:b:c:d:e", "a.test:x:b.test:1"])
def test_bad_connect_rules(text: str) -> None:
    with pytest.raises(ValueError, match="not like HOST:PORT:OTHER_HOST:OTHER_PORT"):
        parse_connect_rule(text)


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
    assert parse_sources(text) == addresses


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
def test_bad_sources(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_sources(text)


def test_the_time_between_lookups_has_a_minimum() -> None:
    assert parse_dns_ttl_ns("100ms") == 100_000_000
    with pytest.raises(ValueError, match="too short; the minimum is 100ms"):
        parse_dns_ttl_ns("99ms")


@pytest.mark.parametrize("text", ["", "a" * 108, "a\0b", "a\rb"])
def test_bad_unix_paths(text: str) -> None:
    with pytest.raises(ValueError, match=r"has 1 to 107 bytes|control characters"):
        parse_unix_path(text)
