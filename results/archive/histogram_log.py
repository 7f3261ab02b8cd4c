"""Lines of histogram logs (HdrHistogram's interval log, version 1.3), within bounds: a log may come from anywhere."""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import NamedTuple

from heyfleet import __version__
from heyfleet.proto.stats_pb2 import Histogram
from heyfleet.results.archive.layout import Tag

LINE_BYTES_AT_MOST = 16 << 20
_PAYLOAD_BYTES_AT_MOST = 16 << 20
_HEAD_BYTES = 8  # cookie and length, before what is compressed
_COOKIE = 0x1C849304
_WORD_SIZE_BITS = 0xF0  # of a cookie
_LEB128 = 0x10  # what V2 has there
_LEVEL = 6  # of zlib: higher ones spare less than 1 %


def head(began_s: float, began: str) -> str:
    """The lines before the histograms; seconds since 1970, and the same in words."""
    return (
        f"#[Logged with heyfleet {__version__}]\n"
        "#[Histogram log format version 1.3]\n"
        f"#[StartTime: {began_s:.3f} (seconds since epoch), {began}]\n"
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n'
    )


def write_line(tag: Tag, begin_ns: int, end_ns: int, histogram: Histogram) -> str:
    """A histogram as a line, between two instants since the start of the run."""
    packed = zlib.compress(histogram.counts_v2, _LEVEL)
    whole = (_COOKIE | _LEB128).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + packed
    begin_s, length_s, max_ms = begin_ns / 1e9, (end_ns - begin_ns) / 1e9, histogram.max_ns / 1e6
    return f"Tag={tag},{begin_s:.3f},{length_s:.3f},{max_ms:.3f},{base64.b64encode(whole).decode()}\n"


class LogLine(NamedTuple):
    """One histogram: when, of what, and its counts in the V2 encoding, not compressed."""

    tag: str
    begin_s: float
    length_s: float
    payload: bytes


def read_line(line: str) -> LogLine | None:
    """A line of a log; None for what is no histogram (comments, the header). ValueError with what is wrong."""
    text = line.strip()
    if not text or text.startswith(("#", '"')):
        return None
    tag = ""
    if text.startswith("Tag="):
        tag, _, text = text.removeprefix("Tag=").partition(",")
    columns = text.split(",")
    if len(columns) != 4:
        raise ValueError(f"it has {len(columns)} columns after the tag, and a histogram's line has 4")
    try:
        begin_s, length_s, packed = (
            float(columns[0]),
            float(columns[1]),
            base64.b64decode(columns[3], validate=True),
        )
    except (ValueError, binascii.Error):
        raise ValueError("it is no line of a histogram log: START,LENGTH,MAX,HISTOGRAM") from None
    if not 0 <= length_s < float("inf") or not abs(begin_s) < float("inf"):
        raise ValueError(f"its interval begins at {begin_s} and lasts {length_s} s")
    return LogLine(tag, begin_s, length_s, _unpacked(packed))


def _unpacked(packed: bytes) -> bytes:
    cookie = int.from_bytes(packed[:4], "big") & ~_WORD_SIZE_BITS
    if len(packed) < _HEAD_BYTES or cookie != _COOKIE:
        raise ValueError("its histogram is not in the compressed V2 encoding of HdrHistogram")
    if int.from_bytes(packed[4:_HEAD_BYTES], "big") != len(packed) - _HEAD_BYTES:
        raise ValueError("its histogram is cut off")
    decompressor = zlib.decompressobj()
    try:
        payload = decompressor.decompress(packed[_HEAD_BYTES:], _PAYLOAD_BYTES_AT_MOST)
    except zlib.error as error:
        raise ValueError(f"its histogram can't be decompressed: {error}") from None
    if not decompressor.eof:
        raise ValueError(f"its histogram is cut off, or larger than {_PAYLOAD_BYTES_AT_MOST >> 20} MiB")
    return payload
