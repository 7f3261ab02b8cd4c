"""Turns a behaviour into a script: the bytes to write, the pauses between them, and how it ends."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from http.client import responses
from itertools import cycle
from random import Random

from heyfleet.lab.behaviour import Behaviour

UNSOLICITED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nunsolicited"


class End(Enum):
    """What becomes of the connection; a script that ends without one leaves it to the next request."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


Step = bytes | float | End
"""Bytes to write, seconds to pause, or the end."""


def script(asked: Behaviour, body: bytes, random: Random, method: str, connection: str) -> Iterator[Step]:
    """The steps that answer one request with `method`; all chance comes from `random`.

    `connection` is what the request wants said of it: `close`, `keep-alive` or nothing.
    """
    steps = _answer(asked, body, random, method, asked.connection or connection)
    for after_bytes, end in (
        (asked.close_after, End.CLOSE),
        (asked.reset_after, End.RESET),
        (asked.hang_after, End.HANG),
    ):
        if after_bytes is not None:
            steps = _cut(steps, after_bytes, end)
    return _in_pieces(steps, asked.pieces, asked.gap) if asked.pieces else steps


def _answer(asked: Behaviour, body: bytes, random: Random, method: str, connection: str) -> Iterator[Step]:
    if asked.interim:
        yield b"".join(
            _lines(asked, _status_line(asked, code), f"X-Interim: {code}", "") for code in asked.interim
        )
    if wait_s := delay_s(asked, random):
        yield wait_s
    if asked.stream_error is not None:
        yield End.RESET
        return
    if asked.garbage:
        yield random.randbytes(asked.garbage)
        yield End.CLOSE
        return
    # RFC 9112 section 6.3: these statuses have no body whatever their headers say.
    may_have_body = asked.status >= 200 and asked.status not in (204, 304)
    has_body = may_have_body and method != "HEAD"
    framing = _framing(asked, len(body)) if may_have_body or asked.length else []
    yield _head(asked, framing, connection) + (_framed(asked, body) if has_body else b"")
    if asked.unsolicited is not None:
        yield asked.unsolicited
        yield UNSOLICITED
    if _closes(asked, connection.lower()) or (has_body and _is_short(asked, len(body))):
        yield End.CLOSE


def delay_s(asked: Behaviour, random: Random) -> float:
    """How long an answer is waited for, in seconds."""
    wait_s = asked.delay + random.uniform(0, asked.jitter)
    return wait_s + asked.tail[1] if random.random() < asked.tail[0] else wait_s


def _closes(asked: Behaviour, connection: str) -> bool:
    is_old = asked.version == "1.0" and connection != "keep-alive"
    return bool(is_old or connection == "close" or asked.to_close or asked.bad_chunk)


def _is_short(asked: Behaviour, body_bytes: int) -> bool:
    """Whether a client that believes Content-Length would wait for more."""
    is_met = asked.length.isdecimal() and int(asked.length) <= body_bytes
    return bool(asked.length) and not asked.is_chunked and not is_met


def _lines(asked: Behaviour, *lines: str) -> bytes:
    end = "\n" if asked.bare_lf else "\r\n"
    return "".join(line + end for line in lines).encode("latin-1")


def _status_line(asked: Behaviour, status: int) -> str:
    return f"HTTP/{asked.version} {status} {responses.get(status, 'Unknown')}"


def _framing(asked: Behaviour, body_bytes: int) -> list[str]:
    lines = ["Transfer-Encoding: chunked"] if asked.is_chunked else []
    if asked.length or not (asked.is_chunked or asked.to_close):
        lines.append(f"Content-Length: {asked.length or body_bytes}")
    return lines


def _head(asked: Behaviour, framing: list[str], connection: str) -> bytes:
    lines = [asked.status_line or _status_line(asked, asked.status), "Content-Type: text/plain", *framing]
    if connection:
        lines.append(f"Connection: {connection}")
    if asked.header:
        lines.append(asked.header)
    lines += [f"X-Extra-{number}: {number}" for number in range(1, asked.headers + 1)]
    if asked.header_bytes:
        lines.append("X-Huge: " + "x" * asked.header_bytes)
    return _lines(asked, *lines, "")


def _framed(asked: Behaviour, body: bytes) -> bytes:
    if not asked.is_chunked:
        return body
    sizes, at, parts = cycle(asked.chunks or (len(body),)), 0, []
    while at < len(body):
        parts.append(body[at : at + next(sizes)])
        at += len(parts[-1])
    extension = ';number=1;quoted="a;b"' if asked.extensions else ""
    lines = [f"{len(part):x}{extension}" for part in [*parts, b""]]
    lines[0] = asked.bad_chunk or lines[0]
    framed = [
        _lines(asked, line) + part + _lines(asked, "") for line, part in zip(lines, parts, strict=False)
    ]
    trailers = [f"X-Trailer-{number}: {number}" for number in range(1, asked.trailers + 1)]
    return b"".join(framed) + _lines(asked, lines[-1], *trailers, "")


def _cut(steps: Iterator[Step], left_bytes: int, end: End) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, End):
            break
        if isinstance(step, bytes):
            if len(step) >= left_bytes:
                if left_bytes:
                    yield step[:left_bytes]
                break
            left_bytes -= len(step)
        yield step
    yield end


def _in_pieces(steps: Iterator[Step], sizes: tuple[int, ...], gap_s: float) -> Iterator[Step]:
    turn = cycle(sizes)
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        at = 0
        while at < len(step):
            if at:
                yield gap_s
            size = next(turn)
            yield step[at : at + size]
            at += size
