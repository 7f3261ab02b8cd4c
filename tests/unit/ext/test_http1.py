"""The HTTP/1 response parser: a corpus against two references, every split, a guard page, mutations."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heyfleet.ext import HTTP1_REASON_NAMES, HTTP1_RESULT_NAMES, Http1Parser

HEAD_LIMIT_BYTES = 65536


class Case(NamedTuple):
    """A stream and what is to be made of it: `result` when it is fed, `at_close` if the peer then closes."""

    name: str
    data: bytes
    result: str = "done"
    status: int = 200
    body_bytes: int = 0
    keep_alive: bool = True
    reason: str = ""
    at_close: str = ""
    left_bytes: int = 0
    head_request: bool = False


def crlf(text: str) -> bytes:
    """Every line ends in CR LF."""
    return text.replace("\n", "\r\n").encode("latin-1")


def good(name: str, text: str | bytes, body_bytes: int = 0, keep_alive: bool = True, **more: object) -> Case:
    data = text if isinstance(text, bytes) else crlf(text)
    return Case(name, data, body_bytes=body_bytes, keep_alive=keep_alive, **more)  # type: ignore[arg-type]


def bad(name: str, reason: str, text: str | bytes) -> Case:
    data = text if isinstance(text, bytes) else crlf(text)
    return Case(name, data, "bad", keep_alive=False, reason=reason)


def to_close(name: str, text: str, body_bytes: int, **more: object) -> Case:
    return good(name, text, body_bytes, False, result="more", at_close="done", **more)


OK = "HTTP/1.1 200 OK\n"
EMPTY = "Content-Length: 0\n\n"
CHUNKED = OK + "Transfer-Encoding: chunked\n\n"
NGINX = OK + (
    "Server: nginx/1.22.1\nDate: Tue, 24 Nov 2026 03:40:55 GMT\nContent-Type: application/octet-stream\n"
    "Content-Length: 5\nConnection: keep-alive\n\nhello"
)

GOOD = [
    good("nginx", NGINX, 5),
    good("empty body", OK + EMPTY),
    good("no reason", "HTTP/1.1 200 \n" + EMPTY),
    good("no reason, no space", "HTTP/1.1 200\n" + EMPTY),
    good(
        "long reason with tab and obs-text",
        "HTTP/1.1 299 I am\tfine, thank you very much \xe9\n" + EMPTY,
        status=299,
    ),
    *(
        good(f"status {code}", f"HTTP/1.1 {code} X\n{EMPTY}", status=code)
        for code in (201, 209, 210, 404, 500, 999)
    ),
    good("HTTP/1.0", "HTTP/1.0 200 OK\n" + EMPTY, keep_alive=False),
    good("HTTP/1.0 kept alive", "HTTP/1.0 200 OK\nConnection: Keep-Alive\n" + EMPTY),
    good(
        "HTTP/1.0 alive and close",
        "HTTP/1.0 200 OK\nConnection: keep-alive, close\n" + EMPTY,
        keep_alive=False,
    ),
    good("HTTP/1.2", "HTTP/1.2 200 OK\n" + EMPTY),
    good("close", OK + "Connection: close\n" + EMPTY, keep_alive=False),
    good("CLOSE", OK + "CONNECTION: CLOSE\n" + EMPTY, keep_alive=False),
    good("close in a list", OK + "Connection: foo ,\t Close , bar\n" + EMPTY, keep_alive=False),
    good(
        "close in a second field",
        OK + "Connection: keep-alive\nConnection: close\n" + EMPTY,
        keep_alive=False,
    ),
    good("not close", OK + "Connection: closed, clos, close-not, xclose, not close, close not\n" + EMPTY),
    good("close after its beginning", OK + "Connection: clo,close\n" + EMPTY, keep_alive=False),
    good("empty connection", OK + "Connection:\nConnection: ,, ,\n" + EMPTY),
    good(
        "names like ours",
        OK + "Con: 9\nConn: close\nConnectionx: close\nContent-Lengt: 9\nT: 1\nTE: 2\n" + EMPTY,
    ),
    good(
        "longer than ours",
        OK + "Content-Length-X: 9\nTransfer-Encoding-X: chunked\nContent-Type: x\n" + EMPTY,
    ),
    good("every token byte", OK + "!#$%&'*+-.^_`|~09AZaz: x\n" + EMPTY),
    good("empty values", OK + "A:\nB: \nC:\t\n" + EMPTY),
    good("obs-text and tabs", OK + "X: \x80\xff\ta\t\tb\t\n" + EMPTY),
    good("long value", OK + f"X: {'v' * 1000}\n" + EMPTY),
    good("long name", OK + f"{'n_' * 500}: x\n" + EMPTY),
    good("length, odd case", OK + "cONTENT-lENGTH:5\n\nhello", 5),
    good("length, spaces", OK + "Content-Length: \t 5 \t \n\nhello", 5),
    good("length, leading zeros", OK + "Content-Length: 0005\n\nhello", 5),
    good("length, same twice", OK + "Content-Length: 5\nContent-Length: 5\n\nhello", 5),
    good("length, list", OK + "Content-Length: 5, 5 ,5\n\nhello", 5),
    good(
        "length, binary body", OK.replace("\n", "\r\n").encode() + b"Content-Length: 4\r\n\r\n\x00\r\n\xff", 4
    ),
    good("bytes after the end", OK + "Content-Length: 5\n\nhelloHTTP/1.1", 5, left_bytes=8),
    good("chunked", CHUNKED + "5\nhello\n0\n\n", 5),
    good("chunked, hex", CHUNKED + "a\n0123456789\nB\n0123456789a\n00\n\n", 21),
    good("chunked, leading zeros", CHUNKED + "0000000000000000000005\nhello\n0\n\n", 5),
    good("chunked, extensions", CHUNKED + '5;a=b;c="d;e\t"\nhello\n0;last\n\n', 5),
    good("chunked, space before extension", CHUNKED + "5 ;a\nhello\n0\t\n\n", 5),
    good("chunked, no chunk", CHUNKED + "0\n\n"),
    good("chunked, trailers", CHUNKED + "5\nhello\n0\nX-Sum: 1\nY:\n\n", 5),
    good(
        "chunked, framing in trailers",
        CHUNKED + "1\nx\n0\nContent-Length: no\nTransfer-Encoding: x\nT: 1\n\n",
        1,
    ),
    good("chunked, folded trailer", CHUNKED + "0\nX: 1\n 2\n\n"),
    good("chunked, bytes after", CHUNKED + "0\n\n\n", left_bytes=2),
    good("chunked, odd case", OK + "tRANSFER-eNCODING:CHUNKED\n\n0\n\n"),
    good("chunked, after gzip", OK + "Transfer-Encoding: gzip, chunked\n\n1\nx\n0\n\n", 1),
    good("chunked, in a second field", OK + "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n\n0\n\n"),
    good("chunked, after its beginning", OK + "Transfer-Encoding: c,chunked\n\n0\n\n"),
    good("chunked, empty members", OK + "Transfer-Encoding: , chunked ,,\n\n0\n\n"),
    good(
        "chunked and length",
        OK + "Content-Length: 3\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
        5,
        False,
    ),
    good(
        "chunked, HTTP/1.0",
        "HTTP/1.0 200 OK\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\n\n",
        0,
        False,
    ),
    good("identity", OK + "Transfer-Encoding: identity\nContent-Length: 5\n\nhello", 5),
    good("identity, odd case", OK + "Content-Length: 2\nTransfer-Encoding: ,Identity\n\nhi", 2),
    good("identity, then chunked", OK + "Transfer-Encoding: identity, chunked\n\n1\nx\n0\n\n", 1),
    good("bare LF", b"HTTP/1.1 200 OK\nX: 1\nContent-Length: 2\n\n\r\n", 2),
    good("bare LF, no reason", b"HTTP/1.1 200\nContent-Length: 0\r\n\n"),
    good(
        "bare LF, list",
        b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: x\n\n1\n\n\n0\nX: 1\n\n",
        1,
    ),
    good("folded", OK + "X: 1\n 2\n\t3\n \n" + EMPTY),
    good("204", "HTTP/1.1 204 No Content\n\n", status=204),
    good(
        "204 with a length", "HTTP/1.1 204 No Content\nContent-Length: 5\n\nhello", status=204, left_bytes=5
    ),
    good("304 with a length", "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", status=304),
    good("304 chunked", "HTTP/1.1 304 Not Modified\nTransfer-Encoding: chunked\n\n", status=304),
    good("HEAD, length", OK + "Content-Length: 5\n\n", head_request=True),
    good("HEAD, chunked", OK + "Transfer-Encoding: chunked\n\n", head_request=True),
    good("HEAD, no framing", OK + "\n", head_request=True),
    good("HEAD after 100", "HTTP/1.1 100 Continue\n\n" + OK + "Content-Length: 5\n\n", head_request=True),
    good("100", "HTTP/1.1 100 Continue\n\n" + NGINX, 5),
    good(
        "100, 102, 103", "HTTP/1.1 100\n\nHTTP/1.1 102 \n\nHTTP/1.1 103 Early Hints\nLink: x\n\n" + NGINX, 5
    ),
    good("framing in 103", "HTTP/1.1 103 X\nContent-Length: 9\nConnection: close\n\n" + OK + EMPTY),
    good("101", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\nraw", 0, False, status=101, left_bytes=3),
    to_close("to close", OK + "\nhello", 5),
    to_close("to close, nothing", OK + "\n", 0),
    to_close("to close, kept alive", OK + "Connection: keep-alive\n\nhello", 5),
    to_close("to close, other coding", OK + "Transfer-Encoding: gzip\n\nhello", 5),
    to_close("to close, chunked first", OK + "Transfer-Encoding: chunked, gzip\n\n0\n\n", 5),
    to_close("to close, chunked with a parameter", OK + "Transfer-Encoding: chunked;q=1\n\n0\n\n", 5),
    to_close(
        "to close, like chunked", OK + "Transfer-Encoding: chunkedx\nTransfer-Encoding: chunke\n\n0\n\n", 5
    ),
    to_close("to close, two words", OK + "Transfer-Encoding: not chunked\n\n0\n\n", 5),
    to_close("to close, empty coding", OK + "Transfer-Encoding:\nContent-Length: 5\n\nhello!", 6),
    to_close("to close, identity", OK + "Transfer-Encoding: identity\n\nhello", 5),
    to_close(
        "to close, not only identity", OK + "Transfer-Encoding: gzip, identity\nContent-Length: 2\n\nhello", 5
    ),
    to_close("to close, like identity", OK + "Transfer-Encoding: identit\nContent-Length: 2\n\nhello", 5),
    to_close("to close, HTTP/1.0", "HTTP/1.0 200 OK\n\nhello", 5),
]

STATUS, NAME, CONTROL = "bad status line", "bad header name", "control character"
LENGTH, CODING, SIZE = "bad content-length", "bad transfer-encoding", "bad chunk size"
CR, FOLD, END, VERSION = "bare carriage return", "bad header fold", "bad chunk end", "not HTTP/1"
BAD = [
    *(
        bad(f"starts {text!r}", VERSION, text + " 200 OK\n" + EMPTY)
        for text in ("\n", "http/1.1", "HTTP/2", "ICY", "X")
    ),
    *(
        bad(f"minor {text!r}", STATUS, f"HTTP/1.{text} 200 OK\n" + EMPTY)
        for text in ("", "x", "10", "1\t", "1 ")
    ),
    *(
        bad(f"status {text!r}", STATUS, f"HTTP/1.1 {text}\n" + EMPTY)
        for text in ("", "2", "20", "2000 OK", "099 OK", "0200", "2x0", "-20", "200OK", "20 OK", "200\tOK")
    ),
    bad("control in reason", CONTROL, "HTTP/1.1 200 O\x00K\n" + EMPTY),
    *(
        bad(f"name {text!r}", NAME, OK + text + EMPTY)
        for text in (":\n", "X\n", "X : 1\n", "X Y: 1\n", "(: 1\n", "X\xe9: 1\n")
    ),
    bad("space before the colon of a length", NAME, OK + "Content-Length : 5\n\nhello"),
    bad("NUL in a name", NAME, OK + "X\x00: 1\n" + EMPTY),
    *(
        bad(f"value with {byte:#x}", CONTROL, OK + f"X: a{chr(byte)}b\n" + EMPTY)
        for byte in (0, 1, 8, 11, 31, 127)
    ),
    bad("control in Connection", CONTROL, OK + "Connection: close\x01\n" + EMPTY),
    bad("control in an extension", CONTROL, CHUNKED + "0;\x7f\n\n"),
    bad("CR in the status line", CR, "HTTP/1.1 200\rOK\n" + EMPTY),
    bad("CR in a reason", CR, "HTTP/1.1 200 O\rK\n" + EMPTY),
    bad("CR in a value", CR, OK + "X: a\rb\n" + EMPTY),
    bad("CR in a list", CR, OK + "Connection: c\rlose\n" + EMPTY),
    bad("CR CR LF", CR, OK + "X: a\r\n" + EMPTY),
    bad("CR at a line's start", CR, OK + "\rX: 1\n" + EMPTY),
    bad("CR after a chunk", CR, CHUNKED + "1\nx\r0\n\n"),
    bad("fold first", FOLD, OK + " X: 1\n" + EMPTY),
    bad("fold first, after 103", FOLD, "HTTP/1.1 103 X\nX: 1\n\n" + OK + " X: 1\n" + EMPTY),
    bad("fold in trailers, X before", FOLD, OK + "Transfer-Encoding: chunked\nX: 1\n\n0\n Y: 1\n\n"),
    bad("fold after a length", FOLD, OK + "Content-Length: 5\n 0\n\nhello"),
    bad("fold in trailers", FOLD, CHUNKED + "0\n X: 1\n\n"),
    *(
        bad(f"length {text!r}", LENGTH, OK + f"Content-Length:{text}\n\nhello")
        for text in (
            "",
            " ",
            " -5",
            " +5",
            " 5x",
            " 0x5",
            " 5 5",
            " 5,",
            " ,5",
            " 5,6",
            " 5, 5, 6",
            " 5;",
            ' "5"',
            " 5\x00",
        )
    ),
    bad("length, two", LENGTH, OK + "Content-Length: 5\nContent-Length: 6\n\nhello!"),
    bad("length, 2 ** 63", LENGTH, OK + f"Content-Length: {2**63}\n\n"),
    bad("length, 2 ** 64 + 5", LENGTH, OK + f"Content-Length: {2**64 + 5}\n\nhello"),
    bad("chunked twice", CODING, OK + "Transfer-Encoding: chunked, chunked\n\n0\n\n"),
    bad(
        "chunked in two fields",
        CODING,
        OK + "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
    ),
    *(
        bad(f"chunk size {text!r}", SIZE, CHUNKED + text + "\nhello\n0\n\n")
        for text in (
            "",
            " 5",
            ";a",
            "x5",
            "0x5",
            "-5",
            "+5",
            "5 5",
            "5x",
            "5,",
            "8" + "0" * 15,
            "1" + "0" * 16,
        )
    ),
    bad("chunk longer than its size", END, CHUNKED + "4\nhello\n0\n\n"),
    bad("chunk without an end", END, CHUNKED + "5\nhello0\n\n"),
    bad("bad trailer", NAME, CHUNKED + "0\nX Y: 1\n\n"),
]
CORPUS = GOOD + BAD

# Where a reference says otherwise, and why we do not follow it. RFC is 9112 where no other is named.
H11_DIFFERS = {
    "it takes no other coding than chunked; 6.3 reads to the close": (
        "chunked, after gzip",
        "chunked, after its beginning",
        "chunked, in a second field",
        "to close, other coding",
        "to close, chunked first",
        "to close, chunked with a parameter",
        "to close, like chunked",
        "to close, two words",
        "to close, empty coding",
        "to close, identity",
        "to close, not only identity",
        "to close, like identity",
    ),
    "it takes no other coding than chunked; RFC 2616 had identity, and servers still send it": (
        "identity",
        "identity, odd case",
        "identity, then chunked",
    ),
    "it takes no empty members of a list; RFC 9110 5.6.1.2 does": ("chunked, empty members",),
    "it takes chunk sizes up to 20 digits; 7.1 sets no limit to zeros": ("chunked, leading zeros",),
    "it takes no space before a chunk extension; 7.1.1 does": ("chunked, space before extension",),
    "it reads framing fields in trailers; 7.1.2 discards them": ("chunked, framing in trailers",),
    "it wants CR LF after chunks; we are as lenient there as 2.2 is with fields": ("bare LF, list",),
    "it passes control characters on; RFC 9110 5.5 calls them invalid": (
        *(f"value with {byte:#x}" for byte in (1, 8, 31, 127)),
        "control in Connection",
        "control in an extension",
    ),
}
HTTPTOOLS_DIFFERS = {
    "it knows 1.0 and 1.1 only; RFC 9110 2.5 reads a higher minor version as the highest known": (
        "HTTP/1.2",
    ),
    "it takes one Content-Length only; 6.3 allows the same one again": ("length, same twice", "length, list"),
    "it takes no space before a chunk extension; 7.1.1 does": ("chunked, space before extension",),
    "it reads framing fields in trailers; 7.1.2 discards them": ("chunked, framing in trailers",),
    "it takes no fold; 5.2 replaces it by spaces": ("folded", "chunked, folded trailer"),
    "it reads a list that ends in an empty member, or is empty, as not chunked": (
        "chunked, empty members",
        "to close, empty coding",
    ),
    "it refuses Content-Length beside a coding; 6.3 lets the coding win, and identity is none": (
        "chunked and length",
        "identity",
        "identity, odd case",
        "to close, not only identity",
        "to close, like identity",
    ),
    "it wants CR LF everywhere; 2.2 takes a bare LF": ("bare LF", "bare LF, no reason", "bare LF, list"),
    "it reads a body after an interim head; 6.3 has none": ("framing in 103",),
    "it takes any three digits; RFC 9110 15 begins with 100": ("status '099 OK'",),
    "it takes any byte in a reason; 4 has text only": ("control in reason",),
    "its sizes have 64 bits; ours end below 2 ** 63": ("length, 2 ** 63", "chunk size '8000000000000000'"),
    "it takes chunked twice; 7.1 forbids to send that": ("chunked twice", "chunked in two fields"),
}


class Answer(NamedTuple):
    """What a parser made of a stream and its end. Of a bad one only that it is bad can be compared."""

    result: str
    status: int = 0
    body_bytes: int = 0


class Outcome(NamedTuple):
    """All that Http1Parser says after a stream, before the end of the connection."""

    result: str
    consumed: int
    status: int
    body_bytes: int
    keep_alive: bool
    reason: str


class Guard:
    """Bytes that end where the readable memory ends."""

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
        self.end = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + mmap.PAGESIZE
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        assert libc.mprotect(self.end, mmap.PAGESIZE, 0) == 0

    def place(self, data: bytes) -> ctypes.Array[ctypes.c_char]:
        """Good until the next call."""
        assert len(data) <= mmap.PAGESIZE
        address = self.end - len(data)
        ctypes.memmove(address, data, len(data))
        return (ctypes.c_char * len(data)).from_address(address)


def outcome(pieces: list[bytes], head_request: bool = False, guard: Guard | None = None) -> Outcome:
    """Feed the pieces until the parser has enough, and hold it to its contract on the way."""
    parser = Http1Parser(head_request)
    result, total = "more", 0
    for piece in pieces:
        result, consumed = parser.feed(guard.place(piece) if guard else piece)
        total += consumed
        assert consumed <= len(piece)
        if result != "more":
            assert parser.feed(b"more") == (result, 0)
            break
        assert consumed == len(piece)
    return Outcome(result, total, parser.status, parser.body_bytes, parser.keep_alive, parser.reason)


def answer(case: Case) -> Answer:
    parser = Http1Parser(case.head_request)
    result, _ = parser.feed(case.data)
    result = parser.finish() if result == "more" else result
    return Answer(result, parser.status, parser.body_bytes) if result == "done" else Answer(result)


def h11_answer(case: Case) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    headers = (
        [("Host", "x"), ("Connection", "upgrade"), ("Upgrade", "x")]
        if case.status == 101
        else [("Host", "x")]
    )
    connection.send(h11.Request(method="HEAD" if case.head_request else "GET", target="/", headers=headers))
    connection.send(h11.EndOfMessage())
    status = body_bytes = 0
    try:
        for data in (case.data, b""):
            connection.receive_data(data)
            while (event := connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.Response | h11.InformationalResponse):
                    status = event.status_code
                elif isinstance(event, h11.Data):
                    body_bytes += len(event.data)
                elif isinstance(event, h11.EndOfMessage | h11.PAUSED):
                    return Answer("done", status, body_bytes)
    except h11.RemoteProtocolError:
        return Answer("bad")
    return Answer("closed early")


class Listener:
    """Callbacks of httptools: sees each message, the interim ones too."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.status = self.body_bytes = 0
        self.final_head = self.final_end = False

    def on_headers_complete(self) -> None:
        if not self.final_end:
            self.status = self.parser.get_status_code()
            self.final_head = self.status >= 200 or self.status == 101

    def on_body(self, body: bytes) -> None:
        if not self.final_end:
            self.body_bytes += len(body)

    def on_message_complete(self) -> None:
        self.final_end = self.final_head


