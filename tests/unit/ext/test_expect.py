"""Bodies that wait for 100 (Continue): sent when the server says so or says nothing, and not when it has answered."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from heyfleet.ext import EngineSnapshot, TlsContext

from ...certificates import Authority
from ...engines import make_engine

BODY = b"x" * 100_000
HEAD = b"PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
NO = b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno"

Talk = Callable[["Client"], None]


class Client:
    """What a server sees of one."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file = connection.makefile("rb")

    def head(self) -> bytes:
        """The next request's head; ConnectionError at the end."""
        lines = b""
        while not lines.endswith(b"\r\n\r\n"):
            line = self.file.readline()
            if not line:
                raise ConnectionError
            lines += line
        return lines

    def body(self) -> None:
        """All of it, and nothing else."""
        assert self.file.read(len(BODY)) == BODY

    def say(self, *words: bytes) -> None:
        """In as many packets."""
        for each in words:
            self.connection.sendall(each)


@contextmanager
def server(talk: Talk, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """Has this talk over and over on each connection."""

    def serve(connection: socket.socket) -> None:
        with (
            suppress(OSError),
            tls.wrap_socket(connection, server_side=True) if tls else connection as spoken,
        ):
            client = Client(spoken)
            while True:
                talk(client)

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
    port: int, request_count: int = 20, message: Any = HEAD + BODY, io: str = "epoll", **more: Any
) -> EngineSnapshot:
    engine = make_engine(
        io=io,
        addresses=[("127.0.0.1", port)],
        messages=[(message, False, False)],
        connections=2,
        request_count=request_count,
        **{"timeout_ns": 10_000_000_000, **more},
    )
    engine.start(1)
    engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    assert (
        snapshot.counters["sent"]
        == request_count
        == sum(snapshot.responses.values()) + sum(snapshot.errors.values())
    )
    return snapshot


def agrees(client: Client) -> None:
    client.head()
    client.connection.settimeout(0.002)
    with pytest.raises(TimeoutError):  # nothing comes unasked
        client.connection.recv(1)
    client.connection.settimeout(None)
    client.say(CONTINUE)
    client.body()
    client.say(OK)


def plain(client: Client) -> None:
    client.head()
    client.say(CONTINUE)
    client.body()
    client.say(OK)


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_the_body_follows_the_word_of_the_server(io: str) -> None:
    with server(agrees) as port:
        snapshot = run(port, io=io)
    assert snapshot.responses == {200: 20}
    assert snapshot.counters["connections_opened"] == 2
    assert snapshot.counters["bytes_sent"] == 20 * len(HEAD + BODY)
    # From the body's last byte to the answer's first, which is not that of 100.
    assert snapshot.histograms["wait"].count == 20
    assert snapshot.histograms["request_write"].min_ns > 2_000_000


def test_over_tls(tmp_path: Path) -> None:
    authority = Authority()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign("localhost").write(tmp_path, "server"))
    with server(plain, context) as port:
        snapshot = run(port, tls=TlsContext("localhost", ca_pem=authority.pem))
    assert snapshot.responses == {200: 20}
    assert snapshot.counters["connections_opened"] == 2
    assert snapshot.counters["bytes_sent"] == 20 * len(HEAD + BODY)


def test_a_template(tmp_path: Path) -> None:
    with server(plain) as port:
        segments = [("text", HEAD[:-2] + b"N: "), ("seq",), ("text", b"\r\n\r\n"), ("body",), ("text", BODY)]
        snapshot = run(port, message=segments)
    assert snapshot.responses == {200: 20}
    assert snapshot.counters["bytes_sent"] == 20 * len(HEAD + BODY) + sum(
        len(f"N: {number}\r\n") for number in range(20)
    )


@pytest.mark.parametrize("words", [(NO,), (NO[:20], NO[20:])])
def test_a_final_answer_leaves_the_body_unsent_and_ends_the_connection(words: tuple[bytes, ...]) -> None:
    def refuses(client: Client) -> None:
        client.head()
        client.say(*words)
        assert client.file.read(1) == b""  # closed, and not a byte more
        raise ConnectionError

    with server(refuses) as port:
        snapshot = run(port)
    assert snapshot.responses == {417: 20}
    assert snapshot.counters["bytes_sent"] == 20 * len(HEAD)
    assert snapshot.counters["connections_opened"] == 20


def test_a_server_that_says_nothing_gets_the_body_after_a_second() -> None:
    def silent(client: Client) -> None:
        client.head()
        client.body()
        client.say(OK)

    with server(silent) as port:
        snapshot = run(port, request_count=2)
    assert snapshot.responses == {200: 2}
    assert snapshot.histograms["request_write"].min_ns >= 1_000_000_000
    assert snapshot.counters["bytes_sent"] == 2 * len(HEAD + BODY)


def test_an_answer_that_has_begun_is_waited_for_without_the_body() -> None:
    def slow(client: Client) -> None:
        client.head()
        client.say(NO[:20])
        client.connection.settimeout(1.3)
        with pytest.raises(TimeoutError):
            client.connection.recv(1)
        client.connection.settimeout(None)
        client.say(NO[20:])
        assert client.file.read(1) == b""
        raise ConnectionError

    with server(slow) as port:
        snapshot = run(port, request_count=2)
    assert snapshot.responses == {417: 2}
    assert snapshot.counters["bytes_sent"] == 2 * len(HEAD)


def test_the_timeout_ends_the_wait() -> None:
    def mute(client: Client) -> None:
        client.head()
        assert client.file.read(1) == b""
        raise ConnectionError

    with server(mute) as port:
        snapshot = run(port, request_count=4, timeout_ns=50_000_000)
    assert snapshot.errors == {"request timeout": 4}
    assert snapshot.counters["bytes_sent"] == 4 * len(HEAD)


def test_without_a_body_there_is_nothing_to_wait_for() -> None:
    def answers(client: Client) -> None:
        client.head()
        client.say(OK)

    with server(answers) as port:
        snapshot = run(port, message=HEAD.replace(b"%d" % len(BODY), b"0"))
    assert snapshot.responses == {200: 20}
    assert snapshot.counters["connections_opened"] == 2
