"""Content that is decoded over HTTP/2: as its fields say, in any frames and pieces; what is broken ends its stream only."""

from __future__ import annotations

import gzip

import pytest

from heyfleet.ext import EngineSnapshot, hpack_encode, http2_request

from ...codings import ENCODE
from ...engines import make_engine
from ...http2_peer import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    Connection,
    Http2Peer,
    frame,
    hello,
    settings,
)

CONTENT = b"some text, over and over; " * 2000
GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"localhost"), (b":path", b"/")]


def answer(stream: int, content: bytes, *codings: bytes, frame_bytes: int = 16_000) -> bytes:
    fields = [(b":status", b"200"), *((b"content-encoding", coding) for coding in codings)]
    pieces = [content[at : at + frame_bytes] for at in range(0, len(content), frame_bytes)]
    return (
        frame(HEADERS, END_HEADERS, stream, b"\x48\x03103")
        + frame(HEADERS, END_HEADERS, stream, hpack_encode(fields))
        + b"".join(frame(DATA, PADDED, stream, b"\x02" + piece + b"\x1f\x8b") for piece in pieces)
        + frame(DATA, END_STREAM, stream)
    )


def run(peer: Http2Peer, requests: int = 6, streams: int = 2) -> EngineSnapshot:
    engine = make_engine(
        io="epoll",
        addresses=[("127.0.0.1", peer.port)],
        messages=[(http2_request(GET, b"", False), False)],
        http2=True,
        connections=1,
        streams=streams,
        request_count=requests,
        timeout_ns=60_000_000_000,  # a gibibyte takes its time
        decode=True,
    )
    engine.start(1)
    engine.run()
    snapshot: EngineSnapshot = engine.snapshot()
    return snapshot


@pytest.mark.parametrize("piece_bytes", [0, 11])
@pytest.mark.parametrize("frame_bytes", [1, 100, 16_000])
@pytest.mark.parametrize("codings", [(b"gzip",), (b"gzip, br",), (b"gzip", b"br"), (b"zstd",), (b"Deflate",)])
def test_as_its_fields_say(codings: tuple[bytes, ...], frame_bytes: int, piece_bytes: int) -> None:
    content = CONTENT
    for coding in b",".join(codings).decode().lower().split(","):
        content = ENCODE[coding.strip()](content)
    with Http2Peer(
        lambda _, stream: answer(stream, content, *codings, frame_bytes=frame_bytes), settings(), piece_bytes
    ) as peer:
        snapshot = run(peer)
    assert snapshot.responses == {200: 6}
    assert (snapshot.counters["body_bytes"], snapshot.counters["decoded_bytes"]) == (
        6 * len(content),
        6 * len(CONTENT),
    )


@pytest.mark.parametrize(
    ("content", "codings", "kind"),
    [
        (CONTENT, [b"gzip"], "bad content: broken coding"),
        (gzip.compress(CONTENT)[:-1], [b"gzip"], "bad content: broken coding"),
        (gzip.compress(CONTENT) + b"x", [b"gzip"], "bad content: broken coding"),
        (CONTENT, [b"compress"], "bad content: unknown coding"),
        (gzip.compress(CONTENT), [b"gzip"] + 4 * [b"identity"], "bad content: unknown coding"),
        (CONTENT, [b"identity, " * 20], "bad content: unknown coding"),
        (gzip.compress(bytes(1 << 26)) * 17, [b"gzip"], "bad content: too large when decoded"),
    ],
)
def test_what_is_broken_ends_its_stream(content: bytes, codings: list[bytes], kind: str) -> None:
    def each(connection: Connection, stream: int) -> bytes:
        return answer(stream, content, *codings) if connection.requests == 2 else hello(stream)

    with Http2Peer(each) as peer:
        snapshot = run(peer)
    assert snapshot.responses == {200: 5}
    assert snapshot.errors == {kind: 1}
    assert snapshot.counters["connections_opened"] == 1