def httptools_answer(case: Case) -> Answer:
    """It knows neither HEAD requests nor the end of a stream; that one we take for the end of the content."""
    listener = Listener()
    try:
        listener.parser.feed_data(case.data)
    except httptools.HttpParserUpgrade:
        listener.final_end = True
    except httptools.HttpParserError:
        if not listener.final_end:
            return Answer("bad")
    if listener.final_end or (listener.final_head and case.at_close):
        return Answer("done", listener.status, listener.body_bytes)
    return Answer("closed early")


def each(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case.name)


@each(CORPUS)
def test_corpus(case: Case) -> None:
    got = outcome([case.data], case.head_request)
    assert got.result == case.result
    assert (got.keep_alive, got.reason) == (case.keep_alive, case.reason)
    if case.result != "bad":
        assert (got.status, got.body_bytes) == (case.status, case.body_bytes)
        assert got.consumed == len(case.data) - case.left_bytes
    if case.at_close:
        assert answer(case) == (case.at_close, case.status, case.body_bytes)


def test_corpus_gives_every_reason() -> None:
    assert {case.reason for case in CORPUS} == set(HTTP1_REASON_NAMES) - {
        # Of content that is decoded: test_decode.py.
        "broken content coding",
        "unknown content coding",
        "content too large",
        "no memory",
        "header too large",
        "location too long",
    }
    assert len({case.name for case in CORPUS}) == len(CORPUS)


