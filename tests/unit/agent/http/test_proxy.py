"""Requests through a proxy: the host's policy applies to the proxy and to the target behind it."""

from __future__ import annotations

import pytest

from heyfleet.agent.http.proxy import request_through_proxy, target_url, tunnel_head
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.runner import Runner
from heyfleet.plan.url import parse
from heyfleet.proto.plan_pb2 import HTTP_2, Assignment, Header, Plan, Proxy, Request, Resolve, Target
from heyfleet.proto.stats_pb2 import Ready, Refusal

POLICY = HostPolicy(("127.0.0.1", "shop.invalid"))


def assignment(**request: str) -> Assignment:
    """An assignment through a proxy that forwards nowhere."""
    made = Request(
        **{"method": "GET", "request_target": "/", **request},  # type: ignore[arg-type]
        headers=[Header(name="Host", value="shop.invalid")],
        weight=1,
    )
    plan = Plan(
        target=Target(scheme="http", host="shop.invalid", port=80),
        proxy=Proxy(host="127.0.0.1", port=1),
        requests=[made],
        connections=1,
        request_count=1,
    )
    return Assignment(plan=plan, connections=1, request_count=1)


def reason(assigned: Assignment, policy: HostPolicy = POLICY) -> str:
    """Return why an agent refuses an assignment, or ""."""
    agent = Runner(policy)
    answer = agent.prepare(assigned)
    agent.stop()
    assert isinstance(answer, Ready | Refusal)
    return answer.reason if isinstance(answer, Refusal) else ""


def test_proxy_and_target_must_both_be_allowed() -> None:
    assert "shop.invalid:80" in reason(assignment(), HostPolicy(("127.0.0.1",)))
    assert "127.0.0.1:1" in reason(assignment(), HostPolicy(("shop.invalid",)))
    assert reason(assignment()) == ""


def test_resolve_rules_do_not_apply_behind_a_proxy() -> None:
    assigned = assignment()
    assigned.plan.target.host = "other.invalid"
    assigned.plan.resolve.append(Resolve(to_hosts=["shop.invalid"]))
    assert "other.invalid:80" in reason(assigned)
    assigned.plan.target.scheme = "https"
    assert reason(assigned) == ""
    assert tunnel_head(assigned.plan, parse("https://other.invalid/")).startswith(
        b"CONNECT shop.invalid:443 "
    )


def test_http2_without_a_tunnel_is_refused() -> None:
    """Its requests name the server in a field that the policy has not checked."""
    assigned = assignment()
    assigned.plan.http = HTTP_2
    assert "goes through a proxy only to https" in reason(assigned)


@pytest.mark.parametrize(
    "change",
    [
        {"request_target": "@other.invalid/"},
        {"request_target": "/ x"},
        {"method": "GET http://other.invalid/"},
    ],
)
def test_a_request_that_a_proxy_would_read_as_another_url_is_refused(change: dict[str, str]) -> None:
    assert "its method or path is not valid" in reason(assignment(**change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "y\r\n\r\nGET http://other.invalid/ HTTP/1.1"),
        ("Content-Length", "0"),
        ("transfer-encoding", "x"),
    ],
)
def test_a_field_that_a_proxy_would_read_as_another_request_is_refused(name: str, value: str) -> None:
    assigned = assignment()
    assigned.plan.requests[0].headers.add(name=name, value=value)
    assert "contains a line break or sets the body's length" in reason(assigned)


def test_data_that_would_make_another_request_is_refused() -> None:
    assigned = assignment(request_target="/{csv:a}")
    assigned.plan.template = True
    assigned.plan.data.add(name="a", values=[b"x", b"y z\r\n"])
    assert "its method or path is not valid" in reason(assigned)
    assigned.plan.requests[0].request_target = "/{rand:1-5}"
    assert reason(assigned) == ""
    assigned.plan.requests[0].headers.add(name="X", value="{csv:a}")
    assert "contains a line break or sets the body's length" in reason(assigned)


def test_the_whole_server_has_a_url_without_a_path() -> None:
    plan = assignment(method="OPTIONS", request_target="*").plan
    request = request_through_proxy(plan, plan.requests[0], target_url(plan, plan.requests[0]))
    assert request.request_target == "http://shop.invalid"
