"""Content that is decoded as it comes: every coding, in any pieces; what is broken, cut off, followed by more, or too large."""

from __future__ import annotations

import gzip
import random

import pytest

from heyfleet.ext import Http1Parser

from ...codings import ENCODE, raw_deflate

CONTENT = b"".join(
    random.Random(7).choice([b"heyfleet ", b"\0\1", b"zzzz", b"%d" % n]) for n in range(60_000)
)
ENCODED = {name: encode(CONTENT) for name, encode in ENCODE.items()}
ENCODED["raw deflate"] = raw_deflate(CONTENT)


def head(coding: str, length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n".encode()


def read(
    answer: bytes, pieces: int = 1 << 30, *, decode: bool = True, close: bool = False
) -> tuple[str, Http1Parser]:
    """The result, and the parser behind it."""
    parser = Http1Parser(decode=decode)
    result = "more"
    for at in range(0, len(answer), pieces):
        result, _ = parser.feed(answer[at : at + pieces])
        if result != "more":
            break
    return (parser.finish() if close and result == "more" else result), parser


def content(coding: str, encoded: bytes, pieces: int = 1 << 30) -> tuple[str, str, int]:
    result, parser = read(head(coding, len(encoded)) + encoded, pieces)
    return result, parser.reason, parser.decoded_bytes


@pytest.mark.parametrize("pieces", [1, 2, 1000, 65536])
@pytest.mark.parametrize("name", ENCODED)
def test_each_coding_in_pieces(name: str, pieces: int) -> None:
    coding = name.removeprefix("raw ")
    assert content(coding, ENCODED[name], pieces) == ("done", "", len(CONTENT))


@pytest.mark.parametrize("coding", ["GZip", "x-gzip", "identity, gzip", "gzip,", " gzip\t, identity"])
def test_names(coding: str) -> None:
    assert content(coding, ENCODED["gzip"]) == ("done", "", len(CONTENT))


@pytest.mark.parametrize("first", ENCODE)
@pytest.mark.parametrize("second", ENCODE)
def test_two_codings_in_order(first: str, second: str) -> None:
    twice = ENCODE[second](ENCODED[first])
    assert content(f"{first}, {second}", twice, 777) == ("done", "", len(CONTENT))
    if first != second:
        assert content(f"{second}, {first}", twice)[:2] == ("bad", "broken content coding")


def test_two_fields_are_one_list() -> None:
    twice = ENCODE["br"](ENCODED["gzip"])
    answer = (
        head("gzip", len(twice)).replace(b"Content-Length", b"CONTENT-ENCODING:br\r\nContent-Length") + twice
    )
    result, parser = read(answer, 3)
    assert (result, parser.decoded_bytes) == ("done", len(CONTENT))


def test_chunks_and_an_end_at_the_close() -> None:
    encoded = ENCODED["zstd"]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (encoded[:5], encoded[5:]))
    plain = head("zstd", 0).replace(b"Content-Length: 0\r\n", b"")
    chunked = plain.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n") + chunks + b"0\r\n\r\n"
    for answer, close in ((chunked, False), (plain + encoded, True)):
        result, parser = read(answer, 11, close=close)
        assert (result, parser.decoded_bytes, parser.body_bytes) == ("done", len(CONTENT), len(encoded))
    for answer, close in ((chunked.replace(b"0\r\n\r\n", b""), True), (plain + encoded[:-1], True)):
        result, parser = read(answer, 11, close=close)
        assert result == ("closed early" if answer.startswith(chunked[:60]) else "bad")


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("pieces", [1, 65536])
def test_what_is_broken(name: str, pieces: int) -> None:
    coding, encoded = name.removeprefix("raw "), ENCODED[name]
    broken = ("bad", "broken content coding")
    assert content(coding, encoded[:-1], pieces)[:2] == broken
    assert content(coding, encoded[: len(encoded) // 2], pieces)[:2] == broken
    assert content(coding, encoded[:1], pieces)[:2] == broken
    assert content(coding, encoded + b"!", pieces)[:2] == broken
    assert content(coding, encoded + b"\0" * 20, pieces)[:2] == broken
    assert content(coding, b"<html>an error page</html>" * 10, pieces)[:2] == broken


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_several_members_or_frames(name: str) -> None:
    assert content(name, ENCODED[name] * 3, 999) == ("done", "", 3 * len(CONTENT))


@pytest.mark.parametrize(
    "coding",
    [
        "compress",
        "gzip, foo",
        "g",
        "gzipp",
        "gzip, gzip, gzip, gzip, gzip",
        "gzip;q=1",
        "identity, " * 20 + "gzip",
    ],
)
def test_unknown_codings(coding: str) -> None:
    assert content(coding, ENCODED["gzip"])[:2] == ("bad", "unknown content coding")


def test_no_content_is_no_error() -> None:
    assert content("gzip", b"") == ("done", "", 0)
    parser = Http1Parser(head_request=True, decode=True)
    assert parser.feed(head("gzip", 99)) == ("done", len(head("gzip", 99)))
    assert read(b"HTTP/1.1 304 No\r\nContent-Encoding: gzip\r\n\r\n")[0] == "done"


def test_plain_content_counts_as_it_is() -> None:
    result, parser = read(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
    assert (result, parser.decoded_bytes, parser.body_bytes) == ("done", 5, 5)


def test_without_decoding_nothing_is_looked_at() -> None:
    result, parser = read(head("gzip", 5) + b"hello", decode=False)
    assert (result, parser.decoded_bytes, parser.body_bytes) == ("done", 0, 5)


def test_fields_that_begin_alike_and_those_before_the_answer() -> None:
    early = b"HTTP/1.1 103 Early\r\nContent-Encoding: br\r\n\r\n"
    more = b"Content-Encodin: br\r\nContent-Encodings: br\r\nContent-Type: a\r\nConnection: keep-alive\r\n"
    answer = (
        early
        + head("gzip", len(ENCODED["gzip"])).replace(b"Content-L", more + b"Content-L")
        + ENCODED["gzip"]
    )
    result, parser = read(answer, 1)
    assert (result, parser.decoded_bytes, parser.keep_alive) == ("done", len(CONTENT), True)


def test_a_parser_is_used_again() -> None:
    parser = Http1Parser(decode=True)
    for _ in range(3):
        for name, encoded in ENCODED.items():
            parser.start()
            answer = head(name.removeprefix("raw "), len(encoded)) + encoded
            parser.feed(answer[:-7])
            parser.start()  # given up in the middle
            assert parser.feed(answer)[0] == "done"
            assert parser.decoded_bytes == len(CONTENT)


@pytest.mark.parametrize("coding", ["gzip", "zstd", "gzip, br"])
def test_a_bomb_is_left_at_a_gibibyte(coding: str) -> None:
    """Members or frames of zeros, one behind the other."""
    first, _, second = coding.partition(", ")
    encoded = ENCODE[first](bytes(1 << 26)) * 17
    result, reason, decoded = content(coding, ENCODE[second](encoded) if second else encoded)
    assert (result, reason) == ("bad", "content too large")
    assert (1 << 30) - (1 << 21) < decoded <= 1 << 30


def test_a_bomb_within_that_makes_nothing() -> None:
    """A gzip header whose file name has no end."""
    name = gzip.compress(b"\x1f\x8b\x08\x08" + bytes(6)) + gzip.compress(b"a" * (1 << 26)) * 17
    assert content("gzip, gzip", name) == ("bad", "content too large", 0)
