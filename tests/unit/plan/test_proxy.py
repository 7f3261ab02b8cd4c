"""Proxies of -x, and what can't go through one."""

from __future__ import annotations

import pytest

from heyfleet.plan.proxy import parse_proxy
from heyfleet.proto.plan_pb2 import Proxy

from ...integration.command import heyfleet


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("proxy:3128", Proxy(host="proxy", port=3128)),
        ("http://proxy:3128/", Proxy(host="proxy", port=3128)),
        ("HTTP://[::1]:80", Proxy(host="::1", port=80)),
        ("http://user:p%40s%3As@proxy:3128", Proxy(host="proxy", port=3128, credentials="user:p@s:s")),
        ("user@proxy:3128", Proxy(host="proxy", port=3128, credentials="user:")),
    ],
)
def test_proxies(text: str, expected: Proxy | None) -> None:
    assert parse_proxy(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("https://proxy:3128", "only HTTP proxies are supported"),
        ("socks5://user:secret@proxy:1080", "only HTTP proxies are supported"),
        ("proxy", "has no port"),
        ("http://user:secret@proxy", "has no port"),
        ("http://user:secret@proxy:port", "the port must be a number"),
        ("http://proxy:3128/path", "has a path"),
        (":3128", "has no host"),
    ],
)
def test_bad_proxies(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_proxy(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--resolve", "a.test:80:127.0.0.1", "http://a.test/"], "exclude each other for an http URL"),
        (["--resolve", "a.test:443:127.0.0.1,127.0.0.2", "https://a.test/"], "takes one address"),
        (["--unix-socket", "/tmp/x", "http://a.test/"], "-x and --unix-socket exclude each other"),
        (["--h2c", "http://a.test/"], "--h2c can't go through a proxy"),
    ],
)
def test_options_that_exclude_a_proxy(flags: list[str], words: str) -> None:
    outcome = heyfleet("run", "-x", "127.0.0.1:1", *flags)
    assert outcome.exit_code == 2
    assert words in outcome.stderr
