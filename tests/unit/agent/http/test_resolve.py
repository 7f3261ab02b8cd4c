"""Names and addresses."""

import socket
from typing import Any

import pytest

from heyfleet.agent.http.resolve import ResolveError, resolve, resolve_plan, server_endpoint
from heyfleet.proto.plan_pb2 import IPV4, IPV6, Plan, Resolve, Target


def test_a_literal_address_needs_no_lookup() -> None:
    assert resolve(["127.0.0.1"], 80).addresses == [("127.0.0.1", 80)]


def test_an_unknown_name_is_an_error_with_its_name() -> None:
    with pytest.raises(ResolveError, match=r"can't resolve the host 'no-such-host\.invalid'"):
        resolve(["no-such-host.invalid"], 80)


def name_with_addresses(monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    """Give name.test these addresses."""
    look_up = socket.getaddrinfo

    def fake(host: str, port: int, *rest: object, **more: object) -> list[object]:
        found = [look_up(each, port, *rest, **more) for each in (hosts if host == "name.test" else [host])]  # type: ignore[arg-type]
        return [entry for entries in found for entry in entries]

    monkeypatch.setattr(socket, "getaddrinfo", fake)


def test_addresses_that_accept_are_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.9", "127.0.0.1", "127.0.0.8", "127.0.0.2"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_server(("127.0.0.2", port)):
            found = resolve(["name.test"], port)
    assert found.addresses == [("127.0.0.1", port), ("127.0.0.2", port)]
    assert found.unused == ("127.0.0.9 (Connection refused)", "127.0.0.8 (Connection refused)")


def test_all_addresses_are_used_if_none_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.9", "127.0.0.8"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = resolve(["name.test"], port)
    assert found.addresses == [("127.0.0.9", port), ("127.0.0.8", port)]
    assert found.unused == ()


def test_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResolveError, match=r"an IPv6 address of the host '127\.0\.0\.1'"):
        resolve(["127.0.0.1"], 80, IPV6)
    assert resolve(["localhost"], 80, IPV4).addresses == [("127.0.0.1", 80)]


def plan(*rules: Resolve, **more: Any) -> Plan:
    return Plan(target=Target(scheme="http", host="name.test", port=80), resolve=rules, **more)


def test_resolve_rules() -> None:
    rule = Resolve(host="name.test", port=80, to_hosts=["192.0.2.1", "192.0.2.2"])
    other = Resolve(host="other.test", port=80, to_hosts=["192.0.2.3"])
    anywhere = Resolve(to_hosts=["third.test"], to_port=8080)
    assert server_endpoint(plan()) == (["name.test"], 80)
    assert server_endpoint(plan(other, rule, anywhere)) == (["192.0.2.1", "192.0.2.2"], 80)
    assert server_endpoint(plan(other, anywhere)) == (["third.test"], 8080)
    assert server_endpoint(plan(Resolve(port=80, to_port=81))) == (["name.test"], 81)
    assert server_endpoint(plan(Resolve(host="name.test", port=443, to_hosts=["192.0.2.1"]))) == (
        ["name.test"],
        80,
    )


def test_sources_choose_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        made = Plan(target=Target(host="localhost", port=port), sources=["127.0.0.5"])
        assert resolve_plan(made).addresses == [("127.0.0.1", port)]
