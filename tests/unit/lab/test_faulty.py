"""The bytes of every behavior, through a plain socket, from the real server."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from heyfleet.lab.faulty import _stall
from heyfleet.lab.response import UNSOLICITED

if TYPE_CHECKING:
    from tests.conftest import Faulty

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
BIG = OK + b"Content-Length: 2097152\r\n\r\n" + b"hello" * 419430 + b"he"
LAST = OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello"


def get(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: lab\r\n{more}\r\n".encode()


def connect(target: Faulty) -> socket.socket:
    return socket.create_connection(("127.0.0.1", target.port), timeout=10)


def receive(connection: socket.socket) -> tuple[bytes, str]:
    """All that comes, and how it ends: `close`, `reset`, or `open` when the socket's timeout runs out."""
    received = bytearray()
    while True:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return bytes(received), "reset"
        except TimeoutError:
            return bytes(received), "open"
        if not part:
            return bytes(received), "close"
        received += part


def exchange(target: Faulty, *requests: bytes) -> tuple[bytes, str]:
    with connect(target) as connection:
        connection.sendall(b"".join(requests))
        return receive(connection)


def answer(target: Faulty, path: str, method: str = "GET") -> bytes:
    """The answer of a behavior that keeps the connection, which the request that follows it proves."""
    received, end = exchange(target, get(path, method), get("/connection/close"))
    assert end == "close"
    assert received.endswith(LAST)
    return received[: -len(LAST)]


