"""Requests that meet a connection which the server has just closed: sent once more, where that changes nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from heyfleet.ext import EngineSnapshot, SimIo, SimPeer

from ...engines import make_engine

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HOP = b"GET /hop HTTP/1.1\r\nHost: a\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
MS = 1_000_000


@contextmanager
def server(answers: int, reset: bool = False) -> Iterator[int]:
    """Closes each connection after so many answers, without a word."""

    def serve(client: socket.socket) -> None:
        with suppress(OSError), client:
            for _ in range(answers):
                request = client.recv(65536)
                if not request:
                    return
                client.sendall(REDIRECT if request == HOP else ANSWER)
            if not answers:
                client.recv(65536)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def run(
    port: int, *, idempotent: bool, io: str = "epoll", message: bytes = GET, **more: Any
) -> EngineSnapshot:
    engine = make_engine(
        io=io,
        addresses=[("127.0.0.1", port)],
        messages=[(message, False, idempotent)],
        connections=2,
        request_count=60,
        timeout_ns=5_000_000_000,
        **more,
    )
    engine.start(1)
    engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    assert snapshot.counters["sent"] == 60 == sum(snapshot.responses.values()) + sum(snapshot.errors.values())
    return snapshot


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("answers", [1, 3])
def test_what_may_be_repeated_is(io: str, reset: bool, answers: int) -> None:
    with server(answers, reset) as port:
        snapshot = run(port, idempotent=True, io=io)
    assert snapshot.responses == {200: 60}
    assert snapshot.counters["connections_opened"] >= 60 // answers
    assert snapshot.counters["retries"] <= 60 // answers


def test_what_may_not_is_an_error() -> None:
    with server(1) as port:
        snapshot = run(port, idempotent=False)
    assert snapshot.counters["retries"] == 0
    assert set(snapshot.errors) <= {"closed early", "reset"}


def test_a_connection_opened_for_the_request_has_no_excuse() -> None:
    with server(0) as port:
        snapshot = run(port, idempotent=True)
    assert snapshot.responses == {}
    assert sum(snapshot.errors.values()) == 60
    assert snapshot.counters["retries"] <= 2  # those that were opened before the start


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_each_redirect_that_is_followed_may_be_too(io: str) -> None:
    """Every kept connection is closed after one answer, so that both halves of a request meet the end of one."""

    def follow(message: int, status: int, location: bytes) -> tuple[int, bytes, bool, bool, int]:
        assert (message, status, location) == (0, 302, b"/")
        return 1, GET, False, True, 0

    with server(1) as port:
        snapshot = run(port, idempotent=True, io=io, message=HOP, follower=follow)
    assert snapshot.responses == {200: 60}
    assert snapshot.counters["redirects"] == 60
    assert snapshot.counters["connections_opened"] >= 120


def test_its_time_ends_when_it_would_have() -> None:
    """The first request is reset at 600 ms, then waits for a connect until 1300 ms; the second begins at 500 ms.

    If its time began anew, or stood behind the other's, the first would see its connect end.
    """
    network = SimIo({1: SimPeer("reset", delay_ns=600 * MS, connect_delay_ns=700 * MS), 2: SimPeer("silent")})
    engine = make_engine(
        io=network,
        addresses=[("127.0.0.1", 1), ("127.0.0.1", 2)],
        messages=[(GET, False, True)],
        connections=2,
        request_count=2,
        model="connection_rate",
        stages=[(0, 2.0, 2.0)],
        timeout_ns=1000 * MS,
    )
    engine.start(1)
    engine.run()
    snapshot = engine.snapshot()
    assert snapshot.counters["retries"] == 1
    assert snapshot.errors == {"connect timeout": 1, "request timeout": 1}


def test_its_time_runs_on() -> None:
    with server(1) as port:
        snapshot = run(port, idempotent=True, model="rate", stages=[(0, 300.0, 300.0)])
    assert snapshot.responses == {200: 60}
    assert snapshot.histograms["latency"].count == 60
