from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.lab.request import BadRequestError, Head, RequestReader

HOST = b"Host: a\r\n"
STREAM = (
    b"GET /ok?a=b HTTP/1.1\r\nHost: a\r\nX-Odd:  two words \t\r\nx-odd:\xff\r\n\r\n"
    b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nseven\r\n"
    b"PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
    b"3\r\none\r\n0A;note=1\r\n\r\n\r\n345678\r\n0\r\nX-Trailer: 1\r\n\r\n"
    b"HEAD http://a/ HTTP/1.0\r\n\r\n"
)
REQUESTS = [
    (Head("GET", "/ok?a=b", "1.1", (("Host", "a"), ("X-Odd", "two words"), ("x-odd", "\xff")), 0, ""), b""),
    (Head("POST", "/echo", "1.1", (("Host", "a"), ("Content-Length", "7")), 7, ""), b"seven\r\n"),
    (
        Head("PUT", "/echo", "1.1", (("Host", "a"), ("Transfer-Encoding", "Chunked")), None, ""),
        b"one\r\n\r\n345678",
    ),
    (Head("HEAD", "http://a/", "1.0", (), 0, "close"), b""),
]


def read(*parts: bytes) -> list[tuple[Head, bytes]]:
    reader, found = RequestReader(), []
    for part in parts:
        reader.feed(part)
        while request := reader.next():
            found.append(request)
    return found


def test_every_split_in_two_reads_the_same() -> None:
    for at in range(len(STREAM) + 1):
        assert read(STREAM[:at], STREAM[at:]) == REQUESTS


def test_byte_by_byte_reads_the_same() -> None:
    assert read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == REQUESTS


@pytest.mark.parametrize(
    ("lines", "connection"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", ""),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, Close\r\n", "close"),
        (b"GET / HTTP/1.0\r\n", "close"),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", "keep-alive"),
    ],
)
def test_what_becomes_of_the_connection(lines: bytes, connection: str) -> None:
    [(head, _)] = read(lines + b"\r\n")
    assert head.connection == connection


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"GET /\r\n\r\n", "request line"),
        (b"GET  / HTTP/1.1\r\n" + HOST + b"\r\n", "request line"),
        (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", "request line"),
        (b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", "request line"),
        (b"GET /\x7f HTTP/1.1\r\n" + HOST + b"\r\n", "request line"),
        (b"GET / HTTP/1.1\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\n" + HOST + HOST + b"\r\n", "Host"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"No colon\r\n\r\n", "header line"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"Space : 1\r\n\r\n", "header line"),
        (b"GET / HTTP/1.1\r\n" + HOST + b" folded: 1\r\n\r\n", "header line"),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: b\nC: d\r\n\r\n", "header line"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n", "Content-Length"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", "Content-Length"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 999999999\r\n\r\n", "bytes of body"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (
            b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "Transfer-Encoding",
        ),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "chunk size"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "chunk longer"),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nbad\r\n", "trailer line"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000, "bytes of header"),
    ],
)
def test_refuses(raw: bytes, said: str) -> None:
    with pytest.raises(BadRequestError, match=said):
        read(raw)


@given(st.binary(max_size=64), st.integers(0, len(STREAM)), st.integers(0, len(STREAM)))
def test_never_fails_in_another_way(noise: bytes, start: int, stop: int) -> None:
    try:
        found = read(STREAM[:start] + noise + STREAM[stop:])
    except BadRequestError:
        return
    assert all(isinstance(body, bytes) for _, body in found)
