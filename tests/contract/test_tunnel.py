"""The io contract through a tunnel: what the suite asks of every backend, as far as a real proxy keeps it, and its failures."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from heyfleet.ext import ERROR_NAMES, EpollIo, IoProbe, TunnelIo, UringIo, backends

from ..proxies import Tinyproxy
from .peer import Peers
from .test_io import (  # noqa: F401
    HOST,
    Net,
    received,
    summary,
    test_a_second_connection_of_the_same_slot,
    test_after_close_nothing_of_the_past_comes,
    test_connect,
    test_connect_without_an_answer_can_be_given_up,
    test_echo_of_small_messages_in_one_connection,
    test_end_of_stream_comes_unasked_and_once,
    test_large_send_is_one_event_and_comes_back_byte_for_byte,
    test_many_slots_at_once,
)

FAILURE = 10_000
INNER = {"epoll": EpollIo, "io_uring": UringIo}
OFFERED = {name for name, available, _ in backends() if available}


def connect_head(port: int) -> bytes:
    return f"CONNECT {HOST}:{port} HTTP/1.1\r\nHost: {HOST}:{port}\r\n\r\n".encode()


class TunnelNet(Net):
    """Peers behind a proxy."""

    def __init__(self, backend: str, ports: dict[str, int], proxy: int) -> None:
        self.backend, self.ports, self.proxy = backend, ports, proxy
        self.io = TunnelIo(INNER[backend](), connect_head(1))
        self.probe = IoProbe(self.io)

    def connect(self, slot: int, peer: str) -> None:
        self.io.lead(slot, connect_head(self.ports[peer]))
        self.probe.connect(slot, (HOST, self.proxy))


@pytest.fixture(scope="module")
def peers() -> Iterator[dict[str, int]]:
    with Peers() as peers:
        yield peers.ports


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    tinyproxy = Tinyproxy(tmp_path_factory.mktemp("tinyproxy"))
    yield tinyproxy.port
    tinyproxy.stop()


@pytest.fixture(params=INNER)
def net(request: pytest.FixtureRequest, peers: dict[str, int], proxy: int) -> Iterator[TunnelNet]:
    if request.param not in OFFERED:
        pytest.skip(f"no {request.param} here")
    net = TunnelNet(request.param, peers, proxy)
    assert net.probe.open(512) == 0
    yield net
    net.probe.shut()


def test_a_peer_that_the_proxy_can_not_reach(net: TunnelNet) -> None:
    for _ in range(2):
        net.connect(3, "refuse")
        assert kinds(net) == ["proxy: refused the tunnel"]
        net.probe.close(3)
    net.connected(3, "echo")
    net.echoed(3, b"still of use")


def kinds(net: TunnelNet) -> list[str]:
    """Of one connect that fails."""
    event = net.one()
    assert event.op == "connect"
    return [ERROR_NAMES[-event.result - FAILURE]]


@pytest.fixture
def says(net: TunnelNet) -> Iterator[list[bytes]]:
    """A proxy that says these pieces, whatever it is asked; without any it closes."""
    pieces: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):  # we may close in the middle of it
                asked = b""
                while not asked.endswith(b"\r\n\r\n"):
                    asked += connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                if pieces:
                    connection.recv(1)

    with socket.create_server((HOST, 0)) as listener:
        net.proxy = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener,), daemon=True)
        thread.start()
        yield pieces
        net.probe.shut()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ([], "proxy: closed before it answered"),
        ([b"HTTP/1.1 407 Who\r\nContent-Length: 3\r\n\r\nwho"], "proxy: authentication required"),
        ([b"HTTP/1.0 403 No\r\n\r\n"], "proxy: refused the tunnel"),
        ([b"HTTP/1.1 101 Other\r\n\r\n"], "proxy: refused the tunnel"),
        ([b"220 smtp.test ready\r\n"], "proxy: protocol error"),
        ([b"HTTP/1.1 200 Yes\r\n" + b"X: y\r\n" * 20_000 + b"\r\n"], "proxy: protocol error"),
    ],
)
def test_answers_that_are_no_tunnel(
    net: TunnelNet, says: list[bytes], answer: list[bytes], kind: str
) -> None:
    says += answer
    net.connect(0, "echo")
    assert kinds(net) == [kind]
    net.quiet()


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 Yes\r\n\r\nfirst words"],
        [b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 299 Yes\r\nContent-Length: 5\r\n", b"\r\nfirst words"],
        [b"HTTP/1.0 200 Yes\r\nTransfer-Encoding: chunked\r\n\r\n", b"first words"],
    ],
)
def test_what_follows_the_head_is_of_the_tunnel(
    net: TunnelNet, says: list[bytes], pieces: list[bytes]
) -> None:
    says += pieces
    net.connect(5, "echo")
    events = net.take(lambda events: len(received(events, 5)) >= 11)
    assert summary(events)[0] == ("connect", 5, 0)
    assert received(events, 5) == b"first words"
    net.probe.close(5)
    net.quiet()
