"""What an agent lets through a proxy: the owner's limits are about the proxy and about the target behind it."""

from __future__ import annotations

import pytest

from heyfleet.agent.http.proxy import tunnel_head
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.runner import Runner
from heyfleet.plan.url import parse
from heyfleet.proto.plan_pb2 import Assignment, Header, Plan, Proxy, Request, Resolve, Target
from heyfleet.proto.stats_pb2 import Ready, Refusal

OWNER = HostPolicy(("127.0.0.1", "shop.invalid"))


def assignment(**request: str) -> Assignment:
    """Of a proxy that nobody is behind."""
    asked = Request(
        **{"method": "GET", "request_target": "/", **request},  # type: ignore[arg-type]
        headers=[Header(name="Host", value="shop.invalid")],
        weight=1,
    )
    plan = Plan(
        target=Target(scheme="http", host="shop.invalid", port=80),
        proxy=Proxy(host="127.0.0.1", port=1),
        requests=[asked],
        connections=1,
        request_count=1,
    )
    return Assignment(plan=plan, connections=1, request_count=1)


def reason(asked: Assignment) -> str:
    """Why an agent can't carry it out, or nothing."""
    agent = Runner(OWNER)
    answer = agent.prepare(asked)
    agent.stop()
    assert isinstance(answer, Ready | Refusal)
    return answer.reason if isinstance(answer, Refusal) else ""


def test_both_must_be_allowed() -> None:
    assert "shop.invalid:80" in HostPolicy(("127.0.0.1",)).refusal(assignment())
    assert "127.0.0.1:1" in HostPolicy(("shop.invalid",)).refusal(assignment())
    assert OWNER.refusal(assignment()) == ""
    assert OWNER.refusal_of_addresses(assignment(), ["127.0.0.1"]) == ""
    assert reason(assignment()) == ""


def test_a_rule_that_the_proxy_never_sees_does_not_count() -> None:
    asked = assignment()
    asked.plan.target.host = "other.invalid"
    asked.plan.resolve.append(Resolve(to_hosts=["shop.invalid"]))
    assert "other.invalid:80" in OWNER.refusal(asked)
    asked.plan.target.scheme = "https"
    assert OWNER.refusal(asked) == ""
    assert tunnel_head(asked.plan, parse("https://other.invalid/")).startswith(b"CONNECT shop.invalid:443 ")


@pytest.mark.parametrize(
    "change",
    [
        {"request_target": "@other.invalid/"},
        {"request_target": "/ x"},
        {"method": "GET http://other.invalid/"},
    ],
)
def test_what_would_be_another_url(change: dict[str, str]) -> None:
    assert "can't be asked of a proxy" in reason(assignment(**change))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X", "y\r\n\r\nGET http://other.invalid/ HTTP/1.1"),
        ("Content-Length", "0"),
        ("transfer-encoding", "x"),
    ],
)
def test_what_would_be_another_request(name: str, value: str) -> None:
    asked = assignment()
    asked.plan.requests[0].headers.add(name=name, value=value)
    assert "can't be sent to a proxy" in reason(asked)


def test_what_data_would_make_another_request() -> None:
    asked = assignment(request_target="/{csv:a}")
    asked.plan.template = True
    asked.plan.data.add(name="a", values=[b"x", b"y z\r\n"])
    assert "can't be asked of a proxy" in reason(asked)
    asked.plan.requests[0].request_target = "/{rand:1-5}"
    assert reason(asked) == ""
    asked.plan.requests[0].headers.add(name="X", value="{csv:a}")
    assert "can't be sent to a proxy" in reason(asked)