@each(CORPUS)
def test_agrees_with_h11(case: Case) -> None:
    assert (h11_answer(case) != answer(case)) == any(case.name in names for names in H11_DIFFERS.values())


@each([case for case in CORPUS if not case.head_request])
def test_agrees_with_httptools(case: Case) -> None:
    differs = any(case.name in names for names in HTTPTOOLS_DIFFERS.values())
    assert (httptools_answer(case) != answer(case)) == differs


def test_references_differ_only_in_the_corpus() -> None:
    tables = (*H11_DIFFERS.values(), *HTTPTOOLS_DIFFERS.values())
    assert {name for names in tables for name in names} <= {case.name for case in CORPUS}


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@each(CORPUS)
def test_every_split(case: Case) -> None:
    whole = outcome([case.data], case.head_request)
    for split in range(len(case.data) + 1):
        assert outcome([case.data[:split], case.data[split:]], case.head_request) == whole, split
    for size in (1, 2, 3, 7):
        assert outcome(pieces_of(case.data, size), case.head_request) == whole, size


@each([case for case in GOOD if not case.at_close])
def test_every_part_is_closed_early(case: Case) -> None:
    for length in range(len(case.data) - case.left_bytes):
        parser = Http1Parser(case.head_request)
        assert parser.feed(case.data[:length]) == ("more", length)
        assert parser.finish() == "closed early"


