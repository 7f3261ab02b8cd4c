"""Host names in ASCII, wherever a person writes one."""

from __future__ import annotations

import pytest

from heyfleet.agent.policy import HostPolicy, split_target
from heyfleet.plan.addresses import parse_connect_rule, parse_resolve_rule
from heyfleet.plan.host_name import to_ascii
from heyfleet.plan.proxy import parse_proxy
from heyfleet.plan.url import parse
from heyfleet.plan.values import parse_host_header

TYPED, SENT = "bücher.test", "xn--bcher-kva.test"


def test_every_place_that_takes_a_host_sends_the_same_name() -> None:
    assert parse(f"http://{TYPED}/").host == SENT
    assert parse_host_header(f"{TYPED}:8080") == f"{SENT}:8080"
    assert parse_resolve_rule(f"{TYPED}:80:127.0.0.1").host == SENT
    rule = parse_connect_rule(f"{TYPED}:80:{TYPED}:81")
    assert (rule.host, list(rule.to_hosts)) == (SENT, [SENT])
    proxy = parse_proxy(f"{TYPED}:3128")
    assert proxy is not None
    assert proxy.host == SENT
    assert split_target(f"*.{TYPED}:443") == (f"*.{SENT}", 443)
    assert HostPolicy((f"*.{TYPED}",)).allows(f"www.{SENT}", 80, "192.0.2.1")


def test_addresses_are_compared_in_their_shortest_form() -> None:
    assert parse_resolve_rule("[0:0::1]:80:127.0.0.1").host == parse("http://[0::0:1]/").host == "::1"


@pytest.mark.parametrize(
    ("name", "ascii_name"),
    [
        ("Shop.test", "Shop.test"),
        ("日本\u3002jp.", "xn--wgv71a.jp."),
        ("a_b.ü", "a_b.xn--tda"),
        ("*.ü", "*.xn--tda"),
    ],
)
def test_only_labels_beyond_ascii_change(name: str, ascii_name: str) -> None:
    assert to_ascii(name) == ascii_name


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("straße.test", "write it as xn--"),
        ("a\u2100b.test", "not a name that IDNA can encode"),  # decomposes to a/cb
        ("*ü.test", "not a name that IDNA can encode"),
        ("ü" * 64, "not a name that IDNA can encode"),
        ("\udce9.test", "not a name that IDNA can encode"),
    ],
)
def test_names_without_one_meaning_are_refused(name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        to_ascii(name)
