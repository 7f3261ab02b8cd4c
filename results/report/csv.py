"""hey's CSV: one row for each response, from the trace that agents keep."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# offset, latency, connect, lookup, write, wait and read in nanoseconds; status; padding
ROW = struct.Struct("<7qii")
HEADER = "response-time,DNS+dialup,DNS,Request-write,Response-delay,Response-read,status-code,offset"
ROWS_PER_CHUNK = 4096


def render(trace: bytes) -> Iterator[str]:
    """Return the lines in chunks; times are in seconds with four decimals, as in hey."""
    yield f"{HEADER}\n"
    for begin in range(0, len(trace), ROWS_PER_CHUNK * ROW.size):
        chunk = trace[begin : begin + ROWS_PER_CHUNK * ROW.size]
        yield "".join(map(_line, ROW.iter_unpack(chunk)))


def _line(row: tuple[int, ...]) -> str:
    offset, latency, connect, lookup, write, wait, read, status, _ = row
    times = (latency, connect + lookup, lookup, write, wait, read)
    return ",".join(f"{value_ns / 1e9:4.4f}" for value_ns in times) + f",{status},{offset / 1e9:4.4f}\n"
