"""Turn a behavior into a script: the bytes to write, the pauses between them, and the end of the connection."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from http.client import responses
from itertools import cycle
from random import Random

from heyfleet.lab.behavior import Behavior

UNSOLICITED = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nunsolicited"


class End(Enum):
    """How a script ends the connection; a script without an end leaves it open for the next request."""

    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


Step = bytes | float | End
"""Bytes to write, seconds to pause, or the end of the connection."""


def script(behavior: Behavior, body: bytes, random: Random, method: str, connection: str) -> Iterator[Step]:
    """Return the steps that answer one request with `method`; random values come from `random`.

    `connection` is the value of the Connection header that the request calls for: `close`, `keep-alive` or "".
    """
    steps = _answer(behavior, body, random, method, behavior.connection or connection)
    for after_bytes, end in (
        (behavior.close_after, End.CLOSE),
        (behavior.reset_after, End.RESET),
        (behavior.hang_after, End.HANG),
    ):
        if after_bytes is not None:
            steps = _cut(steps, after_bytes, end)
    return _in_pieces(steps, behavior.pieces, behavior.gap) if behavior.pieces else steps


def _answer(behavior: Behavior, body: bytes, random: Random, method: str, connection: str) -> Iterator[Step]:
    if behavior.interim:
        yield b"".join(
            _lines(behavior, _status_line(behavior, code), f"X-Interim: {code}", "")
            for code in behavior.interim
        )
    if wait_s := delay_s(behavior, random):
        yield wait_s
    if behavior.stream_error is not None:
        yield End.RESET
        return
    if behavior.garbage:
        yield random.randbytes(behavior.garbage)
        yield End.CLOSE
        return
    # RFC 9112 section 6.3: these statuses have no body whatever their headers say.
    may_have_body = behavior.status >= 200 and behavior.status not in (204, 304)
    has_body = may_have_body and method != "HEAD"
    framing = _framing(behavior, len(body)) if may_have_body or behavior.length else []
    yield _head(behavior, framing, connection) + (_framed(behavior, body) if has_body else b"")
    if behavior.unsolicited is not None:
        yield behavior.unsolicited
        yield UNSOLICITED
    if _closes(behavior, connection.lower()) or (has_body and _is_too_short(behavior, len(body))):
        yield End.CLOSE


def delay_s(behavior: Behavior, random: Random) -> float:
    """Draw the wait before a response, in seconds."""
    wait_s = behavior.delay + random.uniform(0, behavior.jitter)
    return wait_s + behavior.tail[1] if random.random() < behavior.tail[0] else wait_s


def _closes(behavior: Behavior, connection: str) -> bool:
    is_old = behavior.version == "1.0" and connection != "keep-alive"
    return bool(is_old or connection == "close" or behavior.to_close or behavior.bad_chunk)


def _is_too_short(behavior: Behavior, body_bytes: int) -> bool:
    """Whether a client that trusts Content-Length would wait for more of the body."""
    is_met = behavior.length.isdecimal() and int(behavior.length) <= body_bytes
    return bool(behavior.length) and not behavior.is_chunked and not is_met


def _lines(behavior: Behavior, *lines: str) -> bytes:
    end = "\n" if behavior.bare_lf else "\r\n"
    return "".join(line + end for line in lines).encode("latin-1")


def _status_line(behavior: Behavior, status: int) -> str:
    return f"HTTP/{behavior.version} {status} {responses.get(status, 'Unknown')}"


def _framing(behavior: Behavior, body_bytes: int) -> list[str]:
    lines = ["Transfer-Encoding: chunked"] if behavior.is_chunked else []
    if behavior.length or not (behavior.is_chunked or behavior.to_close):
        lines.append(f"Content-Length: {behavior.length or body_bytes}")
    return lines


def _head(behavior: Behavior, framing: list[str], connection: str) -> bytes:
    lines = [
        behavior.status_line or _status_line(behavior, behavior.status),
        "Content-Type: text/plain",
        *framing,
    ]
    if connection:
        lines.append(f"Connection: {connection}")
    if behavior.header:
        lines.append(behavior.header)
    lines += [f"X-Extra-{number}: {number}" for number in range(1, behavior.headers + 1)]
    if behavior.header_bytes:
        lines.append("X-Huge: " + "x" * behavior.header_bytes)
    return _lines(behavior, *lines, "")


def _framed(behavior: Behavior, body: bytes) -> bytes:
    if not behavior.is_chunked:
        return body
    sizes, at, parts = cycle(behavior.chunks or (len(body),)), 0, []
    while at < len(body):
        parts.append(body[at : at + next(sizes)])
        at += len(parts[-1])
    extension = ';number=1;quoted="a;b"' if behavior.extensions else ""
    lines = [f"{len(part):x}{extension}" for part in [*parts, b""]]
    lines[0] = behavior.bad_chunk or lines[0]
    framed = [
        _lines(behavior, line) + part + _lines(behavior, "") for line, part in zip(lines, parts, strict=False)
    ]
    trailers = [f"X-Trailer-{number}: {number}" for number in range(1, behavior.trailers + 1)]
    return b"".join(framed) + _lines(behavior, lines[-1], *trailers, "")


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