@pytest.fixture(scope="module")
def guard() -> Guard:
    return Guard()


def test_guard_is_armed(guard: Guard) -> None:
    behind = (ctypes.c_char * 1).from_address(guard.end)
    reader, writer = os.pipe()
    with pytest.raises(OSError, match="Bad address"):
        os.write(writer, behind)
    os.close(reader)
    os.close(writer)


@each(CORPUS)
def test_reads_nothing_behind_its_input(guard: Guard, case: Case) -> None:
    whole = outcome([case.data], case.head_request)
    for split in range(len(case.data) + 1):
        assert outcome([case.data[:split], case.data[split:]], case.head_request, guard) == whole


# Limits.


def head_of(size: int, status_line: str = "HTTP/1.1 200 OK") -> bytes:
    """A head of so many bytes, its empty line included, of a response without content."""
    head = crlf(f"{status_line}\nContent-Length: 0\nX: \n\n")
    return head.replace(b"X: ", b"X: " + b"x" * (size - len(head)))


INTERIM = crlf("HTTP/1.1 103 Early Hints\n\n")
TO_CHUNK_END = crlf(CHUNKED + "1\nx")
# What the limit does not count, what it counts, and the rest.
LARGE = {
    "head": (b"", head_of, b""),
    "interim": (b"", lambda size: INTERIM + head_of(size - len(INTERIM)), b""),
    "trailers": (TO_CHUNK_END, lambda size: crlf("\n0\nX: " + "x" * (size - 12) + "\n\n"), b""),
    "extension": (TO_CHUNK_END, lambda size: crlf("\n1;" + "x" * (size - 6) + "\n"), crlf("x\n0\n\n")),
}