@pytest.mark.parametrize(
    ("path", "wire"),
    [
        ("/ok", HELLO),
        ("/ok?delay=2ms&jitter=1ms&tail=50%25/1ms", HELLO),
        ("/delay/100us", HELLO),
        ("/status/503", HELLO.replace(b"200 OK", b"503 Service Unavailable")),
        ("/status/204", b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n\r\n"),
        ("/status/304", b"HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\n\r\n"),
        ("/size/12", OK + b"Content-Length: 12\r\n\r\nhellohellohe"),
        ("/size/0", OK + b"Content-Length: 0\r\n\r\n"),
        ("/size/1MiB", OK + b"Content-Length: 1048576\r\n\r\n" + (b"hello" * 209716)[: 1 << 20]),
        ("/headers/1", OK + b"Content-Length: 5\r\nX-Extra-1: 1\r\n\r\nhello"),
        ("/header-bytes", OK + b"Content-Length: 5\r\nX-Huge: " + b"x" * 102400 + b"\r\n\r\nhello"),
        ("/interim/103", b"HTTP/1.1 103 Early Hints\r\nX-Interim: 103\r\n\r\n" + HELLO),
        ("/trickle", HELLO),
        ("/pieces/1,3,7?gap=100us", HELLO),
        ("/pieces/1,3,7?gap=0", HELLO),
        ("/chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n"),
        ("/length/3", OK + b"Content-Length: 3\r\n\r\nhello"),
        ("/bare-lf", HELLO.replace(b"\r\n", b"\n")),
        ("/unsolicited", HELLO + UNSOLICITED),
        ("/unsolicited/1ms", HELLO + UNSOLICITED),
        ("/share/0%?status=500", HELLO),
        ("/keepalive/2", HELLO),
        ("/idle-close/1m", HELLO),
    ],
)
def test_bytes_on_a_connection_that_stays(faulty: Faulty, path: str, wire: bytes) -> None:
    assert answer(faulty, path) == wire


@pytest.mark.parametrize(
    ("path", "wire", "end"),
    [
        ("/connection", LAST, "close"),
        ("/version/1.0", HELLO.replace(b"1.1", b"1.0"), "close"),
        ("/to-close", OK + b"\r\nhello", "close"),
        ("/length/9", OK + b"Content-Length: 9\r\n\r\nhello", "close"),
        ("/bad-chunk", OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "close"),
        ("/keepalive", HELLO, "close"),
        ("/close", b"", "close"),
        ("/close-after/20", HELLO[:20], "close"),
        ("/close-after/1MiB?size=2MiB", BIG[: 1 << 20], "close"),
        ("/trickle?close-after=3", b"HTT", "close"),
        ("/reset", b"", "reset"),
        ("/reset-after/20", HELLO[:20], "reset"),
        ("/pieces/9?reset-after=20&delay=1ms", HELLO[:20], "reset"),
    ],
)  # fmt: skip
def test_bytes_and_end_of_a_connection(faulty: Faulty, path: str, wire: bytes, end: str) -> None:
    assert exchange(faulty, get(path), get("/ok")) == (wire, end)


def test_garbage_then_close(faulty: Faulty) -> None:
    received, end = exchange(faulty, get("/garbage/300"))
    assert (len(received), end) == (300, "close")
    assert not received.startswith(b"HTTP")


@pytest.mark.parametrize(
    ("path", "wire"), [("/never", b""), ("/half", b"HTTP/1.1 2"), ("/hang-after/70", HELLO)]
)
def test_nothing_more_comes_and_the_connection_stays(faulty: Faulty, path: str, wire: bytes) -> None:
    abandoned = faulty.stats()["abandoned"].get("hung", 0)
    with connect(faulty) as connection:
        connection.settimeout(0.2)
        connection.sendall(get(f"{path}?label=hung") + get("/ok"))
        assert receive(connection) == (wire, "open")
    while faulty.stats()["abandoned"].get("hung", 0) == abandoned:
        time.sleep(0.01)


def test_idle_close_comes_without_a_word(faulty: Faulty) -> None:
    assert exchange(faulty, get("/ok"), get("/idle-close/5ms")) == (HELLO + HELLO, "close")


def test_head_has_no_body(faulty: Faulty) -> None:
    assert answer(faulty, "/ok", "HEAD") == HELLO[:-5]
    assert answer(faulty, "/chunked", "HEAD") == OK + b"Transfer-Encoding: chunked\r\n\r\n"


def test_pieces_come_one_by_one(faulty: Faulty) -> None:
    with connect(faulty) as connection:
        connection.sendall(get("/pieces/30?gap=200ms"))
        parts = [connection.recv(65536) for _ in range(3)]
    assert parts == [HELLO[:30], HELLO[30:60], HELLO[60:]]


def test_a_delayed_answer_holds_up_no_other_connection(faulty: Faulty) -> None:
    with connect(faulty) as slow:
        slow.sendall(get("/delay/1s"))
        assert exchange(faulty, get("/connection/close")) == (LAST, "close")
        slow.settimeout(0.01)
        assert receive(slow) == (b"", "open")


def test_answers_on_one_connection_keep_their_order(faulty: Faulty) -> None:
    pipelined = [get(f"/ok?size={size}&delay={delay}") for size, delay in ((1, "5ms"), (2, "0"), (3, "2ms"))]
    received, _ = exchange(faulty, *pipelined, get("/connection/close"))
    assert [part.partition(b"\r\n\r\n")[2] for part in received.split(b"HTTP/1.1 200 OK")[1:4]] == [
        b"h",
        b"he",
        b"hel",
    ]


def test_a_client_that_does_not_read_is_waited_for(faulty: Faulty) -> None:
    with connect(faulty) as connection:
        connection.sendall(get("/size/16MiB") * 3 + get("/connection/close"))
        time.sleep(0.05)  # until all buffers between the two are full
        received, end = receive(connection)
    assert end == "close"
    assert len(received) == 3 * (len(OK) + len(b"Content-Length: 16777216\r\n\r\n") + (1 << 24)) + len(LAST)


@pytest.mark.parametrize(("path", "status"), [("/ok?delay=fast", 400), ("/favicon.ico", 404)])
def test_a_url_that_is_not_understood(faulty: Faulty, path: str, status: int) -> None:
    received = answer(faulty, path).decode()
    assert received.startswith(f"HTTP/1.1 {status} ")
    line = received.partition("\r\n\r\n")[2]
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert ("delay=fast" if status == 400 else "favicon.ico") in line


def test_what_is_no_request_gets_400_and_the_end(faulty: Faulty) -> None:
    before = faulty.stats()["requests"].get("bad-request", 0)
    received, end = exchange(faulty, get("/ok"), b"what?\r\n\r\n", get("/ok"))
    assert received.startswith(HELLO + b"HTTP/1.1 400 Bad Request\r\n")
    assert received.endswith(b"request line: b'what?'\n")
    assert end == "close"
    assert faulty.stats()["requests"]["bad-request"] == before + 1


@pytest.mark.parametrize("path", ["/", "/help"])
def test_the_list(faulty: Faulty, path: str) -> None:
    assert b"reset-after" in answer(faulty, path)


def echo(target: Faulty, request: bytes) -> Any:
    received, _ = exchange(target, request, get("/connection/close"))
    return json.loads(received[: -len(LAST)].partition(b"\r\n\r\n")[2])


def test_echo_tells_the_request_byte_for_byte(faulty: Faulty) -> None:
    body = bytes(range(256)) * 8
    request = (
        b"POST /echo?label=%41 HTTP/1.1\r\nhOST: lab\r\nX-A: \xe9\r\nX-A:two\r\nContent-Length: 2048\r\n\r\n"
    )
    assert echo(faulty, request + body) == {
        "method": "POST",
        "target": "/echo?label=%41",
        "version": "1.1",
        "headers": [["hOST", "lab"], ["X-A", "\xe9"], ["X-A", "two"], ["Content-Length", "2048"]],
        "is_chunked": False,
        "body_bytes": 2048,
        "body_sha256": hashlib.sha256(body).hexdigest(),
        "body_first_kib": body[:1024].decode("latin-1"),
    }


def test_echo_of_a_chunked_body(faulty: Faulty) -> None:
    chunks = b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    told = echo(faulty, get("/echo?trickle&gap=0", "PUT", "Transfer-Encoding: chunked\r\n") + chunks)
    assert told["is_chunked"]
    assert told["body_first_kib"] == "onetwo"


def test_counts_what_it_saw(start_faulty: Callable[..., Faulty]) -> None:
    target = start_faulty()
    exchange(target, get("/ok") * 7, get("/reset"))
    exchange(target, get("/status/500") * 2, get("/ok?label=mine"), get("/keepalive"))
    with connect(target):
        counters = target.stats()
    seen = {"ok": 7, "reset": 1, "status": 2, "mine": 1, "keepalive": 1, "stats": 1}
    assert counters["requests"] == seen
    assert counters["connections"] == {"ok": 1, "status": 1, "stats": 1}
    assert (counters["accepted"], counters["open"], counters["abandoned"]) == (4, 2, {})
    code, said = target.stop()
    assert code == 0
    assert said == (
        "heyfleet lab: 13 requests on 4 connections: keepalive 1, mine 1, ok 7, reset 1, stats 1, status 2\n"
    )


@pytest.mark.parametrize("overflow", ["reset", "close"])
def test_one_connection_too_many_is_ended(start_faulty: Callable[..., Faulty], overflow: str) -> None:
    target = start_faulty("--max-connections", "1", "--overflow", overflow)
    with connect(target) as first:
        first.sendall(get("/ok"))
        assert first.recv(65536) == HELLO
        try:
            with connect(target) as second:
                assert receive(second) == (b"", overflow)
        except ConnectionResetError:  # the reset was there before connect() returned
            assert overflow == "reset"
        first.sendall(get("/stats?connection=close"))
        received, _ = receive(first)
    assert b'"overflowed": 1' in received


def test_one_connection_too_many_waits_for_its_turn(start_faulty: Callable[..., Faulty]) -> None:
    target = start_faulty("--max-connections", "1", "--overflow", "stall")
    with connect(target) as first, connect(target) as gone, connect(target) as second:
        first.sendall(get("/ok"))
        assert first.recv(65536) == HELLO
        gone.close()
        second.sendall(get("/connection/close"))
        second.settimeout(0.1)
        assert receive(second) == (b"", "open")
        first.close()
        second.settimeout(10)
        assert receive(second) == (LAST, "close")


def test_the_default_and_the_seed(start_faulty: Callable[..., Faulty]) -> None:
    targets = [start_faulty("--default", "size=3", "--seed", seed) for seed in ("1", "1", "2")]
    assert answer(targets[0], "/") == OK + b"Content-Length: 3\r\n\r\nhel"
    assert answer(targets[0], "/ok?status=200") == HELLO
    first, second, other = (
        exchange(target, get("/garbage/50"))[0] for target in (start_faulty("--seed", "1"), *targets[1:])
    )
    assert first == second != other


def test_thousands_of_connections(faulty: Faulty) -> None:
    connections = [connect(faulty) for _ in range(2000)]
    try:
        for connection in connections:
            connection.sendall(get("/ok"))
        assert {connection.recv(65536) for connection in connections} == {HELLO}
    finally:
        for connection in connections:
            connection.close()


def test_a_stall_holds_up_the_loop_and_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    stalls: list[float] = []
    enough = asyncio.Event()

    def sleep(seconds: float) -> None:
        stalls.append(seconds)
        if len(stalls) == 3:
            enough.set()

    monkeypatch.setattr(time, "sleep", sleep)

    async def run() -> None:
        _stall(0.5, 0.001)
        await enough.wait()

    asyncio.run(run())
    assert stalls[:3] == [0.5, 0.5, 0.5]  # a loop that was late has had more
