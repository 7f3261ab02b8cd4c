"""An answer that comes before the request is sent is read, though the server closes the connection with the rest unread."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.ext import EngineSnapshot, TlsContext, http2_request

from ...certificates import Authority
from ...engines import make_engine
from ...floods import Flood
from ...http2_peer import END_HEADERS, END_STREAM, HEADERS, frame, goaway, settings, window_update

REQUESTS = 40
BODY = bytes(1_000_000)
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
FIELDS = [(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]
ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!"
TO_CLOSE = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nnot all of it"
Serve = Callable[[socket.socket], None]


@pytest.fixture(params=["epoll", "io_uring"])
def io(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module")
def server_tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority().sign("localhost").write(tmp_path_factory.mktemp("tls"), "server"))
    return context


def run(serve: Serve, io: str, count: int = REQUESTS, **fields: Any) -> EngineSnapshot:
    def serve_at_once(_: Flood, client: socket.socket) -> None:
        # What is written goes out at once, and not after what the client acknowledges.
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        serve(client)

    with Flood(serve_at_once) as server:
        engine = make_engine(
            io=io,
            addresses=[("127.0.0.1", server.port)],
            connections=2,
            request_count=count,
            **{"messages": [(POST, False)], **fields},
        )
        engine.start(1)
        engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    return snapshot


def refuse(client: socket.socket) -> None:
    """Answer after the first bytes of a body, and close."""
    assert client.recv(20_000)
    client.sendall(ANSWER)


def refuse_over_http2(client: socket.socket) -> None:
    client.sendall(settings(window=1 << 30) + window_update(0, 1 << 30))
    heard = 0
    while heard < 30_000:
        heard += len(client.recv(10_000))
    client.sendall(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x48\x03413") + goaway(1))


def test_over_http1(io: str) -> None:
    assert run(refuse, io).responses == {413: REQUESTS}


def test_over_tls(io: str, server_tls: ssl.SSLContext) -> None:
    def serve(client: socket.socket) -> None:
        with server_tls.wrap_socket(client, server_side=True) as encrypted:
            refuse(encrypted)

    assert run(serve, io, tls=TlsContext("localhost", insecure=True)).responses == {413: REQUESTS}


def test_over_http2(io: str) -> None:
    post = http2_request(FIELDS, BODY, False)
    snapshot = run(refuse_over_http2, io, messages=[(post, False)], http2=True, streams=1)
    assert snapshot.responses == {413: REQUESTS}


def test_through_a_tunnel(io: str) -> None:
    def serve(client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        refuse(client)

    tunnel = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n"
    assert run(serve, io, tunnel=tunnel).responses == {413: REQUESTS}


def test_a_server_that_says_nothing_has_reset_the_connection(io: str) -> None:
    def serve(client: socket.socket) -> None:
        assert client.recv(20_000)

    assert run(serve, io).errors == {"reset": REQUESTS}


@pytest.mark.parametrize("closes", [True, False], ids=["with close_notify", "without"])
def test_content_to_the_end_of_tls_needs_close_notify(
    io: str, closes: bool, server_tls: ssl.SSLContext
) -> None:
    """Without it, anybody on the way can have cut the content off (RFC 9112, 9.8)."""

    def serve(client: socket.socket) -> None:
        with server_tls.wrap_socket(client, server_side=True) as encrypted:
            assert encrypted.recv(20_000)
            encrypted.sendall(TO_CLOSE)
            if closes:
                encrypted.unwrap()

    get = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    snapshot = run(serve, io, 6, messages=[(get, False)], tls=TlsContext("localhost", insecure=True))
    assert (snapshot.responses, snapshot.errors) == (({200: 6}, {}) if closes else ({}, {"closed early": 6}))
