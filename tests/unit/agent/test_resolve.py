"""Names and addresses."""

import socket

import pytest

from heyfleet.agent.resolve import ResolveError, resolve


def test_a_literal_address_is_itself() -> None:
    assert resolve("127.0.0.1", 80).addresses == [("127.0.0.1", 80)]


def test_a_name_without_an_address_is_named() -> None:
    with pytest.raises(ResolveError, match=r"can't resolve the host 'no-such-host\.invalid'"):
        resolve("no-such-host.invalid", 80)


def name_with_addresses(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    """Give name.test these addresses."""
    look_up = socket.getaddrinfo

    def fake(host: str, port: int, *rest: object, **more: object) -> list[object]:
        found = [look_up(each, port, *rest, **more) for each in (hosts if host == "name.test" else [host])]  # type: ignore[arg-type]
        return [entry for entries in found for entry in entries]

    monkeypatch.setattr(socket, "getaddrinfo", fake)


def test_of_several_addresses_the_first_that_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert resolve("name.test", port).addresses == [("127.0.0.1", port)]


def test_where_none_accepts_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.9", "127.0.0.8"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert resolve("name.test", port).addresses == [("127.0.0.9", port)]