@pytest.mark.parametrize(("before", "counted", "after"), LARGE.values(), ids=LARGE)
def test_header_limit(before: bytes, counted: Callable[[int], bytes], after: bytes) -> None:
    data = before + counted(HEAD_LIMIT_BYTES) + after
    assert outcome([data])[:2] == ("done", len(data))
    data = before + counted(HEAD_LIMIT_BYTES + 1) + after
    got = outcome([data])
    end = len(before) + HEAD_LIMIT_BYTES
    assert (got.result, got.consumed, got.keep_alive, got.reason) == (
        "too large",
        end,
        False,
        "header too large",
    )
    for size in (1, 1000, HEAD_LIMIT_BYTES):
        assert outcome(pieces_of(data, size)) == got


def test_endless_interim_responses_are_too_large() -> None:
    assert outcome([INTERIM * 10_000]).result == "too large"


def test_chunk_framing_has_no_limit_in_all() -> None:
    data = crlf(CHUNKED + "1;extension\nx\n" * 20_000 + "0\n\n")
    assert outcome(pieces_of(data, 1400)) == ("done", len(data), 200, 20_000, True, "")


@pytest.mark.parametrize("length", [2**32, 2**62, 2**63 - 9])
def test_content_larger_than_memory(length: int) -> None:
    parser = Http1Parser()
    assert parser.feed(crlf(OK + f"Content-Length: {length}\n\nhello"))[0] == "more"
    assert (parser.body_bytes, parser.finish()) == (5, "closed early")


