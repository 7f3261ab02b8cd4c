"""Turn a behaviour into a script: the bytes to write, the pauses between them, and the end of the connection."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from http.client import responses
from itertools import cycle
from random import Random

from heyfleet.lab.behaviour import Behaviour

UNSOLICITED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nunsolicited"


class End(Enum):
    """How a script ends the connection; a script without an end leaves it open for the next request."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


Step = bytes | float | End
"""Bytes to write, seconds to pause, or the end of the connection."""


def script(behaviour: Behaviour, body: bytes, random: Random, method: str, connection: str) -> Iterator[Step]:
    """Return the steps that answer one request with `method`; random values come from `random`.

    `connection` is the value of the Connection header that the request calls for: `close`, `keep-alive` or "".
    """
    steps = _answer(behaviour, body, random, method, behaviour.connection or connection)
    for after_bytes, end in (
        (behaviour.close_after, End.CLOSE),
        (behaviour.reset_after, End.RESET),
        (behaviour.hang_after, End.HANG),
    ):
        if after_bytes is not None:
            steps = _cut(steps, after_bytes, end)
    return _in_pieces(steps, behaviour.pieces, behaviour.gap) if behaviour.pieces else steps


def _answer(
    behaviour: Behaviour, body: bytes, random: Random, method: str, connection: str
) -> Iterator[Step]:
    if behaviour.interim:
        yield b"".join(
            _lines(behaviour, _status_line(behaviour, code), f"X-Interim: {code}", "")
            for code in behaviour.interim
        )
    if wait_s := delay_s(behaviour, random):
        yield wait_s
    if behaviour.stream_error is not None:
        yield End.RESET
        return
    if behaviour.garbage:
        yield random.randbytes(behaviour.garbage)
        yield End.CLOSE
        return
    # RFC 9112 section 6.3: these statuses have no body whatever their headers say.
    may_have_body = behaviour.status >= 200 and behaviour.status not in (204, 304)
    has_body = may_have_body and method != "HEAD"
    framing = _framing(behaviour, len(body)) if may_have_body or behaviour.length else []
    yield _head(behaviour, framing, connection) + (_framed(behaviour, body) if has_body else b"")
    if behaviour.unsolicited is not None:
        yield behaviour.unsolicited
        yield UNSOLICITED
    if _closes(behaviour, connection.lower()) or (has_body and _is_too_short(behaviour, len(body))):
        yield End.CLOSE


def delay_s(behaviour: Behaviour, random: Random) -> float:
    """Draw the wait before a response, in seconds."""
    wait_s = behaviour.delay + random.uniform(0, behaviour.jitter)
    return wait_s + behaviour.tail[1] if random.random() < behaviour.tail[0] else wait_s


def _closes(behaviour: Behaviour, connection: str) -> bool:
    is_old = behaviour.version == "1.0" and connection != "keep-alive"
    return bool(is_old or connection == "close" or behaviour.to_close or behaviour.bad_chunk)


def _is_too_short(behaviour: Behaviour, body_bytes: int) -> bool:
    """Whether a client that trusts Content-Length would wait for more of the body."""
    is_met = behaviour.length.isdecimal() and int(behaviour.length) <= body_bytes
    return bool(behaviour.length) and not behaviour.is_chunked and not is_met


def _lines(behaviour: Behaviour, *lines: str) -> bytes:
    end = "\n" if behaviour.bare_lf else "\r\n"
    return "".join(line + end for line in lines).encode("latin-1")


def _status_line(behaviour: Behaviour, status: int) -> str:
    return f"HTTP/{behaviour.version} {status} {responses.get(status, 'Unknown')}"


def _framing(behaviour: Behaviour, body_bytes: int) -> list[str]:
    lines = ["Transfer-Encoding: chunked"] if behaviour.is_chunked else []
    if behaviour.length or not (behaviour.is_chunked or behaviour.to_close):
        lines.append(f"Content-Length: {behaviour.length or body_bytes}")
    return lines


def _head(behaviour: Behaviour, framing: list[str], connection: str) -> bytes:
    lines = [
        behaviour.status_line or _status_line(behaviour, behaviour.status),
        "Content-Type: text/plain",
        *framing,
    ]
    if connection:
        lines.append(f"Connection: {connection}")
    if behaviour.header:
        lines.append(behaviour.header)
    lines += [f"X-Extra-{number}: {number}" for number in range(1, behaviour.headers + 1)]
    if behaviour.header_bytes:
        lines.append("X-Huge: " + "x" * behaviour.header_bytes)
    return _lines(behaviour, *lines, "")


def _framed(behaviour: Behaviour, body: bytes) -> bytes:
    if not behaviour.is_chunked:
        return body
    sizes, at, parts = cycle(behaviour.chunks or (len(body),)), 0, []
    while at < len(body):
        parts.append(body[at : at + next(sizes)])
        at += len(parts[-1])
    extension = ';number=1;quoted="a;b"' if behaviour.extensions else ""
    lines = [f"{len(part):x}{extension}" for part in [*parts, b""]]
    lines[0] = behaviour.bad_chunk or lines[0]
    framed = [
        _lines(behaviour, line) + part + _lines(behaviour, "")
        for line, part in zip(lines, parts, strict=False)
    ]
    trailers = [f"X-Trailer-{number}: {number}" for number in range(1, behaviour.trailers + 1)]
    return b"".join(framed) + _lines(behaviour, lines[-1], *trailers, "")


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
