"""Limits that an agent's owner sets."""

from __future__ import annotations

import pytest

from heyfleet.agent.policy import HostPolicy, split_target
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Resolve, Target


def assignment(
    host: str = "127.0.0.1", port: int = 80, connections: int = 4, rate: float = 0, **plan: float
) -> Assignment:
    target = Target(scheme="http", host=host, port=port)
    made = Plan(target=target, connections=2 * connections, **plan)  # type: ignore[arg-type]
    if rate:
        made.load_model = RATE
        made.stages.add(first=rate, last=rate / 2)
    return Assignment(plan=made, connections=connections)


@pytest.mark.parametrize(
    ("targets", "host", "allowed"),
    [
        ((), "anything.example.com", True),
        (("shop.example.com",), "shop.example.com", True),
        (("shop.example.com",), "SHOP.example.com", True),
        (("*.example.com",), "shop.example.com", True),
        (("*.example.com",), "example.com.evil.org", False),
        (("127.0.0.0/8",), "127.0.0.1", True),
        (("127.0.0.0/8",), "localhost", True),
        (("10.0.0.0/8", "192.168.0.0/16"), "127.0.0.1", False),
        (("127.0.0.1:80",), "127.0.0.1", True),
        (("127.0.0.1:8080",), "127.0.0.1", False),
        (("127.0.0.0/8:81",), "127.0.0.1", False),
        (("[::1]:80",), "::1", True),
        (("10.0.0.0/8",), "name.invalid", False),
    ],
)
def test_targets(targets: tuple[str, ...], host: str, allowed: bool) -> None:
    reason = HostPolicy(targets).refusal(assignment(host))
    assert bool(reason) != allowed
    if reason:
        assert host in reason
        assert "--allow-target" in reason


def test_the_address_that_is_really_used_decides() -> None:
    owner = HostPolicy(("10.0.0.0/8",))
    assert owner.refusal_of_addresses(assignment("inside.example.com"), ["10.1.2.3"]) == ""
    assert "192.0.2.1" in owner.refusal_of_addresses(
        assignment("inside.example.com"), ["10.1.2.3", "192.0.2.1"]
    )


@pytest.mark.parametrize(
    ("owner", "asked", "words"),
    [
        (HostPolicy(max_connections=3), assignment(), "4 connections, only 3 (--max-connections)"),
        (
            HostPolicy(max_duration_ns=10**9),
            assignment(duration_ns=2 * 10**9),
            "2 s, only 1 s (--max-duration)",
        ),
        (HostPolicy(max_rate=10), assignment(), "as fast as answers come, only 10 requests/s (--max-rate)"),
        (HostPolicy(max_rate=10), assignment(rate=24.0), "12 requests/s, only 10 (--max-rate)"),
        (HostPolicy(max_rate=12), assignment(rate=24.0), ""),
        (HostPolicy(max_connections=4, max_duration_ns=10**9), assignment(duration_ns=10**9), ""),
    ],
)
def test_limits(owner: HostPolicy, asked: Assignment, words: str) -> None:
    reason = owner.refusal(asked)
    assert words in reason
    assert bool(reason) == bool(words)


def test_ports() -> None:
    assert split_target("[2001:db8::1]:443") == ("2001:db8::1", 443)
    assert split_target("2001:db8::/32") == ("2001:db8::/32", 0)
    with pytest.raises(ValueError, match="'http' is not a port"):
        split_target("example.com:http")


def test_where_a_plan_really_connects_to_counts() -> None:
    """A name that is allowed does not open the way to other addresses."""
    owner = HostPolicy(targets=("shop.example.com", "127.0.0.0/8"))
    asked = assignment(host="shop.example.com")
    assert owner.refusal(asked) == ""
    asked.plan.resolve.append(Resolve(host="shop.example.com", to_hosts=["127.0.0.1"]))
    assert owner.refusal(asked) == ""
    assert owner.refusal_of_addresses(asked, ["127.0.0.1"]) == ""
    asked.plan.resolve[0].to_hosts.append("10.0.0.1")
    assert "does not allow 10.0.0.1:80" in owner.refusal(asked)
    assert "does not allow" in owner.refusal_of_addresses(asked, ["127.0.0.1", "10.0.0.1"])
