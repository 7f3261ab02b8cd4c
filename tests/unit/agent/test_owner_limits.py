"""A runner under the limits of its host's owner, against real servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from heyfleet.agent.http.resolve import look_up_again
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.runner import Runner
from heyfleet.proto.plan_pb2 import (
    CONNECTION_RATE,
    HTTP_2,
    RATE,
    Assignment,
    Header,
    Plan,
    Proxy,
    Request,
    Stage,
    Target,
)
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal

from ...recorder import Recorder

S = 1_000_000_000


def plan(port: int, *, host: str = "127.0.0.1", scheme: str = "http", **more: Any) -> Plan:
    return Plan(
        **{
            "target": Target(scheme=scheme, host=host, port=port),
            "requests": [
                Request(method="GET", request_target="/", headers=[Header(name="Host", value=host)], weight=1)
            ],
            "connections": 4,
            "workers": 2,
            **more,
        }
    )


def rate(per_s: float, model: int = RATE) -> dict[str, Any]:
    return {"load_model": model, "stages": [Stage(first=per_s, last=per_s)]}


def prepare(made: Plan, policy: HostPolicy) -> tuple[Runner, Ready | Refusal]:
    runner = Runner(policy)
    assignment = Assignment(
        run_id="r", agent="a", plan=made, connections=made.connections, request_count=made.request_count
    )
    return runner, runner.prepare(assignment)


def refusal(made: Plan, policy: HostPolicy) -> str:
    runner, answer = prepare(made, policy)
    runner.stop()
    assert isinstance(answer, Refusal)
    return answer.reason


def run(made: Plan, policy: HostPolicy) -> tuple[Done, dict[str, int]]:
    """Carry a plan out; return its totals, and how many sends waited and were retried."""
    runner, answer = prepare(made, policy)
    assert isinstance(answer, Ready), answer.reason
    runner.start()
    counts = {"rate_limited": 0, "redirects": 0}
    for snapshot in runner.snapshots():
        for name in counts:
            counts[name] += getattr(snapshot, name)
    return runner.done(), counts


class Redirecting(BaseHTTPRequestHandler):
    """Redirects for ever."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.seen += 1  # type: ignore[attr-defined]
        self.send_response(302)
        self.send_header("Location", f"/{self.server.seen % 7}")  # type: ignore[attr-defined]
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Log nothing."""


@contextmanager
def redirecting() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Redirecting) as server:
        server.seen = 0  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("model", [RATE, CONNECTION_RATE])
def test_a_target_that_redirects_gets_no_more_than_the_highest_rate(model: int) -> None:
    with redirecting() as server:
        made = plan(server.server_address[1], duration_ns=3 * S, **rate(20, model))
        done, counts = run(made, HostPolicy(max_rate=20))
        wall_s = max(worker.wall_ns for worker in done.workers) / S
    assert counts["redirects"] > 10
    assert counts["rate_limited"] > 10
    assert server.seen <= 20 * (wall_s + 0.1) + 1  # type: ignore[attr-defined]


def test_a_low_rate_is_kept_by_few_workers() -> None:
    assert HostPolicy(max_rate=20).workers_at_most(64) == 1
    assert HostPolicy(max_rate=250).workers_at_most(64) == 3
    assert HostPolicy().workers_at_most(64) == 64
    with Recorder() as server:
        runner, answer = prepare(plan(server.port, duration_ns=S, **rate(20)), HostPolicy(max_rate=20))
        runner.stop()
    assert isinstance(answer, Ready)
    assert answer.workers == 1


@pytest.mark.parametrize(
    "change",
    [
        {"method": "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"},
        {"request_target": "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /"},
        {"headers": [Header(name="X", value="y\r\n\r\nGET / HTTP/1.1\r\nHost: a")]},
        {"headers": [Header(name="X\r\n\r\nGET / HTTP/1.1\r\nHost", value="a")]},
        {"headers": [Header(name="Content-Length", value="0")], "body": b"GET / HTTP/1.1\r\n\r\n"},
        {"headers": [Header(name=" Content-Length", value="0")], "body": b"GET / HTTP/1.1\r\n\r\n"},
    ],
)
def test_several_requests_in_one_are_refused_where_the_rate_is_limited(change: dict[str, Any]) -> None:
    request = Request(**{"method": "GET", "request_target": "/", "weight": 1, **change})
    with Recorder() as server:
        made = plan(server.port, requests=[request], duration_ns=S, **rate(20))
        assert "could be read as another request than it is" in refusal(made, HostPolicy(max_rate=20))
        runner, answer = prepare(made, HostPolicy())
        runner.stop()
        assert isinstance(answer, Ready)  # without a limit, plans may send what they like


def test_a_run_that_ends_by_its_count_ends_by_the_longest_duration_too() -> None:
    with Recorder() as server:
        done, _ = run(plan(server.port, request_count=10**9), HostPolicy(max_duration_ns=S // 4))
    assert done.stopped_by == "limit"
    assert done.sent == done.responses + done.errors + done.abandoned > 0
    assert done.unsent == 10**9 - done.sent


class NameServer:
    """Gives name.test other addresses at each lookup; the last ones stay."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.lookups = 0
        self._look_up = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, host: str, *rest: Any, **more: Any) -> list[Any]:
        hosts = [host]
        if host == "name.test":
            hosts = self.answers[min(self.lookups, len(self.answers) - 1)]
            self.lookups += 1
        return [entry for each in hosts for entry in self._look_up(each, *rest, **more)]


