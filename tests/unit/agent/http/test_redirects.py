"""The request after a redirect: method, body, fields and origin, as Go's client chooses them."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from heyfleet.agent.http.location import resolve_location
from heyfleet.agent.http.redirects import Follower, _survives
from heyfleet.agent.policy import HostPolicy
from heyfleet.plan.url import parse
from heyfleet.proto.plan_pb2 import HTTP_2, Header, Plan, Request, Resolve, Target


class FakeEngine:
    """Takes origins; the real one is in tests/integration/test_redirects.py."""

    def __init__(self) -> None:
        self.origins: list[list[tuple[str, int]]] = []

    def add_origin(self, addresses: list[tuple[str, int]], tls: object) -> int:
        self.origins.append(addresses)
        return len(self.origins)


def follower(
    method: str = "GET", *, body: bytes = b"", policy: HostPolicy | None = None, **more: Any
) -> Follower:
    fields = {"Host": "shop.test", "Authorization": "Basic x", "Cookie": "a=b", "Content-Type": "text/html"}
    plan = Plan(
        target=Target(scheme="http", host="shop.test", port=80),
        requests=[
            Request(
                method=method,
                request_target="/a/b?q=1",
                headers=[Header(name=name, value=value) for name, value in fields.items()],
                body=body,
            )
        ],
        resolve=[Resolve(to_hosts=["127.0.0.1"])],
        **more,
    )
    made = Follower(plan, plan.http == HTTP_2, policy or HostPolicy())
    made.bind(FakeEngine())  # type: ignore[arg-type]
    return made


def next_request(follow: Follower, status: int, location: bytes) -> tuple[str, dict[str, str], bytes, int]:
    """Return request line, fields, body and origin of the request after a redirect."""
    answer = follow(0, status, location)
    assert isinstance(answer, tuple)
    number, data, head, idempotent, origin = answer
    assert number > 0
    text, _, body = data.partition(b"\r\n\r\n")
    line, *fields = text.decode("latin-1").split("\r\n")
    assert head == line.startswith("HEAD ")
    assert idempotent == (not line.startswith(("POST ", "PATCH ")))
    return line, dict(field.split(": ", 1) for field in fields), body, origin


@pytest.mark.parametrize(
    ("location", "target"),
    [
        (b"/there", "/there"),
        (b"there?x", "/a/there?x"),
        (b"../up", "/up"),
        (b"?only=query", "/a/b?only=query"),
        (b"//shop.test/x", "/x"),
        (b"http://shop.test:80/x#part", "/x"),
        (b"HTTP://SHOP.test/x", "/x"),
        (b"/with space", "/with%20space"),
        ("/h\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), "/h%C3%A9"),
        (b"/h\xe9", "/h%E9"),
        (b"", "/a/b?q=1"),
    ],
)
def test_locations_within_the_origin(location: bytes, target: str) -> None:
    line, fields, _, origin = next_request(follower(), 302, location)
    assert line == f"GET {target} HTTP/1.1"
    assert origin == 0
    assert fields["Host"] == "shop.test"
    assert fields["Authorization"] == "Basic x"
    assert fields["Referer"] == "http://shop.test/a/b?q=1"


@pytest.mark.parametrize("status", [301, 302, 303])
@pytest.mark.parametrize(
    ("method", "after"), [("GET", "GET"), ("HEAD", "HEAD"), ("POST", "GET"), ("PUT", "GET")]
)
def test_the_method_becomes_get(status: int, method: str, after: str) -> None:
    line, fields, body, _ = next_request(follower(method, body=b"x=1"), status, b"/c")
    assert line == f"{after} /c HTTP/1.1"
    assert body == b""
    assert "Content-Type" not in fields
    assert "Content-Length" not in fields


@pytest.mark.parametrize("status", [307, 308])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_the_method_and_the_body_stay(status: int, method: str) -> None:
    line, fields, body, _ = next_request(follower(method, body=b"x=1"), status, b"/c")
    assert line == f"{method} /c HTTP/1.1"
    assert body == b"x=1"
    assert fields["Content-Type"] == "text/html"
    assert fields["Content-Length"] == "3"


SECRETS = ("Authorization", "Cookie", "Proxy-Authorization", "X-Api-Key", "X-Auth-Token", "Session-Id")


@pytest.mark.parametrize(
    ("base", "location", "survive"),
    [
        ("http://shop.test/", b"/there", True),
        ("http://shop.test/", b"http://shop.test:8080/", True),
        ("http://shop.test/", b"http://www.shop.test:8080/", True),
        ("https://shop.test/", b"https://www.shop.test/", True),
        ("http://shop.test/", b"http://other.test/", False),
        ("http://shop.test/", b"http://test/", False),
        ("http://shop.test/", b"http://evilshop.test/", False),
        ("http://shop.test/", b"http://[::1%25.shop.test]/", False),
        ("https://shop.test/", b"http://shop.test/", False),
        ("https://shop.test/", b"http://www.shop.test/", False),
        ("https://shop.test/", b"https://other.test/", False),
    ],
)
def test_which_headers_survive_a_redirect_to_which_origin(base: str, location: bytes, survive: bool) -> None:
    origin = parse(base)
    url, _ = resolve_location(origin, location)
    assert {_survives(name, origin, url, keeps_body=True) for name in SECRETS} == {survive}
    assert {_survives(name.lower(), origin, url, keeps_body=True) for name in SECRETS} == {survive}
    assert _survives("Accept", origin, url, keeps_body=True)
    assert _survives("Content-Type", origin, url, keeps_body=True)
    assert not _survives("Content-Type", origin, url, keeps_body=False)


def test_credentials_for_a_proxy_do_not_enter_a_tunnel() -> None:
    plain, secure = parse("http://shop.test/"), parse("https://shop.test/")
    assert not _survives("Proxy-Authorization", plain, secure, keeps_body=True)
    assert _survives("Authorization", plain, secure, keeps_body=True)


def test_secrets_are_not_sent_to_another_host() -> None:
    follow = follower()
    _, fields, _, origin = next_request(follow, 302, b"http://other.test/")
    assert origin == 1
    assert fields["Host"] == "other.test"
    assert not {"Authorization", "Cookie"} & set(fields)
    _, fields, _, origin = next_request(follow, 302, b"http://www.shop.test:8080/")
    assert origin == 2
    assert fields["Host"] == "www.shop.test:8080"
    assert fields["Authorization"] == "Basic x"
    assert next_request(follow, 302, b"http://other.test/again")[3] == 1


def test_a_secret_value_is_not_sent_to_another_host_under_any_name() -> None:
    origin = parse("http://shop.test/")
    for value in ("Bearer abc", "Basic dTpw", "eyJhbGciOi.eyJzdWIi.c2ln", "http://shop.test/?token=abc"):
        for location, survive in ((b"http://other.test/", False), (b"http://www.shop.test/", True)):
            url, _ = resolve_location(origin, location)
            assert _survives("X-Upstream", origin, url, keeps_body=True, value=value) is survive
    follow = follower()
    follow._plan.requests[0].headers.add(name="X-Upstream", value="Bearer abc")
    assert "X-Upstream" not in next_request(follow, 302, b"http://other.test/")[1]


def test_another_host_does_not_learn_the_path_that_led_to_it() -> None:
    follow = follower()
    assert next_request(follow, 302, b"http://other.test/")[1]["Referer"] == "http://shop.test/"
    assert next_request(follow, 302, b"http://www.shop.test/")[1]["Referer"] == "http://shop.test/a/b?q=1"


def test_secrets_do_not_come_back_with_a_chain() -> None:
    follow = follower()
    answer = follow(0, 302, b"http://other.test/")
    assert isinstance(answer, tuple)
    again = follow(answer[0], 302, b"http://shop.test/")
    assert isinstance(again, tuple)
    assert b"Basic x" not in again[1]


def test_credentials_in_a_location_are_sent() -> None:
    follow = follower()
    assert next_request(follow, 302, b"http://a:b@other.test/")[1]["Authorization"] == "Basic YTpi"
    assert (
        next_request(follow, 302, b"http://a:b@shop.test/")[1]["Authorization"] == "Basic x"
    )  # the user's own, as in Go


def test_addresses_that_accept_are_preferred() -> None:
    follow = follower()
    engine = FakeEngine()
    follow.bind(engine)  # type: ignore[arg-type]
    follow._plan.resolve[0].to_hosts[:] = ["127.0.0.1", "127.0.0.9"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        follow(0, 302, f"http://other.test:{port}/".encode())
    follow(0, 302, f"http://another.test:{port}/".encode())  # nobody accepts
    assert engine.origins == [[("127.0.0.1", port)], [("127.0.0.1", port), ("127.0.0.9", port)]]


def test_forbidden_addresses_are_not_tried_out() -> None:
    follow = follower(policy=HostPolicy(targets=("shop.test",)))
    follow._plan.resolve[0].to_hosts[:] = ["127.0.0.1", "127.0.0.2"]
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        location = f"http://other.test:{server.getsockname()[1]}/".encode()
        assert follow(0, 302, location) == "redirect: not allowed by the owner of the agent"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_a_host_header_of_the_user_is_kept_for_a_relative_location() -> None:
    follow = follower()
    follow._visits[0].request.headers[0].value = "by.hand"
    assert next_request(follow, 302, b"/x")[1]["Host"] == "by.hand"
    assert next_request(follow, 302, b"http://shop.test/x")[1]["Host"] == "shop.test"


@pytest.mark.parametrize(
    "location", [b"ftp://shop.test/", b"http://", b"http://a b/", b"mailto:x", b"http://x:99999/", b"/\x01"]
)
def test_an_unusable_location_is_an_error(location: bytes) -> None:
    assert follower()(0, 302, location) == "redirect: to no usable address"


def test_an_unknown_host_is_an_error() -> None:
    follow = follower()
    del follow._plan.resolve[:]
    assert follow(0, 302, b"http://nohost.invalid/") == "redirect: to an unknown host"


def test_a_redirect_must_be_allowed_by_the_policy() -> None:
    follow = follower(policy=HostPolicy(targets=("shop.test", "*.shop.test:8080")))
    del follow._plan.resolve[:]
    assert follow(0, 302, b"http://127.0.0.1/") == "redirect: not allowed by the owner of the agent"
    assert (
        follower(policy=HostPolicy(targets=("127.0.0.0/8",)))(0, 302, b"http://127.0.0.1:8080/") is not None
    )


def test_http2_redirects_stay_within_the_origin() -> None:
    follow = follower(http=HTTP_2)
    assert follow(0, 302, b"http://other.test/") is None
    answer = follow(0, 302, b"/x")
    assert isinstance(answer, tuple)
    assert answer[4] == 0


def test_messages_that_the_engine_drops_are_forgotten() -> None:
    follow = follower()
    first, second = follow(0, 302, b"/x"), follow(0, 302, b"/y")
    assert isinstance(first, tuple)
    assert isinstance(second, tuple)
    follow.forget([first[0], 12345])
    assert set(follow._visits) == {0, second[0]}
