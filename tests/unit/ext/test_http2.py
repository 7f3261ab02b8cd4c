"""HTTP/2 in the engine against a server that says exactly what a test wants, whole and in pieces, right and wrong."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.ext import EngineSnapshot, http2_request

from ...engines import make_engine
from ...http2_peer import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    OK,
    PADDED,
    PING,
    PRIORITIES,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    Connection,
    Frame,
    Http2Peer,
    frame,
    goaway,
    hello,
    reset,
    settings,
    window_update,
)

PROTOCOL_ERROR = "HTTP/2: protocol error"
Answer = Callable[[Connection, int], bytes]


def request(
    method: bytes = b"GET", body: bytes = b"", extra: list[tuple[bytes, bytes]] | None = None
) -> bytes:
    fields = [(b":method", method), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]
    return http2_request(fields + (extra or []), body, method == b"HEAD")


def run(peer: Http2Peer, message: bytes = b"", start_in_ns: int = 0, **more: Any) -> EngineSnapshot:
    """The whole run of an engine, whose numbers must add up."""
    options: dict[str, Any] = {
        "io": "epoll",
        "connections": 1,
        "request_count": 6,
        "timeout_ns": 5_000_000_000,
        **more,
    }
    engine = make_engine(
        addresses=[("127.0.0.1", peer.port)], messages=[(message or request(), False)], http2=True, **options
    )
    engine.start(time.monotonic_ns() + start_in_ns)
    engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    answered, failed = sum(snapshot.responses.values()), sum(snapshot.errors.values())
    assert (
        snapshot.counters["sent"]
        == answered + failed + snapshot.counters["abandoned"]
        == options["request_count"]
    )
    return snapshot


def in_two(stream: int) -> bytes:
    """Padding, priorities and a block in two parts; an answer before the answer, and fields behind it."""
    block = OK + b"\x00\x01a\x01b"
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x48\x03103")
        + frame(HEADERS, PADDED | PRIORITIES, stream, b"\x02" + bytes(5) + block[:3] + b"\0\0")
        + frame(CONTINUATION, END_HEADERS, stream, block[3:])
        + frame(DATA, PADDED, stream, b"\x03he\0\0\0")
        + frame(DATA, 0, stream)
        + frame(DATA, PADDED, stream, b"\x00llo")
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, b"\x00\x01t\x01v")
    )


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
@pytest.mark.parametrize("piece_bytes", [1, 2, 7, 13, 0])
@pytest.mark.parametrize("streams", [1, 5])
def test_answers_in_any_pieces(io: str, piece_bytes: int, streams: int) -> None:
    noise = (
        frame(0x77, 0xFF, 0, b"unknown") + frame(PING, 0, 0, b"12345678") + frame(PRIORITY, 0, 9, bytes(5))
    )
    with Http2Peer(
        lambda _, stream: noise + in_two(stream) + window_update(0, 7), settings(frame=20000), piece_bytes
    ) as peer:
        snapshot = run(peer, io=io, streams=streams, request_count=30)
    assert snapshot.responses == {200: 30}
    assert snapshot.counters["body_bytes"] == 30 * 5
    assert snapshot.counters["connections_opened"] == 1
    heard = Counter((each.type, each.flags) for each in peer.frames)
    assert heard[SETTINGS, 0] == heard[SETTINGS, ACK] == 1
    assert heard[HEADERS, END_HEADERS | END_STREAM] == 30
    assert heard[PING, ACK] >= 20  # the last ones may meet the end
    assert snapshot.counters["bytes_received"] >= 20 * len(noise + in_two(1))


WRONG = {
    "no settings first": (b"", hello),
    "data before the head": (settings(), lambda s: frame(DATA, END_STREAM, s, b"x")),
    "no status": (settings(), lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, b"\x00\x01a\x01b")),
    "content longer than it says": (
        settings(),
        lambda s: frame(HEADERS, END_HEADERS, s, OK + b"\x5c\x012") + frame(DATA, END_STREAM, s, b"xyz"),
    ),
    "content shorter than it says": (
        settings(),
        lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, OK + b"\x5c\x012"),
    ),
    "a dynamic table": (settings(), lambda s: frame(HEADERS, END_HEADERS | END_STREAM, s, OK + b"\xbe")),
    "a frame too long": (settings(), lambda s: frame(DATA, 0, s, bytes(16385))),
    "padding too long": (settings(), lambda s: frame(DATA, PADDED, s, b"\x05abcd")),
    "padding of fields too long": (settings(), lambda s: frame(HEADERS, PADDED | END_HEADERS, s, b"\x05ab")),
    "a push": (settings(), lambda s: frame(PUSH_PROMISE, END_HEADERS, s, (2).to_bytes(4, "big") + OK)),
    "a stream that nobody opened": (settings(), lambda s: hello(s + 100)),
    "a stream of the server's": (settings(), lambda s: hello(2)),
    "fields of no stream": (settings(), lambda s: frame(HEADERS, END_HEADERS, 0, OK)),
    "a block that never ends": (
        settings(),
        lambda s: frame(HEADERS, 0, s, OK) + frame(CONTINUATION, 0, s),
    ),
    "a block that is not gone on with": (
        settings(),
        lambda s: frame(HEADERS, 0, s, OK) + frame(PING, 0, 0, bytes(8)),
    ),
    "going on without a block": (settings(), lambda s: frame(CONTINUATION, END_HEADERS, s, OK)),
    "a ping of seven bytes": (settings(), lambda s: frame(PING, 0, 0, bytes(7))),
    "settings of a stream": (settings(), lambda s: frame(SETTINGS, 0, s)),
    "settings cut short": (settings(), lambda s: frame(SETTINGS, 0, 0, bytes(5))),
    "an acknowledgement with content": (settings(), lambda s: frame(SETTINGS, ACK, 0, bytes(6))),
    "a window too large": (settings(), lambda s: settings(window=2**31)),
    "frames too small": (settings(), lambda s: settings(frame=100)),
    "a window that overflows": (settings(), lambda s: window_update(0, 2**31 - 1)),
    "a window that does not move": (settings(), lambda s: window_update(0, 0)),
    "a reset of three bytes": (settings(), lambda s: frame(RST_STREAM, 0, s, bytes(3))),
    "a goodbye too short": (settings(), lambda s: frame(GOAWAY, 0, 0, bytes(7))),
    "no HTTP/2 at all": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", lambda s: b""),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("piece_bytes", [0, 3])
def test_a_server_that_breaks_the_protocol(what: str, piece_bytes: int) -> None:
    greeting, answer = WRONG[what]
    with Http2Peer(lambda _, stream: answer(stream), greeting, piece_bytes) as peer:
        snapshot = run(peer, streams=2)
    assert snapshot.responses == {}
    assert snapshot.errors == {PROTOCOL_ERROR: 6}


def test_a_broken_answer_ends_its_stream_only() -> None:
    def answer(connection: Connection, stream: int) -> bytes:
        return frame(DATA, END_STREAM, stream, b"x") if connection.requests % 2 else hello(stream)

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=3, request_count=12)
    assert snapshot.responses == {200: 6}
    assert snapshot.errors == {PROTOCOL_ERROR: 6}
    assert snapshot.counters["connections_opened"] == 1


def test_a_reset_stream_is_an_error_of_its_own() -> None:
    with Http2Peer(lambda _, stream: reset(stream, 2)) as peer:
        snapshot = run(peer, streams=3)
    assert snapshot.errors == {"HTTP/2: stream reset by the server": 6}
    assert snapshot.counters["connections_opened"] == 1
    assert snapshot.counters["retries"] == 0


def test_a_refused_stream_is_sent_again() -> None:
    def answer(connection: Connection, stream: int) -> bytes:
        return reset(stream, 7) if connection.requests % 2 else hello(stream)

    with Http2Peer(answer) as peer:
        snapshot = run(peer, request_count=10)
    assert snapshot.responses == {200: 10}
    assert snapshot.counters["retries"] == 10
    assert snapshot.counters["connections_opened"] == 1


def test_what_is_always_refused_is_an_error_in_the_end() -> None:
    with Http2Peer(lambda _, stream: reset(stream, 7)) as peer:
        snapshot = run(peer, streams=2)
    assert snapshot.errors == {"HTTP/2: refused by the server": 6}
    assert snapshot.counters["retries"] == 60
    assert snapshot.counters["sent"] == 6


@pytest.mark.parametrize("streams", [1, 4])
def test_a_server_that_goes_away_loses_nothing(streams: int) -> None:
    """It says so after three requests, and does not look at what comes later on that connection."""

    def answer(connection: Connection, stream: int) -> bytes:
        if connection.requests > 3:
            return b""
        return hello(stream) + (goaway(stream) if connection.requests == 3 else b"")

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=streams, request_count=30)
    assert snapshot.responses == {200: 30}
    assert snapshot.counters["connections_opened"] == len(peer.connections) >= 10
    assert snapshot.counters["goaways"] >= 9


def test_a_server_that_goes_away_still_answers_what_it_has() -> None:
    """The first connection's streams are answered after its goodbye, while a second one takes what is new."""
    held: list[int] = []

    def answer(connection: Connection, stream: int) -> bytes:
        if connection is not peer.connections[0]:
            if held:
                peer.connections[0].send(hello(held.pop()))
            return hello(stream)
        if connection.requests == 3:
            return goaway(2**31 - 1) + hello(stream)
        held.append(stream)
        return b""

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=3, request_count=12)
    assert snapshot.responses == {200: 12}
    assert snapshot.errors == {}
    assert len(peer.connections) == 2


