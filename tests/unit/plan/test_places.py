"""Names of places: what passes means the same to everyone who reads it."""

from __future__ import annotations

import pytest

from heyfleet.plan import places

LONGEST_NAME = ".".join(["a" * 63] * 3 + ["b" * 61])


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "example.com",
            "EXAMPLE.com.",
            "a_b.svc",
            "xn--bcher-kva.test",
            "1.example",
            LONGEST_NAME,
        ),
        *("127.0.0.1", "::1", "fe80::1%eth0", "fe80::1%3", "::ffff:10.0.0.1"),
    ],
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    assert places.check_host(host) == host


@pytest.mark.parametrize(
    "host",
    [
        *(
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a b",
            "a\0.example.com",
            "127.0.0.1\0.example.com",
            "a\r\nb",
            "a\n",
            "a/b",
        ),
        *("a@b", "a#b", "a?b", "a%b", "[::1]", "b\u00fccher.test", "a\u3002b", "a" * 64, f"a.{LONGEST_NAME}"),
        *(
            "127.1",
            "0x7f.1",
            "0x7f000001",
            "2130706433",
            "1.2.3.04",
            "127.0.0.1.",
            "a.0x",
            "a.1",
            "1.2.3.4.5",
        ),
        *("::1%", "::1%a b", "::1%\0", "::g", "1::2::3", "127.0.0.1%eth0"),
    ],
)
def test_a_host_that_readers_could_understand_differently_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"is not a host name or address|is not an IPv4 or IPv6 address"):
        places.check_host(host)


def test_ports_have_sixteen_bits() -> None:
    assert places.check_port(1) == 1
    assert places.check_port(65535) == 65535
    assert places.check_port(0, 0) == 0
    for port in (0, 65536, 2**32 - 1):
        with pytest.raises(ValueError, match="is not a port"):
            places.check_port(port)


@pytest.mark.parametrize("value", ["", "a", "a:80", "[::1]:80", "{csv:name}", "1.2.3.4"])
def test_a_host_header_is_free_of_breaks(value: str) -> None:
    assert places.check_host_header(value) == value


@pytest.mark.parametrize(
    "value", ["a b", "a\r\nb", "a\0", "a/b", "u@a", "a?", "a#", "a\\b", "a\u2028b", "a\x85"]
)
def test_a_host_header_that_ends_early_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match="is not a host"):
        places.check_host_header(value)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../a", "a/b", "/a", "a\0", "a b", ".a", "-a", "a\n", "a" * 65]
)
def test_the_name_of_an_agent_is_the_name_of_a_file(name: str) -> None:
    assert places.check_agent_name("host-1.example_2") == "host-1.example_2"
    with pytest.raises(ValueError, match="is not an agent's name"):
        places.check_agent_name(name)


def test_an_error_does_not_repeat_a_long_text() -> None:
    with pytest.raises(ValueError, match="is not a host name") as caught:
        places.check_host("a" * 1_000_000)
    assert len(str(caught.value)) < 200