def test_largest_chunk() -> None:
    assert outcome([crlf(CHUNKED + "7fffffffffffffff\nhello")]).result == "more"


# The Python face.


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_feeds_on_buffers(kind: type) -> None:
    assert Http1Parser().feed(kind(crlf(NGINX))) == ("done", len(crlf(NGINX)))


def test_feeds_on_nothing_else() -> None:
    parser = Http1Parser()
    with pytest.raises(TypeError):
        parser.feed("HTTP/1.1")  # type: ignore[arg-type]
    with pytest.raises(BufferError):
        parser.feed(memoryview(b"HTTP/1.1")[::2])
    assert parser.feed(b"") == ("more", 0)


def test_starts_again() -> None:
    parser = Http1Parser()
    for case in CORPUS:
        parser.start(case.head_request)
        assert (parser.status, parser.body_bytes, parser.keep_alive, parser.reason) == (0, 0, False, "")
        result, consumed = parser.feed(case.data)
        seen = Outcome(result, consumed, parser.status, parser.body_bytes, parser.keep_alive, parser.reason)
        assert seen == outcome([case.data], case.head_request)


def test_finish_keeps_the_end() -> None:
    parser = Http1Parser()
    assert parser.finish() == "closed early"
    parser.feed(crlf(OK + "\nhello"))
    assert (parser.finish(), parser.finish(), parser.feed(b"x")) == ("done", "done", ("done", 0))
    parser.start()
    parser.feed(b"nonsense")
    assert (parser.finish(), parser.reason) == ("bad", VERSION)