def test_a_connection_that_ends_is_opened_again() -> None:
    def answer(connection: Connection, stream: int) -> bytes:
        connection.send(hello(stream))
        connection.close()
        return b""

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=1, request_count=8)
    assert snapshot.responses[200] >= 4
    assert set(snapshot.errors) <= {"closed early", "reset"}
    assert snapshot.counters["connections_opened"] >= 4


def test_an_answer_cut_off_is_an_error() -> None:
    def answer(connection: Connection, stream: int) -> bytes:
        connection.send(frame(HEADERS, END_HEADERS, stream, OK))
        connection.close()
        return b""

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=1)
    assert sum(snapshot.errors.get(kind, 0) for kind in ("closed early", "reset")) == 6
    assert snapshot.responses == {}


def test_no_more_streams_than_the_server_allows() -> None:
    most = 0

    def answer(connection: Connection, stream: int) -> bytes:
        nonlocal most
        heard = [each.stream for each in connection.frames if each.type == HEADERS]
        most = max(most, len(heard) - (connection.requests - 1))
        return hello(stream)

    with Http2Peer(answer, settings(streams=2)) as peer:
        engine_run = run(peer, streams=8, request_count=40)
    assert engine_run.responses == {200: 40}
    assert most <= 2


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_a_body_goes_out_as_the_windows_allow(io: str) -> None:
    """The server grants ten bytes by its settings, then 70,000 whenever it has read all that it had granted."""
    body = random.Random(7).randbytes(300_000)
    granted = {0: 65535}
    first = 65535  # until the client has heard of the settings

    def heard(connection: Connection, what: Frame) -> None:
        nonlocal first
        if what.type == SETTINGS and what.flags & ACK:
            granted.update({stream: window + 10 - first for stream, window in granted.items() if stream})
            first = 10
        if what.type == HEADERS:
            granted[what.stream] = first
        if what.type == DATA:
            for stream in (0, what.stream):
                granted[stream] -= len(what.payload)
                assert granted[stream] >= 0
        for stream, window in granted.items():
            if first == 10 and window < 10:
                granted[stream] += 70_000
                connection.send(window_update(stream, 70_000))

    with Http2Peer(lambda _, stream: hello(stream), settings(window=10), heard=heard) as peer:
        snapshot = run(peer, request(b"POST", body), streams=2, request_count=4, io=io)
    assert snapshot.responses == {200: 4}
    bodies: dict[int, bytes] = {}
    for each in peer.frames:
        if each.type == DATA:
            bodies[each.stream] = bodies.get(each.stream, b"") + each.payload
    assert list(bodies.values()) == [body] * 4


