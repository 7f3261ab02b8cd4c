"""Names and addresses."""

import socket
import threading
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from heyfleet.agent.http import resolve as resolving
from heyfleet.agent.http.resolve import (
    Resolution,
    ResolveError,
    look_up_again,
    look_up_unless,
    resolve,
    resolve_plan,
    server_endpoint,
)
from heyfleet.agent.policy import HostPolicy, NotAllowedError
from heyfleet.proto.plan_pb2 import IPV4, IPV6, Plan, Proxy, Resolve, Target

ANY = HostPolicy()


def test_a_literal_address_needs_no_lookup() -> None:
    assert resolve(["127.0.0.1"], 80, ANY).addresses == [("127.0.0.1", 80)]


def test_an_unknown_name_is_an_error_with_its_name() -> None:
    with pytest.raises(ResolveError, match=r"can't resolve the host 'no-such-host\.invalid'"):
        resolve(["no-such-host.invalid"], 80, ANY)


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
            found = resolve(["name.test"], port, ANY)
    assert found.addresses == [("127.0.0.1", port), ("127.0.0.2", port)]
    assert found.unused == ("127.0.0.9 (Connection refused)", "127.0.0.8 (Connection refused)")


def test_all_addresses_are_used_if_none_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.9", "127.0.0.8"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    found = resolve(["name.test"], port, ANY)
    assert found.addresses == [("127.0.0.9", port), ("127.0.0.8", port)]
    assert found.unused == ()


def test_trials_of_many_silent_addresses_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: len(tried) / 16, monotonic_ns=lambda: 0)
    tried: list[str] = []

    def fake_trial(address: tuple[str, int], within_s: float) -> str:
        tried.append(address[0])
        return "" if address[0] == "10.0.0.0" else "no answer"

    monkeypatch.setattr(resolving, "time", clock)
    monkeypatch.setattr(resolving, "_try_out", fake_trial)
    addresses = [(f"10.0.{number // 256}.{number % 256}", 80) for number in range(4096)]
    found = Resolution(addresses, 0).accepting(1.0)
    assert found.addresses == [("10.0.0.0", 80)]
    assert 64 <= len(tried) <= 80  # four rounds of sixteen
    assert found.unused[-1] == "10.0.15.255 (not tried out, as others took too long)"


def test_one_family_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResolveError, match=r"an IPv6 address of the host '127\.0\.0\.1'"):
        resolve(["127.0.0.1"], 80, ANY, IPV6)
    assert resolve(["localhost"], 80, ANY, IPV4).addresses == [("127.0.0.1", 80)]


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
        assert resolve_plan(made, ANY).addresses == [("127.0.0.1", port)]


LOOPBACK_2 = HostPolicy(("127.0.0.2/32",))


def connects_to_no_one(server: socket.socket) -> bool:
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.accept()
    return True


def test_no_address_is_tried_out_before_all_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    with socket.create_server(("0.0.0.0", 0)) as server:
        with pytest.raises(NotAllowedError, match=r"name\.test:\d+ at 127\.0\.0\.1, only 127\.0\.0\.2/32"):
            resolve(["name.test"], server.getsockname()[1], LOOPBACK_2)
        assert connects_to_no_one(server)


def test_an_allowed_name_does_not_allow_where_a_rule_leads_it() -> None:
    policy = HostPolicy(("name.test", "127.0.0.1"))
    led = plan(Resolve(host="name.test", to_hosts=["127.0.0.1"]))
    assert resolve_plan(led, policy).addresses == [("127.0.0.1", 80)]
    led.resolve[0].to_hosts.append("127.0.0.2")
    with pytest.raises(NotAllowedError, match=r"does not allow 127\.0\.0\.2:80"):
        resolve_plan(led, policy)


def test_a_later_lookup_yields_allowed_addresses_only(monkeypatch: pytest.MonkeyPatch) -> None:
    name_with_addresses(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    assert look_up_again(plan(), LOOPBACK_2) == [("127.0.0.2", 80)]
    assert look_up_again(plan(), HostPolicy(("*.test",))) == [("127.0.0.2", 80), ("127.0.0.1", 80)]


def test_a_name_behind_a_proxy_must_be_allowed_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy looks it up by itself, so that its addresses here say nothing."""
    name_with_addresses(monkeypatch, ["127.0.0.2"])
    made = plan(proxy=Proxy(host="127.0.0.1", port=1))
    with pytest.raises(NotAllowedError, match=r"does not allow name\.test:80"):
        resolve_plan(made, HostPolicy(("127.0.0.0/8",)))
    assert resolve_plan(made, HostPolicy(("127.0.0.0/8", "name.test"))).addresses == [("127.0.0.1", 1)]
    made.target.host = "127.0.0.2"
    assert resolve_plan(made, HostPolicy(("127.0.0.0/8",))).addresses == [("127.0.0.1", 1)]


MISREAD = (
    "127.0.0.1\0.name.test",
    "127.0.0.1\r\nX: name.test",
    "fe80::1%lo\r\n",
    "name.test ",
    "n\u0661.test",
    "",
)


@pytest.mark.parametrize("host", MISREAD)
@pytest.mark.parametrize("policy", [ANY, HostPolicy(("*.test", "*"))])
def test_a_host_that_could_be_read_as_another_is_no_host(host: str, policy: HostPolicy) -> None:
    for made in (
        Plan(target=Target(scheme="http", host=host or " ", port=80)),
        plan(Resolve(to_hosts=[host])),
        plan(proxy=Proxy(host=host, port=80)),
        Plan(target=Target(scheme="http", host=host or " ", port=80), proxy=Proxy(host="127.0.0.1", port=80)),
    ):
        with pytest.raises(ResolveError, match="is not a host name or address"):
            resolve_plan(made, policy)


def test_a_socket_path_is_not_cut() -> None:
    with pytest.raises(ResolveError, match="has a NUL character"):
        resolve_plan(plan(unix_socket="/run/a.sock\0/run/b.sock"), ANY)


def test_a_slow_lookup_during_the_load_ends_with_the_load() -> None:
    answer = threading.Event()
    looks = iter([False, False, True])

    def look_up() -> str:
        assert answer.wait(60)
        return "late"

    try:
        with pytest.raises(ResolveError, match="gave no answer in time"):
            look_up_unless(lambda: next(looks), look_up)
    finally:
        answer.set()


def test_a_lookup_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolving, "_LOOKUP_LIMIT_S", 0.0)
    answer = threading.Event()
    try:
        with pytest.raises(ResolveError, match="gave no answer in time"):
            look_up_unless(lambda: False, lambda: answer.wait(60))
    finally:
        answer.set()


def test_a_lookup_gives_its_result_or_its_error() -> None:
    def refuse() -> NoReturn:
        raise NotAllowedError("no", "")

    assert look_up_unless(lambda: False, lambda: 7) == 7
    with pytest.raises(NotAllowedError):
        look_up_unless(lambda: False, refuse)
