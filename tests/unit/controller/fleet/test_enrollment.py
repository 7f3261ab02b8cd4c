"""Addresses of a controller, as they are typed."""

from __future__ import annotations

import pytest

from heyfleet.controller.fleet.enrollment import parse_listen_address, with_default_port
from heyfleet.errors import InputError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", ("0.0.0.0", 7700)),
        (":0", ("0.0.0.0", 0)),
        ("10.0.0.5", ("10.0.0.5", 7700)),
        ("host.internal:7701", ("host.internal", 7701)),
        ("[::1]:7701", ("::1", 7701)),
        ("[::1]", ("::1", 7700)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_listen_address(text) == address


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (":99999", "':99999' has no port between 0 and 65535"),
        ("a:1e3", "has no port"),
        ("a:٣", "has no port"),
        ("a:" + "9" * 5000, "has no port"),
        ("[::1", "has no host name or address; write HOST:PORT, or"),
        ("::1", "[ADDRESS]:PORT for IPv6"),
        ("a b:1", "has no host name or address"),
    ],
)
def test_the_error_names_the_flag_that_was_typed(text: str, words: str) -> None:
    with pytest.raises(InputError, match=r"^--listen: ") as listening:
        parse_listen_address(text)
    with pytest.raises(InputError, match=r"^--controller: ") as attaching:
        with_default_port(text)
    assert words in str(listening.value)
    assert words in str(attaching.value)
