"""Header compression against the package hpack, which is another's: what we write it reads, what it writes we read."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.ext import hpack_decode, hpack_encode

NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=80)
# Latin-1, as header values are; hpack decodes UTF-8 unless it is asked for the bytes.
VALUES = st.binary(max_size=300)
FIELDS = st.lists(st.tuples(NAMES.map(str.encode), VALUES), max_size=20)


@given(FIELDS)
def test_what_we_write_is_read(fields: list[tuple[bytes, bytes]]) -> None:
    decoder = hpack.Decoder()
    assert [tuple(field) for field in decoder.decode(hpack_encode(fields), raw=True)] == fields
    assert not decoder.header_table.dynamic_entries


def test_known_fields_take_a_byte() -> None:
    assert hpack_encode([(b":method", b"GET"), (b":path", b"/"), (b":scheme", b"https")]) == b"\x82\x84\x87"


@given(st.integers(100, 999), st.integers(-1, 2**62), FIELDS, st.booleans())
def test_what_others_write_is_read(
    status: int, length: int, fields: list[tuple[bytes, bytes]], huffman: bool
) -> None:
    ours = {b"content-length", b"transfer-encoding", b"connection"}
    lines = [
        (b":status", str(status).encode()),
        *((name, value) for name, value in fields if name not in ours),
    ]
    if length >= 0:
        lines.append((b"content-length", str(length).encode()))
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    assert hpack_decode(encoder.encode(lines, huffman=huffman)) == ("good", status, length)


def literal(name: bytes, value: bytes) -> bytes:
    """A field without any index or code (RFC 7541, 6.2.2)."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


@pytest.mark.parametrize(
    ("block", "result"),
    [
        (b"", ("good", 0, -1)),
        (b"\x20\x88", ("good", 200, -1)),
        (literal(b":status", b"404"), ("good", 404, -1)),
        (b"\x88" + literal(b"content-length", b"7") + literal(b"content-length", b"7"), ("good", 200, 7)),
    ],
)
def test_good_blocks(block: bytes, result: tuple[str, int, int]) -> None:
    assert hpack_decode(block) == result


@pytest.mark.parametrize(
    "block",
    [
        b"\x88\x88",  # two statuses
        literal(b"server", b"x") + b"\x88",  # a pseudo-field behind a field
        b"\x88\x82",  # a field of requests
        literal(b":status", b"20"),
        literal(b":status", b"2x0"),
        literal(b":colour", b"red"),
        b"\x88" + literal(b"Server", b"x"),
        b"\x88" + literal(b"a b", b"x"),
        b"\x88" + literal(b"", b"x"),
        b"\x88" + literal(b"connection", b"close"),
        b"\x88" + literal(b"transfer-encoding", b"chunked"),
        b"\x88\x5c\x011\x5c\x012",  # two lengths
        b"\x88\x5c\x01x",
        b"\x88\x9c",  # content-length without a value
        b"\x88\x5c\x1499999999999999999999",
    ],
)
def test_blocks_of_which_the_stream_suffers(block: bytes) -> None:
    assert hpack_decode(block)[0] == "malformed"


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xbe",  # the first of a dynamic table
        b"\x7e\x01x",  # a name of one
        b"\xff",  # an index that is cut off
        b"\xff\xff\xff\xff\xff\xff\x7f",  # one that is far too large
        b"\x00\x05ab",
        b"\x00\x01a\x05x",
        b"\x00",
        b"\x3e",  # a table where none is allowed
        b"\x88\x20",  # its size behind a field
        b"\x00\x84\xff\xff\xff\xff\x01x",  # the end of the code inside a text
        b"\x00\x81\x00\x01x",  # a code that is filled up with zeros
        b"\x00\x82\x1f\xff\x01x",  # one that is filled up with a whole byte
    ],
)
def test_blocks_of_which_the_connection_suffers(block: bytes) -> None:
    assert hpack_decode(block)[0] == "broken"


@given(st.binary(max_size=200))
def test_any_bytes_have_a_result(block: bytes) -> None:
    result, status, length = hpack_decode(block)
    assert result in ("good", "malformed", "broken")
    assert 0 <= status <= 999
    assert length >= -1
