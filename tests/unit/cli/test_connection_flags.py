"""Where to connect, as flags say it."""

import pytest

from heyfleet.cli.connection_flags import connect_rule, resolve_rule, tls_version
from heyfleet.errors import InputError
from heyfleet.plan.build import Flags, make_plan
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
def test_resolve(text: str, rule: Resolve) -> None:
    assert resolve_rule(text) == rule


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
def test_resolve_that_makes_no_sense(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        resolve_rule(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("a.test:80:b.test:81", Resolve(host="a.test", port=80, to_hosts=["b.test"], to_port=81)),
        ("::b.test:", Resolve(to_hosts=["b.test"])),
        ("a.test:443::8443", Resolve(host="a.test", port=443, to_port=8443)),
        ("[::1]:80:[::2]:80", Resolve(host="::1", port=80, to_hosts=["::2"], to_port=80)),
    ],
)
def test_connect_to(text: str, rule: Resolve) -> None:
    assert connect_rule(text) == rule


@pytest.mark.parametrize("text", ["a.test:80", "a.test:80:b.test", "a:b:c:d:e", "a.test:x:b.test:1"])
def test_connect_to_that_makes_no_sense(text: str) -> None:
    with pytest.raises(ValueError, match="not like HOST:PORT:OTHER_HOST:OTHER_PORT"):
        connect_rule(text)


def test_versions() -> None:
    assert tls_version("1.3") == "1.3"
    with pytest.raises(ValueError, match=r"there are 1\.2 and 1\.3"):
        tls_version("1.1")


def test_both_families_exclude_each_other() -> None:
    with pytest.raises(InputError, match="-4 and -6 exclude each other"):
        make_plan(Flags(url="http://a.test/", user_agent="test", ipv4=True, ipv6=True))
