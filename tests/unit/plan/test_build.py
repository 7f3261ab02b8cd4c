"""Plans made from options."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan, whole_plan
from heyfleet.plan.options import RunOptions
from heyfleet.proto.plan_pb2 import CLOSED, Plan


def plan_of(url: str = "http://localhost:8080/", **flags: Any) -> Plan:
    return make_plan(RunOptions(url=url, user_agent="heyfleet/0", **flags))


def headers_of(**flags: Any) -> list[tuple[str, str]]:
    return [(header.name, header.value) for header in plan_of(**flags).requests[0].headers]


def test_defaults_are_those_of_hey() -> None:
    plan = plan_of()
    assert (plan.request_count, plan.connections, plan.duration_ns, plan.load_model) == (200, 50, 0, CLOSED)
    assert (plan.timeout_ns, plan.trace_rows, len(plan.stages)) == (20_000_000_000, 0, 0)
    (request,) = plan.requests
    assert (request.name, request.method, request.body, request.weight) == ("GET /", "GET", b"", 1)
    assert headers_of() == [
        ("Host", "localhost:8080"),
        ("User-Agent", "heyfleet/0"),
        ("Accept-Encoding", "gzip"),
    ]


@pytest.mark.parametrize(
    ("flags", "requests", "connections"),
    [
        ({"requests": 10}, 10, 10),
        ({"requests": 10, "connections": 20}, 10, 10),
        ({"requests": 105, "connections": 50}, 105, 50),
        ({"duration_ns": 1}, 0, 50),
        ({"duration_ns": 1, "connections": 300}, 0, 300),
        ({"duration_ns": 1, "requests": 7}, 7, 7),
        ({"connections": 300}, 200, 200),
    ],
)
def test_requests_and_connections(flags: dict[str, Any], requests: int, connections: int) -> None:
    plan = plan_of(**flags)
    assert (plan.request_count, plan.connections) == (requests, connections)


def test_the_order_of_headers() -> None:
    assert headers_of(
        accept="text/html",
        credentials="me:pass",
        body="x",
        host="other",
        headers=(("X", "1"), ("x", "2"), ("X", "1")),
    ) == [
        ("Host", "other"),
        ("User-Agent", "heyfleet/0"),
        ("Accept", "text/html"),
        ("Accept-Encoding", "gzip"),
        ("Authorization", "Basic bWU6cGFzcw=="),
        ("Content-Type", "text/html"),
        ("X", "1"),
        ("x", "2"),
        ("X", "1"),
    ]


def test_a_header_option_replaces_a_default_header() -> None:
    mine = (("user-agent", ""), ("HOST", "h"), ("Accept-encoding", "br"), ("content-type", "a/b"))
    assert headers_of(headers=mine, body="x", host="other") == [("Host", "h"), *(mine[:1] + mine[2:])]


def test_content_type_is_sent_with_a_body_or_by_its_flag() -> None:
    assert "Content-Type" not in dict(headers_of())
    assert dict(headers_of(body="x"))["Content-Type"] == "text/html"
    assert dict(headers_of(content_type="a/b"))["Content-Type"] == "a/b"


def test_no_compression() -> None:
    assert "Accept-Encoding" not in dict(headers_of(disable_compression=True))


def test_credentials_come_from_the_flag_before_the_url() -> None:
    url = "http://me:in%20url@localhost/"
    for flags, expected in ({}, b"me:in url"), ({"credentials": "you:flag"}, b"you:flag"):
        authorization = dict(headers_of(url=url, **flags))["Authorization"]
        assert b64decode(authorization.removeprefix("Basic ")) == expected
    assert dict(headers_of(url=url))["Host"] == "localhost"


def test_two_hosts_are_refused() -> None:
    with pytest.raises(InputError, match="more than one Host"):
        plan_of(headers=(("Host", "a"), ("host", "b")))


def test_a_bad_url_is_refused() -> None:
    with pytest.raises(InputError, match="no scheme"):
        plan_of("localhost")


def test_the_body_comes_from_a_flag_or_a_file(tmp_path: Path) -> None:
    path = tmp_path / "body"
    path.write_bytes(b"\x00\xff")
    assert plan_of(body="gr\u00fcn\udcff").requests[0].body == b"gr\xc3\xbcn\xff"
    assert plan_of(body="text", body_file=str(path)).requests[0].body == b"\x00\xff"


def test_an_unreadable_body_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"-D: can't read '.*none': No such file"):
        plan_of(body_file=str(tmp_path / "none"))
    with pytest.raises(InputError, match="it is a directory"):
        plan_of(body_file=str(tmp_path))
    with pytest.raises(InputError, match="null byte"):
        plan_of(body_file="\0")


@pytest.mark.parametrize(
    ("flags", "rows"),
    [({"requests": 7}, 7), ({"requests": 2_000_000}, 1_000_000), ({"duration_ns": 1}, 1_000_000)],
)
def test_rows_are_traced_for_csv_only(flags: dict[str, Any], rows: int) -> None:
    assert plan_of(**flags, output="csv").trace_rows == rows
    assert plan_of(**flags, output="json").trace_rows == 0


def test_one_agent_gets_the_whole_plan() -> None:
    plan = plan_of(requests=105)
    assignment, other = whole_plan(plan), whole_plan(plan)
    assert (assignment.request_count, assignment.connections, assignment.plan) == (105, 50, plan)
    assert assignment.run_id != other.run_id


def test_both_address_families_exclude_each_other() -> None:
    with pytest.raises(InputError, match="-4 and -6 exclude each other"):
        plan_of(ipv4=True, ipv6=True)
