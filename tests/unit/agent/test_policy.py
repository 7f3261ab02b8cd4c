"""Limits that the owner of a host sets on its agent."""

from __future__ import annotations

import pytest

from heyfleet.agent.policy import HostPolicy, NotAllowedError, split_target
from heyfleet.proto.plan_pb2 import RATE, Assignment, Plan, Target


def assignment(
    host: str = "127.0.0.1", port: int = 80, connections: int = 4, rate: float = 0, **plan: float
) -> Assignment:
    target = Target(scheme="http", host=host, port=port)
    plan_message = Plan(target=target, connections=2 * connections, **plan)  # type: ignore[arg-type]
    if rate:
        plan_message.load_model = RATE
        plan_message.stages.add(first=rate, last=rate)
    return Assignment(plan=plan_message, connections=connections)


@pytest.mark.parametrize(
    ("targets", "host", "address", "allowed"),
    [
        ((), "anything.example.com", "192.0.2.1", True),
        (("shop.example.com",), "shop.example.com", "192.0.2.1", True),
        (("shop.example.com",), "SHOP.example.com.", "192.0.2.1", True),
        (("*.example.com",), "shop.example.com", "192.0.2.1", True),
        (("*.example.com",), "example.com.evil.org", "192.0.2.1", False),
        (("shop-[12].example.com",), "shop-1.example.com", "192.0.2.1", False),
        (("127.0.0.0/8",), "127.0.0.1", "127.0.0.1", True),
        (("127.0.0.0/8",), "localhost", "127.0.0.1", True),
        (("10.0.0.0/8", "192.168.0.0/16"), "127.0.0.1", "127.0.0.1", False),
        (("127.0.0.1:80",), "127.0.0.1", "127.0.0.1", True),
        (("127.0.0.1:8080",), "127.0.0.1", "127.0.0.1", False),
        (("127.0.0.0/8:81",), "127.0.0.1", "127.0.0.1", False),
        (("[::1]:80",), "::1", "::1", True),
        (("10.0.0.*",), "10.0.0.1", "10.0.0.1", True),
        (("10.0.0.*",), "10.0.0.example.com", "192.0.2.1", False),
        (("*.1",), "10.0.0.1", "10.0.0.1", True),
        (("*example*",), "fe80::1%example", "fe80::1%example", False),
        (("::/0",), "::ffff:127.0.0.1", "::ffff:127.0.0.1", False),
        (("127.0.0.0/8",), "::ffff:127.0.0.1", "::ffff:127.0.0.1", True),
    ],
)
def test_targets(targets: tuple[str, ...], host: str, address: str, allowed: bool) -> None:
    policy = HostPolicy(targets)
    assert policy.allows(host, 80, address) == allowed
    if not allowed:
        with pytest.raises(NotAllowedError) as refused:
            policy.check(host, 80, address)
        assert f"does not allow {host}:80" in refused.value.cause
        assert "--allow-target" in refused.value.cause


def test_a_name_that_no_rule_can_allow_is_not_looked_up() -> None:
    with pytest.raises(NotAllowedError, match=r"does not allow secret\.evil\.org:80, only"):
        HostPolicy(("*.example.com",)).check_name("secret.evil.org", 80)
    HostPolicy(("*.example.com", "10.0.0.0/8")).check_name("inside.evil.org", 80)
    HostPolicy().check_name("anything.evil.org", 80)


@pytest.mark.parametrize(
    ("rule", "path", "allowed"),
    [
        ("unix:/run/app.sock", "/run/app.sock", True),
        ("unix:/run/app.sock", "/run/APP.sock", False),
        ("unix:/run/app/*", "/run/app/a.sock", True),
        ("unix:/run/app/*", "/run/app/../docker.sock", False),
        ("unix:/run/app/*", "/run/app//a.sock", False),
        ("unix:@app-*", "@app-1", True),
        ("*", "/run/app.sock", False),
    ],
)
def test_unix_sockets(rule: str, path: str, allowed: bool) -> None:
    HostPolicy().check_socket(path)
    if allowed:
        HostPolicy((rule,)).check_socket(path)
    else:
        with pytest.raises(NotAllowedError, match=r"does not allow unix:"):
            HostPolicy((rule,)).check_socket(path)


@pytest.mark.parametrize(
    ("policy", "assigned", "words"),
    [
        (HostPolicy(max_connections=3), assignment(), "4 connections, only 3 (--max-connections)"),
        (
            HostPolicy(max_duration_ns=10**9),
            assignment(duration_ns=2 * 10**9),
            "2 s of load, only 1 s (--max-duration)",
        ),
        (
            HostPolicy(max_duration_ns=2 * 10**9),
            assignment(rate=50.0, request_count=400),
            "7.98 s of load, only 2 s (--max-duration)",
        ),
        (HostPolicy(max_duration_ns=2 * 10**9), assignment(rate=50.0, request_count=100), ""),
        (HostPolicy(max_duration_ns=2 * 10**9), assignment(request_count=10**9), ""),
        (
            HostPolicy(max_duration_ns=2 * 10**9),
            assignment(request_count=10**9, warmup_ns=3 * 10**9),
            "3 s of load",
        ),
        (HostPolicy(max_rate=10), assignment(), "as fast as answers come, only 10 requests/s (--max-rate)"),
        (HostPolicy(max_rate=10), assignment(rate=24.0), "12 requests/s, only 10 (--max-rate)"),
        (HostPolicy(max_rate=12), assignment(rate=24.0), ""),
        (HostPolicy(max_connections=4, max_duration_ns=10**9), assignment(duration_ns=10**9), ""),
    ],
)
def test_limits(policy: HostPolicy, assigned: Assignment, words: str) -> None:
    if not words:
        policy.check_load(assigned)
        return
    with pytest.raises(NotAllowedError) as refused:
        policy.check_load(assigned)
    assert words in refused.value.cause


def test_ports() -> None:
    assert split_target("[2001:db8::1]:443") == ("2001:db8::1", 443)
    assert split_target("2001:db8::/32") == ("2001:db8::/32", 0)
    with pytest.raises(ValueError, match="'http' is not a port"):
        split_target("example.com:http")