def test_a_window_may_shrink_below_nothing() -> None:
    body = bytes(70_000)

    def heard(connection: Connection, what: Frame) -> None:
        if what.type == DATA and len([each for each in connection.frames if each.type == DATA]) == 1:
            connection.send(settings(window=0) + window_update(0, 100_000))
            connection.send(settings(window=80_000))

    with Http2Peer(lambda _, stream: hello(stream), heard=heard) as peer:
        snapshot = run(peer, request(b"POST", body), request_count=1)
    assert snapshot.responses == {200: 1}
    assert sum(len(each.payload) for each in peer.frames if each.type == DATA) == 70_000


def test_an_early_answer_ends_the_request() -> None:
    """8.1: a server may answer before it has the whole request; the rest is not sent."""

    def heard(connection: Connection, what: Frame) -> None:
        if what.type == HEADERS:
            connection.send(hello(what.stream))

    with Http2Peer(lambda _, stream: b"", settings(window=5), heard=heard) as peer:
        snapshot = run(peer, request(b"POST", bytes(50)), request_count=5)
    assert snapshot.responses == {200: 5}
    assert [each.payload for each in peer.frames if each.type == RST_STREAM][:4] == [bytes(4)] * 4
    assert snapshot.counters["connections_opened"] == 1


def test_a_request_with_many_fields_goes_in_several_frames() -> None:
    extra = [(f"x-{number}".encode(), bytes(range(128, 228)) * 5) for number in range(60)]
    with Http2Peer(lambda _, stream: hello(stream)) as peer:
        snapshot = run(peer, request(extra=extra), request_count=2)
    assert snapshot.responses == {200: 2}
    assert [each.type for each in peer.frames if each.type in (HEADERS, CONTINUATION)] == [
        HEADERS,
        CONTINUATION,
    ] * 2


