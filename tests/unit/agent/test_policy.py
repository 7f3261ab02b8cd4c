"""Limits that the owner of a host sets on its agent."""

from __future__ import annotations

import pytest

from heyfleet.agent.policy import HostPolicy, split_target
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Resolve, Target


def assignment(
    host: str = "127.0.0.1", port: int = 80, connections: int = 4, rate: float = 0, **plan: float
) -> Assignment:
    target = Target(scheme="http", host=host, port=port)
    plan_message = Plan(target=target, connections=2 * connections, **plan)  # type: ignore[arg-type]
    if rate:
        plan_message.load_model = RATE
        plan_message.stages.add(first=rate, last=rate / 2)
    return Assignment(plan=plan_message, connections=connections)


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


def test_resolved_addresses_must_be_allowed() -> None:
    policy = HostPolicy(("10.0.0.0/8",))
    assert policy.refusal_of_addresses(assignment("inside.example.com"), ["10.1.2.3"]) == ""
    assert "192.0.2.1" in policy.refusal_of_addresses(
        assignment("inside.example.com"), ["10.1.2.3", "192.0.2.1"]
    )


@pytest.mark.parametrize(
    ("policy", "assigned", "words"),
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
def test_limits(policy: HostPolicy, assigned: Assignment, words: str) -> None:
    reason = policy.refusal(assigned)
    assert words in reason
    assert bool(reason) == bool(words)


def test_ports() -> None:
    assert split_target("[2001:db8::1]:443") == ("2001:db8::1", 443)
    assert split_target("2001:db8::/32") == ("2001:db8::/32", 0)
    with pytest.raises(ValueError, match="'http' is not a port"):
        split_target("example.com:http")


def test_resolve_rules_must_be_allowed() -> None:
    """An allowed name does not allow the addresses that --resolve sends it to."""
    policy = HostPolicy(targets=("shop.example.com", "127.0.0.0/8"))
    assigned = assignment(host="shop.example.com")
    assert policy.refusal(assigned) == ""
    assigned.plan.resolve.append(Resolve(host="shop.example.com", to_hosts=["127.0.0.1"]))
    assert policy.refusal(assigned) == ""
    assert policy.refusal_of_addresses(assigned, ["127.0.0.1"]) == ""
    assigned.plan.resolve[0].to_hosts.append("10.0.0.1")
    assert "does not allow 10.0.0.1:80" in policy.refusal(assigned)
    assert "does not allow" in policy.refusal_of_addresses(assigned, ["127.0.0.1", "10.0.0.1"])
