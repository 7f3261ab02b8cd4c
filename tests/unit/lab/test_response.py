from __future__ import annotations

from random import Random

import pytest

from heyfleet.lab.behavior import parse_query
from heyfleet.lab.response import UNSOLICITED, End, Step, script

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
HELLO = OK + b"Content-Length: 5\r\n\r\nhello"
NO_LENGTH = OK + b"\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
IN_CHUNKS = CHUNKED + b"1\r\nh\r\n2\r\nel\r\n2\r\nlo\r\n0\r\n\r\n"
EXTENSION = b';number=1;quoted="a;b"\r\n'


def play(query: str, method: str = "GET", connection: str = "", seed: int = 0) -> list[Step]:
    return list(script(parse_query(query), b"hello", Random(seed), method, connection))


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        ("", [HELLO]),
        ("delay=20ms", [0.02, HELLO]),
        ("tail=100%25/1s&delay=1s", [2.0, HELLO]),
        ("interim=100,103&delay=1s", [
            b"HTTP/1.1 100 Continue\r\nX-Interim: 100\r\n\r\n"
            b"HTTP/1.1 103 Early Hints\r\nX-Interim: 103\r\n\r\n",
            1.0,
            HELLO,
        ]),
        ("unsolicited", [HELLO, 0.0, UNSOLICITED]),
        ("unsolicited=1s&connection=close", [
            OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", 1.0, UNSOLICITED, End.CLOSE,
        ]),
        ("close", [End.CLOSE]),
        ("reset&delay=1s", [1.0, End.RESET]),
        ("never", [End.HANG]),
        ("half", [b"HTTP/1.1 2", End.HANG]),
        ("close-after=82&unsolicited", [HELLO, 0.0, UNSOLICITED[:13], End.CLOSE]),
        ("reset-after=9999", [HELLO, End.RESET]),
        ("pieces=60,7,100&gap=1s", [HELLO[:60], 1.0, HELLO[60:67], 1.0, HELLO[67:]]),
        ("pieces=2&gap=0&close-after=5", [b"HT", 0.0, b"TP", 0.0, b"/", End.CLOSE]),
    ],
)  # fmt: skip
def test_steps(query: str, steps: list[Step]) -> None:
    assert play(query) == steps


@pytest.mark.parametrize(
    ("query", "wire", "closes"),
    [
        ("status=503", HELLO.replace(b"200 OK", b"503 Service Unavailable"), False),
        ("status=599", HELLO.replace(b"200 OK", b"599 Unknown"), False),
        ("status=204", NO_LENGTH.replace(b"200 OK", b"204 No Content"), False),
        ("status=304&chunked", NO_LENGTH.replace(b"200 OK", b"304 Not Modified"), False),
        ("status=304&length=5", HELLO[:-5].replace(b"200 OK", b"304 Not Modified"), False),
        ("status-line=HTTP/9 ok", HELLO.replace(b"HTTP/1.1 200 OK", b"HTTP/9 ok"), False),
        ("version=1.0", HELLO.replace(b"1.1", b"1.0"), True),
        ("connection=close", OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello", True),
        ("header=A:%20b", OK + b"Content-Length: 5\r\nA: b\r\n\r\nhello", False),
        ("headers=2", OK + b"Content-Length: 5\r\nX-Extra-1: 1\r\nX-Extra-2: 2\r\n\r\nhello", False),
        ("header-bytes=3", OK + b"Content-Length: 5\r\nX-Huge: xxx\r\n\r\nhello", False),
        ("length=9", OK + b"Content-Length: 9\r\n\r\nhello", True),
        ("length=3", OK + b"Content-Length: 3\r\n\r\nhello", False),
        ("length=many", OK + b"Content-Length: many\r\n\r\nhello", True),
        ("to-close", OK + b"\r\nhello", True),
        ("bare-lf", HELLO.replace(b"\r\n", b"\n"), False),
        ("chunked", IN_CHUNKS, False),
        ("chunked&bare-lf", IN_CHUNKS.replace(b"\r\n", b"\n"), False),
        ("trailers=2", CHUNKED + b"5\r\nhello\r\n0\r\nX-Trailer-1: 1\r\nX-Trailer-2: 2\r\n\r\n", False),
        ("extensions", CHUNKED + b"5" + EXTENSION + b"hello\r\n0" + EXTENSION + b"\r\n", False),
        ("bad-chunk=-1", CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n", True),
        ("bad-chunk&chunks=3", CHUNKED + b"zz\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", True),
        ("chunks=9&length=5", CHUNKED[:-2] + b"Content-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False),
        ("chunks=9&to-close", CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", True),
    ],
)  # fmt: skip
def test_bytes(query: str, wire: bytes, closes: bool) -> None:
    assert play(query) == [wire, End.CLOSE] if closes else play(query) == [wire]


@pytest.mark.parametrize("query", ["", "chunked", "trailers=1", "length=9", "headers=3", "status=404"])
def test_the_answer_to_head_is_that_to_get_without_its_body(query: str) -> None:
    [wire] = play(query, "HEAD")
    assert isinstance(wire, bytes)
    assert wire.endswith(b"\r\n\r\n")
    assert play(query)[0].startswith(wire)  # type: ignore[union-attr]


def test_what_the_request_wants_said_of_the_connection() -> None:
    assert play("", connection="close") == [
        OK + b"Content-Length: 5\r\nConnection: close\r\n\r\nhello",
        End.CLOSE,
    ]
    kept = OK.replace(b"1.1", b"1.0") + b"Content-Length: 5\r\nConnection: keep-alive\r\n\r\nhello"
    assert play("version=1.0", connection="keep-alive") == [kept]


def test_an_empty_chunked_body() -> None:
    steps = script(parse_query("trailers=1"), b"", Random(0), "GET", "")
    assert list(steps) == [CHUNKED + b"0\r\nX-Trailer-1: 1\r\n\r\n"]


@pytest.mark.parametrize("query", ["jitter=5ms", "garbage=99", "tail=50%25/1s&jitter=1s"])
def test_chance_comes_from_the_seed_alone(query: str) -> None:
    assert play(query, seed=1) == play(query, seed=1)
    assert play(query, seed=1) != play(query, seed=2)


def test_jitter_is_added_to_the_delay() -> None:
    delays = [play("delay=20ms&jitter=5ms", seed=seed)[0] for seed in range(50)]
    assert all(isinstance(delay, float) and 0.02 <= delay <= 0.025 for delay in delays)


def test_garbage_is_no_response() -> None:
    noise, end = play("garbage=99")
    assert isinstance(noise, bytes)
    assert len(noise) == 99
    assert not noise.startswith(b"HTTP/")
    assert end is End.CLOSE
