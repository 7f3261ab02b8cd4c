"""Lines of histogram logs (HdrHistogram's interval log, version 1.3), with limits: a log may come from anywhere."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import NamedTuple

from heyfleet import __version__
from heyfleet.proto.stats_pb2 import Histogram
from heyfleet.results.archive.layout import Tag

MAX_LINE_BYTES = 16 << 20
_MAX_PAYLOAD_BYTES = 16 << 20
_MAX_S = 1e12  # since 1970, or of an interval: more can't be true, or be added up
_HEADER_BYTES = 8  # cookie and length, before the compressed payload
_COOKIE = 0x1C849304
_WORD_SIZE_BITS = 0xF0  # of a cookie
_LEB128 = 0x10  # the word size of V2
_ZLIB_LEVEL = 6  # higher levels save less than 1 %


def log_header(began_unix_s: float, began_at: str) -> str:
    """Return the lines before the histograms; the instant is in seconds since 1970, and as text."""
    return (
        f"#[Logged with heyfleet {__version__}]\n"
        "#[Histogram log format version 1.3]\n"
        f"#[StartTime: {began_unix_s:.3f} (seconds since epoch), {began_at}]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )


def write_line(tag: Tag, begin_ns: int, end_ns: int, histogram: Histogram) -> str:
    """Return a histogram as a line; the instants are since the start of the run."""
    packed = zlib.compress(histogram.counts_v2, _ZLIB_LEVEL)
    encoded = (_COOKIE | _LEB128).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + packed
    begin_s, length_s, max_ms = begin_ns / 1e9, (end_ns - begin_ns) / 1e9, histogram.max_ns / 1e6
    return f"Tag={tag},{begin_s:.3f},{length_s:.3f},{max_ms:.3f},{base64.b64encode(encoded).decode()}\n"


class LogLine(NamedTuple):
    """One histogram of a log; the payload is its counts in the V2 encoding, not compressed."""

    tag: str
    begin_s: float
    length_s: float
    payload: bytes


def read_line(line: str) -> LogLine | None:
    """Parse a line of a log; None for comments and the header, ValueError if it is damaged."""
    text = line.strip()
    if not text or text.startswith(("#", '"')):
        return None
    tag = ""
    if text.startswith("Tag="):
        tag, _, text = text.removeprefix("Tag=").partition(",")
    columns = text.split(",")
    if len(columns) != 4:
        raise ValueError(f"it has {len(columns)} columns after the tag instead of 4")
    try:
        begin_s, length_s, packed = (
            float(columns[0]),
            float(columns[1]),
            base64.b64decode(columns[3], validate=True),
        )
    except (ValueError, binascii.Error):
        raise ValueError("it is not a line of a histogram log: START,LENGTH,MAX,HISTOGRAM") from None
    if not 0 <= length_s < _MAX_S or not abs(begin_s) < _MAX_S:
        raise ValueError(f"its interval begins at {begin_s} s and lasts {length_s} s")
    return LogLine(tag, begin_s, length_s, _decompress(packed))


def _decompress(packed: bytes) -> bytes:
    cookie = int.from_bytes(packed[:4], "big") & ~_WORD_SIZE_BITS
    if len(packed) < _HEADER_BYTES or cookie != _COOKIE:
        raise ValueError("its histogram is not in the compressed V2 encoding of HdrHistogram")
    if int.from_bytes(packed[4:_HEADER_BYTES], "big") != len(packed) - _HEADER_BYTES:
        raise ValueError("its histogram is cut off")
    decompressor = zlib.decompressobj()
    try:
        payload = decompressor.decompress(packed[_HEADER_BYTES:], _MAX_PAYLOAD_BYTES)
    except zlib.error as error:
        raise ValueError(f"its histogram can't be decompressed: {error}") from None
    if not decompressor.eof:
        raise ValueError(f"its histogram is cut off, or larger than {_MAX_PAYLOAD_BYTES >> 20} MiB")
    return payload