def test_state_is_small() -> None:
    # With the place for a Location, which connections have only where redirects are followed.
    assert Http1Parser.__basicsize__ - object.__basicsize__ <= 88


REDIRECT = (
    b"HTTP/1.1 302 Found\r\nLast-Modified: x\r\nlocation: \t /a b?c=1  \r\nLocation: /second\r\nLocal: z\r\n"
    b"Content-Length: 3\r\n\r\nabc"
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, len(REDIRECT)])
def test_the_first_location_of_a_redirect_is_kept(step: int) -> None:
    parser = Http1Parser(keep_location=True)
    result = [parser.feed(REDIRECT[at : at + step])[0] for at in range(0, len(REDIRECT), step)][-1]
    assert (result, parser.status, parser.location, parser.body_bytes) == ("done", 302, b"/a b?c=1", 3)
    parser.start()
    assert parser.location == b""


def test_a_location_is_kept_of_redirects_only_and_on_demand() -> None:
    kept, plain = Http1Parser(keep_location=True), Http1Parser()
    kept.feed(REDIRECT.replace(b"302", b"200"))
    plain.feed(REDIRECT)
    assert kept.location == plain.location == b""


def test_a_location_too_long_is_bad() -> None:
    parser = Http1Parser(keep_location=True)
    assert parser.feed(b"HTTP/1.1 301 x\r\nLocation: /" + b"a" * 8192 + b"\r\n")[0] == "bad"
    assert parser.reason == "location too long"


# Made-up streams.

TOKENS = [
    *(
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\0",
        b"\t",
        b" ",
        b":",
        b",",
        b";",
        b"0",
        b"9",
        b"f",
        b"\x7f",
        b"\xff",
    ),
    *(b"HTTP/1.1 ", b"HTTP/1.0 100 \r\n\r\n", b"close", b"keep-alive", b"chunked", b"gzip", b"0\r\n\r\n"),
    *(b"Content-Length: ", b"Content-", b"Connection: ", b"Transfer-Encoding: ", b"X: y\r\n z\r\n"),
]


