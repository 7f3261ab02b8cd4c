"""The work of one turn is bounded: whatever a server sends, the loop comes back to its stop rules and signals."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from heyfleet.ext import (
    Engine,
    EngineSnapshot,
    Http1Parser,
    SimIo,
    SimPeer,
    TlsContext,
    hpack_encode,
    http2_request,
)

from ...certificates import Authority
from ...codings import ENCODE
from ...engines import make_engine
from ...floods import Flood, TlsServer, bomb
from ...http2_peer import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    OK,
    SETTINGS,
    Http2Peer,
    frame,
    hello,
    settings,
    window_update,
)

GET = [(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", False)]
FIELDS = [(b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]
H2_GET = [(http2_request([(b":method", b"GET"), *FIELDS], b"", False), False)]
H2_POST = [(http2_request([(b":method", b"POST"), *FIELDS], bytes(100_000), False), False)]
H2_POST_BLOCK = hpack_encode([(b":method", b"POST"), *FIELDS])
STREAMS = 100_000
H2_GET_BLOCK = hpack_encode([(b":method", b"GET"), *FIELDS])
BOMB_BYTES = 16 << 20
# No time that is measured: what ends at all ends far earlier, and what is blind far later, on any host.
PATIENCE_S = 60
MINUTE_NS = 60_000_000_000


def bomb_answer(packed: bytes) -> bytes:
    head = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip, gzip\r\nContent-Length: {}\r\n\r\n"
    return head.format(len(packed)).encode() + packed


def stopped(flood: Flood, **fields: Any) -> Engine:
    """An engine that is stopped in the middle of a flood."""
    with flood:
        engine = make_engine(
            addresses=[("127.0.0.1", flood.port)],
            duration_ns=60 * MINUTE_NS,
            timeout_ns=60 * MINUTE_NS,
            **fields,
        )
        thread = threading.Thread(target=engine.run, daemon=True)
        thread.start()
        engine.start(1)
        assert flood.begun.wait(PATIENCE_S)
        engine.stop()
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "the worker is blind"
    assert engine.stopped_by == "signal"
    return engine


def test_new_redirects_are_looked_at_one_in_a_turn() -> None:
    """Python may look up a name for each of them, and try out its addresses."""
    calls = []

    def follow(message: int, status: int, location: bytes) -> tuple[int, bytes, bool, bool, int]:
        calls.append(message)
        return message + 50, GET[0][0], False, True, 0

    response = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
    network = SimIo({80: SimPeer("answer", response=response)})
    engine = make_engine(
        io=network,
        addresses=[("127.0.0.1", 80)],
        messages=GET * 50,
        order=range(50),
        connections=50,
        request_count=50,
        follower=follow,
    )
    engine.start(1)
    engine.run()
    assert len(calls) == 50 * 11
    assert engine.totals["loop_turns"] >= len(calls)


# Decoding.


def feed_in_turns(parser: Http1Parser, answer: bytes) -> tuple[str, int, int]:
    """Return the result of a response that is read turn by turn, the bytes consumed, and the number of turns."""
    turns, at, result = 0, 0, "paused"
    while result == "paused":
        result, consumed = parser.feed(answer[at:])
        at += consumed
        turns += 1
    return result, at, turns


@pytest.mark.parametrize("coding", ENCODE)
@pytest.mark.parametrize("work", [1, 3, 40])
def test_content_is_decoded_over_several_turns(coding: str, work: int) -> None:
    content = bytes(300_000) + b"the end"
    packed = ENCODE[coding](ENCODE[coding](content))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}, {coding}\r\nContent-Length: {len(packed)}\r\n\r\n"
    answer = head.encode() + packed
    parser = Http1Parser(decode=True, work=work)
    result, at, turns = feed_in_turns(parser, answer)
    assert result == "done"
    assert at == len(answer)
    assert parser.decoded_bytes == len(content)
    assert turns > 300_000 / 4096 / (work + 17)


@pytest.mark.parametrize("layers", [1, 2])
def test_content_that_unpacks_to_nothing_takes_many_turns(layers: int) -> None:
    """What a decoder reads is work too: it can be all blocks and tables."""
    blocks = b"\0\0\0\xff\xff" * 100_000  # of no bytes (RFC 1951, 3.2.4)
    packed = gzip.compress(b"")[:10] + blocks + b"\3\0" + bytes(8)
    work, coded_bytes = 20, len(packed)
    if layers == 2:
        packed = gzip.compress(packed)
    codings = ", ".join(["gzip"] * layers)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {len(packed)}\r\n\r\n"
    answer = head.encode() + packed
    parser = Http1Parser(decode=True, work=work)
    result, _, turns = feed_in_turns(parser, answer)
    assert (result, parser.decoded_bytes) == ("done", 0)
    assert turns > coded_bytes / 32 / (work + 2 * 130)


def test_chunks_behind_a_pause_are_read() -> None:
    packed = gzip.compress(bytes(1 << 20))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (packed[:500], packed[500:]))
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunks
        + b"0\r\n\r\n"
    )
    parser = Http1Parser(decode=True, work=20)
    result, at = "paused", 0
    while result == "paused":
        result, consumed = parser.feed(answer[at:])
        at += consumed
    assert (result, at, parser.body_bytes, parser.decoded_bytes) == (
        "done",
        len(answer),
        len(packed),
        1 << 20,
    )


def test_content_that_unpacks_to_much_takes_many_turns() -> None:
    network = SimIo({80: SimPeer("answer", response=bomb_answer(bomb(BOMB_BYTES >> 20)))})
    engine = make_engine(
        io=network, addresses=[("127.0.0.1", 80)], messages=GET, connections=3, request_count=6, decode=True
    )
    engine.start(1)
    engine.run()
    snapshot = engine.snapshot()
    assert snapshot.responses == {200: 6}
    assert snapshot.counters["decoded_bytes"] == 6 * BOMB_BYTES
    # A turn decodes 4 MiB at most.
    assert engine.totals["loop_turns"] >= 6 * BOMB_BYTES >> 22


def test_a_request_may_time_out_while_its_content_is_decoded() -> None:
    """The rest of its content is forgotten with it, and the next answers are read."""
    answers = [bomb_answer(bomb(1000)), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"]

    def serve(flood: Flood, client: socket.socket) -> None:
        while client.recv(65536):
            client.sendall(answers.pop(0) if len(answers) > 1 else answers[0])

    with Flood(serve) as flood:
        engine = make_engine(
            io="epoll",
            addresses=[("127.0.0.1", flood.port)],
            messages=GET,
            connections=1,
            request_count=3,
            decode=True,
            timeout_ns=50_000_000,
        )
        engine.start(1)
        engine.run()
    snapshot = engine.snapshot()
    assert snapshot.errors["request timeout"] >= 1
    assert snapshot.responses.get(200, 0) + snapshot.errors["request timeout"] == 3


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_a_stop_is_seen_while_content_unpacks(io: str) -> None:
    answer = bomb_answer(bomb(1000))
    asked = threading.Barrier(100)

    def serve(flood: Flood, client: socket.socket) -> None:
        assert client.recv(65536)
        asked.wait(PATIENCE_S)
        client.sendall(answer)
        answered.wait(PATIENCE_S)
        client.recv(65536)

    flood = Flood(serve)
    answered = threading.Barrier(asked.parties, action=flood.begun.set)
    stopped(flood, io=io, messages=GET, connections=asked.parties, decode=True)


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_a_stop_is_seen_while_content_over_http2_unpacks(io: str) -> None:
    packed = bomb(1000)
    block = OK + b"\x5a\x04gzip" * 3

    def serve(flood: Flood, client: socket.socket) -> None:
        client.sendall(settings())
        heard = b""
        while heard.count(H2_GET_BLOCK) < 20:
            heard += client.recv(65536)
        for stream in range(1, 41, 2):
            client.sendall(
                frame(HEADERS, END_HEADERS, stream, block) + frame(DATA, END_STREAM, stream, packed)
            )
        flood.begun.set()
        while client.recv(65536):
            pass

    stopped(Flood(serve), io=io, messages=H2_GET, http2=True, connections=10, streams=20, decode=True)


# Frames of HTTP/2.


def flood_of(frames: bytes, greeting: bytes) -> Flood:
    """Once all requests have come, frames are sent for ever."""

    def read(client: socket.socket) -> None:
        with suppress(OSError):
            while client.recv(1 << 20):
                pass

    def serve(flood: Flood, client: socket.socket) -> None:
        client.sendall(greeting)
        heard = 0
        while heard < STREAMS * (9 + len(H2_POST_BLOCK)):
            heard += len(client.recv(1 << 20))
        threading.Thread(target=read, args=(client,), daemon=True).start()
        for turn in range(1 << 30):
            client.sendall(frames)
            if turn == (4 << 20) // len(frames):
                flood.begun.set()

    return Flood(serve)


def many_windows() -> bytes:
    windows = [(4).to_bytes(2, "big") + (number % 50).to_bytes(4, "big") for number in range(2700)]
    return frame(SETTINGS, 0, 0, b"".join(windows))


FRAMES: dict[str, bytes] = {
    "windows in settings": many_windows(),
    "growing windows": window_update(1, 1) * 1000,
}


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize("frames", FRAMES)
def test_a_stop_is_seen_in_a_flood_of_frames(io: str, frames: str) -> None:
    """Each of them concerns all streams of a connection, of which there are many."""
    stopped(
        flood_of(FRAMES[frames], settings(window=0)),
        io=io,
        messages=H2_POST,
        http2=True,
        connections=1,
        streams=STREAMS,
    )


def test_interim_answers_without_end_are_an_error() -> None:
    interim = frame(HEADERS, END_HEADERS, 1, b"\x48\x03103")
    with Http2Peer(lambda _, stream: interim * 20_000 + hello(stream)) as peer:
        engine = make_engine(
            io="epoll",
            addresses=[("127.0.0.1", peer.port)],
            messages=H2_GET,
            http2=True,
            connections=1,
            request_count=3,
        )
        engine.start(1)
        engine.run()
    assert engine.snapshot().errors == {"header too large": 3}


# Records of TLS.


@pytest.fixture(scope="module")
def tls_server(tmp_path_factory: pytest.TempPathFactory) -> TlsServer:
    paths = Authority().sign("localhost").write(tmp_path_factory.mktemp("tls"), "server")
    return TlsServer(*map(Path, paths))


def tls_run(serve: Callable[[Flood, socket.socket], None], io: str) -> EngineSnapshot:
    with Flood(serve) as flood:
        engine = make_engine(
            io=io,
            addresses=[("127.0.0.1", flood.port)],
            messages=GET,
            connections=2,
            request_count=4,
            tls=TlsContext("localhost", insecure=True),
        )
        engine.start(1)
        engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    return snapshot


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_keys_that_change_without_end_are_an_error(io: str, tls_server: TlsServer) -> None:
    def serve(flood: Flood, client: socket.socket) -> None:
        connection = tls_server.accept(client)
        assert connection.read()
        for _ in range(10_000):
            connection.change_keys()
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert tls_run(serve, io).errors == {"TLS: protocol error": 4}


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_keys_may_change_with_the_content(io: str, tls_server: TlsServer) -> None:
    content = bytes(1000)

    def serve(flood: Flood, client: socket.socket) -> None:
        connection = tls_server.accept(client)
        while connection.read():
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (200 * len(content)))
            for _ in range(200):
                connection.change_keys()
                connection.write(content)

    snapshot = tls_run(serve, io)
    assert snapshot.responses == {200: 4}
    assert snapshot.counters["body_bytes"] == 4 * 200 * len(content)
    assert snapshot.counters["connections_opened"] == 2