def test_a_silent_server_meets_the_timeout_and_a_new_connection() -> None:
    with Http2Peer(
        lambda connection, stream: b"" if connection is peer.connections[0] else hello(stream)
    ) as peer:
        # The server's settings come before the start.
        snapshot = run(peer, start_in_ns=100_000_000, streams=2, request_count=6, timeout_ns=200_000_000)
    assert snapshot.errors == {"request timeout": 2}
    assert snapshot.responses == {200: 4}
    assert len(peer.connections) == 2


def test_a_slow_stream_does_not_end_the_others() -> None:
    def answer(connection: Connection, stream: int) -> bytes:
        time.sleep(0.02)
        return b"" if stream == 1 else hello(stream)

    with Http2Peer(answer) as peer:
        snapshot = run(peer, streams=2, request_count=20, timeout_ns=200_000_000)
    assert snapshot.errors == {"request timeout": 1}
    assert snapshot.responses == {200: 19}
    assert len(peer.connections) == 1


def test_nobody_listens() -> None:
    with Http2Peer(lambda _, stream: b"") as peer:
        pass
    snapshot = run(peer, streams=3, request_count=9)
    assert snapshot.errors == {"connect refused": 9}


def test_each_request_on_a_connection_of_its_own() -> None:
    with Http2Peer(lambda _, stream: hello(stream)) as peer:
        snapshot = run(peer, keep_alive=False, connections=2)
    assert snapshot.responses == {200: 6}
    assert snapshot.counters["connections_opened"] == len(peer.connections) == 6


def test_a_flood_of_questions_ends_the_connection() -> None:
    """A server that only asks and does not read must not fill our memory: 6.5, 6.7."""
    flood = frame(PING, 0, 0, bytes(8)) * 400_000

    def answer(connection: Connection, stream: int) -> bytes:
        return flood

    with Http2Peer(answer) as peer:
        snapshot = run(peer, request_count=1, timeout_ns=3_000_000_000)
    assert sum(snapshot.errors.values()) == 1


@pytest.mark.parametrize("seed", range(25))
def test_mutated_answers_never_break_the_engine(seed: int) -> None:
    chance = random.Random(seed)

    def answer(connection: Connection, stream: int) -> bytes:
        data = bytearray(in_two(stream) + hello(stream))
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        connection.send(bytes(data))
        if chance.random() < 0.3:
            connection.close()
        return b""

    with Http2Peer(answer, piece_bytes=chance.choice((0, 5))) as peer:
        run(peer, streams=chance.choice((1, 4)), request_count=20, timeout_ns=50_000_000)


def test_the_engine_takes_what_fits_together_only() -> None:
    options: dict[str, Any] = {
        "io": "epoll",
        "addresses": [("127.0.0.1", 9)],
        "connections": 1,
        "request_count": 1,
    }
    with pytest.raises(ValueError, match="several streams"):
        make_engine(messages=[(b"GET", False)], streams=2, **options)
    with pytest.raises(ValueError, match="several streams"):
        make_engine(
            messages=[(request(), False)],
            streams=2,
            http2=True,
            model="connection_rate",
            stages=[(0, 1.0, 1.0)],
            **options,
        )
    with pytest.raises(ValueError, match="stamps"):
        make_engine(messages=[(request(), False)], http2=True, kernel_timestamps=True, **options)


def test_a_stop_cuts_streams_off() -> None:
    with Http2Peer(lambda _, stream: b"") as peer:
        engine = make_engine(
            io="epoll",
            addresses=[("127.0.0.1", peer.port)],
            messages=[(request(), False)],
            http2=True,
            connections=1,
            streams=4,
            request_count=100,
        )
        engine.start(1)
        thread = threading.Thread(target=engine.run)
        thread.start()
        while sum(each.requests for each in peer.connections) < 4:
            time.sleep(0.001)
        engine.stop()
        thread.join()
    assert engine.totals["abandoned"] == 4
    assert engine.totals["unsent"] == 96