@st.composite
def mutants(draw: st.DrawFn) -> tuple[bytes, bool]:
    case = draw(st.sampled_from(CORPUS))
    data = bytearray(case.data)
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 8])))
        data[start:stop] = draw(
            st.sampled_from(TOKENS) | st.binary(max_size=3) | st.just(bytes(data[start:stop]) * 2)
        )
    return bytes(data), case.head_request


@settings(max_examples=500, deadline=None)
@given(mutants(), st.lists(st.integers(0, 400), max_size=6))
def test_mutants(guard: Guard, mutant: tuple[bytes, bool], splits: list[int]) -> None:
    data, head_request = mutant
    whole = outcome([data], head_request)
    assert whole.result in HTTP1_RESULT_NAMES
    assert bool(whole.reason) == (whole.result in ("bad", "too large"))
    ends = sorted({min(split, len(data)) for split in splits})
    pieces = [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
    assert outcome(pieces, head_request, guard) == whole
    assert outcome(pieces_of(data, 1), head_request) == whole


TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=40)
FIELDS = st.lists(
    st.tuples(st.from_regex(r"X[!#$%&'*+.^_`|~0-9A-Za-z-]{0,20}", fullmatch=True), TEXT), max_size=4
)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(200, 999),
    FIELDS,
    st.none() | FIELDS,
    st.lists(st.binary(min_size=1, max_size=40), max_size=4),
    st.data(),
)
def test_well_formed(
    guard: Guard,
    status: int,
    fields: list[tuple[str, str]],
    trailers: list[tuple[str, str]] | None,
    chunks: list[bytes],
    data: st.DataObject,
) -> None:
    """With a list of trailers, be it empty, the content is chunked."""
    content = b"".join(chunks)
    if trailers is None:
        fields, body = [*fields, ("content-length", str(len(content)))], content
    else:
        fields = [*fields, ("transfer-encoding", "Chunked")]
        body = b"".join(b"%x;e\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        body += crlf("0\n" + "".join(f"{name}: {value}\n" for name, value in trailers) + "\n")
    fields = data.draw(st.permutations(fields))
    stream = crlf(f"HTTP/1.1 {status} x\n" + "".join(f"{name}: {value}\n" for name, value in fields) + "\n")
    bodiless = status in (204, 304)
    expected = stream if bodiless else stream + body
    split = data.draw(st.integers(0, len(expected)))
    got = outcome([expected[:split], expected[split:] + b"HTTP"], guard=guard)
    body_bytes = 0 if bodiless else len(content)
    assert got == ("done", len(expected), status, body_bytes, True, "")


WORDS = [
    "close",
    "CLOSE",
    "keep-alive",
    "Keep-Alive",
    "chunked",
    "Chunked",
    "c",
    "k",
    "keep",
    "clos",
    "closed",
    "a b",
    "",
]
LISTS = st.lists(
    st.tuples(st.sampled_from(["", " ", "\t "]), st.sampled_from(WORDS), st.sampled_from(["", "  "]))
)


@settings(max_examples=200, deadline=None)
@given(LISTS, st.sampled_from("01"), st.integers(1, 20))
def test_lists_against_a_plain_reading(
    members: list[tuple[str, str, str]], minor: str, piece_bytes: int
) -> None:
    words = [word.lower() for _, word, _ in members if word]
    value = ",".join("".join(parts) for parts in members)

    connection = crlf(f"HTTP/1.{minor} 200 OK\nConnection:{value}\n{EMPTY}")
    keep_alive = "close" not in words and (minor == "1" or "keep-alive" in words)
    got = outcome(pieces_of(connection, piece_bytes))
    assert got == ("done", len(connection), 200, 0, keep_alive, "")

    coding = crlf(f"HTTP/1.{minor} 200 OK\nTransfer-Encoding:{value}\n\n0\n\n")
    got = outcome(pieces_of(coding, piece_bytes))
    if ("chunked", "chunked") in pairwise(words):
        assert (got.result, got.reason) == ("bad", CODING)
    elif words[-1:] == ["chunked"]:
        assert got == ("done", len(coding), 200, 0, minor == "1", "")
    else:
        assert got == ("more", len(coding), 200, len("0\r\n\r\n"), False, "")