@pytest.fixture
def forbidden() -> Iterator[socket.socket]:
    """A server at an address that the tests' policies do not allow."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def saw_nobody(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return True
    return False


SECOND = HostPolicy(("127.0.0.2/32",))


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"scheme": "https", "http": HTTP_2},  # one connection finds out the protocol
        {"scheme": "https", "proxy": Proxy(host="name.test", port=0)},
    ],
)
def test_a_name_that_moves_to_a_forbidden_address_is_not_followed_there(
    monkeypatch: pytest.MonkeyPatch, forbidden: socket.socket, more: dict[str, Any]
) -> None:
    names = NameServer(monkeypatch, ["127.0.0.2"], ["127.0.0.1"])
    port = forbidden.getsockname()[1]
    made = plan(port, host="name.test", request_count=1, **more)
    if "proxy" in more:
        made.proxy.port, made.target.host = port, "127.0.0.2"
    runner, answer = prepare(made, SECOND)
    runner.stop()
    assert isinstance(answer, Ready)
    assert (list(answer.addresses), names.lookups) == (["127.0.0.2"], 1)
    assert look_up_again(made, SECOND) == []  # a lookup during the run
    assert saw_nobody(forbidden)


@pytest.mark.parametrize("addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"]])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_run_to_a_forbidden_address_is_refused_before_any_connection(
    monkeypatch: pytest.MonkeyPatch, forbidden: socket.socket, addresses: list[str], scheme: str
) -> None:
    names = NameServer(monkeypatch, addresses)
    made = plan(forbidden.getsockname()[1], host="name.test", scheme=scheme, http=HTTP_2, request_count=1)
    assert "at 127.0.0.1, only 127.0.0.2/32 (--allow-target)" in refusal(made, SECOND)
    assert names.lookups == 1
    assert saw_nobody(forbidden)


@pytest.mark.parametrize("place", ["target", "proxy", "resolve"])
@pytest.mark.parametrize("host", ["127.0.0.1\0.example.com", "127.0.0.1\r\nX: a.example.com"])
def test_a_name_is_never_cut_to_an_address(forbidden: socket.socket, place: str, host: str) -> None:
    port = forbidden.getsockname()[1]
    made = plan(port, host=host if place == "target" else "a.example.com", request_count=1)
    if place == "proxy":
        made.proxy.host, made.proxy.port = host, port
    if place == "resolve":
        made.resolve.add(to_hosts=[host])
    assert "check the URL, the proxy and --resolve" in refusal(made, HostPolicy(("*.example.com",)))
    assert saw_nobody(forbidden)


def test_a_host_with_a_line_break_does_not_reach_an_allowed_proxy(forbidden: socket.socket) -> None:
    made = plan(
        80,
        host="a.example.com/ HTTP/1.1\r\nHost: a\r\n\r\nGET http://127.0.0.1:1/",
        proxy=Proxy(host="127.0.0.1", port=forbidden.getsockname()[1]),
        request_count=1,
    )
    policy = HostPolicy(("127.0.0.1", "*.example.com*", "a.*"))
    assert "check the URL, the proxy and --resolve" in refusal(made, policy)
    assert saw_nobody(forbidden)
