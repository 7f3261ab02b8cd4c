"""A sans-I/O parser of HTTP/1.x requests (RFC 9112).

It is strict even where a server may be lenient, since it has to find what a client does wrong.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from functools import lru_cache
from typing import NamedTuple

HEAD_LIMIT_BYTES = 256 * 1024
LINE_LIMIT_BYTES = 8 * 1024
BODY_LIMIT_BYTES = 256 * 1024 * 1024

_TOKEN = rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)"
_REQUEST_LINE = re.compile(_TOKEN + rb" ([^\x00-\x20\x7f]+) HTTP/(1\.[01])")
_FIELD = re.compile(_TOKEN + rb":[ \t]*([^\x00\r\n]*?)[ \t]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[^\x00\r\n]*)?")


class BadRequestError(ValueError):
    """Bytes that are not an HTTP/1.x request; the text is one line that says why."""


class Head(NamedTuple):
    """The request line and fields. Text is decoded as Latin-1, byte for byte; `body_bytes` is None for a chunked body.

    `connection` is the Connection header that the response needs: `close`, `keep-alive` (to HTTP/1.0) or "".
    """

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    body_bytes: int | None
    connection: str


def _body_bytes(values: dict[str, list[str]]) -> int | None:
    lengths, codings = values.get("content-length", []), values.get("transfer-encoding", [])
    if not lengths and [coding.lower() for coding in codings] == ["chunked"]:
        return None
    if codings:
        raise BadRequestError("Transfer-Encoding: only chunked is supported, and without Content-Length")
    if lengths and (len(lengths) > 1 or not re.fullmatch("[0-9]{1,15}", lengths[0])):
        raise BadRequestError(f"Content-Length: {', '.join(lengths)}: not one length")
    return int(lengths[0]) if lengths else 0


@lru_cache(1024)  # a load generator repeats the same head
def read_head(raw: bytes) -> Head:
    """Parse a head, without the empty line that ends it; BadRequestError."""
    first, *lines = raw.split(b"\r\n")
    start = _REQUEST_LINE.fullmatch(first)
    if start is None:
        raise BadRequestError(f"request line: {first[:80]!r}")
    headers, values = [], dict[str, list[str]]()
    for line in lines:
        parts = _FIELD.fullmatch(line)
        if parts is None:
            raise BadRequestError(f"header line: {line[:80]!r}")
        name, value = (part.decode("latin-1") for part in parts.groups())
        headers.append((name, value))
        values.setdefault(name.lower(), []).append(value)
    method, target, version = (part.decode("latin-1") for part in start.groups())
    if len(values.get("host", [])) != 1 and version == "1.1":
        raise BadRequestError("Host: exactly one is required")
    options = {option.strip().lower() for option in ",".join(values.get("connection", [])).split(",")}
    connection = "keep-alive" if version == "1.0" else ""
    if "close" in options or (version == "1.0" and "keep-alive" not in options):
        connection = "close"
    return Head(method, target, version, tuple(headers), _body_bytes(values), connection)


class RequestReader:
    """Takes bytes with `feed` and returns requests with `next`, in order; pipelined requests are kept for later."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._requests = self._read()

    def feed(self, data: bytes) -> None:
        """Append received bytes."""
        self._buffer += data

    def next(self) -> tuple[Head, bytes] | None:
        """Return the next request with its body, or None if more bytes are needed.

        Raises BadRequestError, after which the reader can't be used.
        """
        return next(self._requests)

    def _read(self) -> Generator[tuple[Head, bytes] | None]:
        while True:
            head = read_head((yield from self._line(b"\r\n\r\n", HEAD_LIMIT_BYTES)))
            yield (
                head,
                (yield from self._chunked() if head.body_bytes is None else self._take(head.body_bytes)),
            )

    def _line(
        self, end: bytes = b"\r\n", limit_bytes: int = LINE_LIMIT_BYTES
    ) -> Generator[None, None, bytes]:
        searched = 0
        while (at := self._buffer.find(end, searched)) < 0 and len(self._buffer) <= limit_bytes:
            searched = max(0, len(self._buffer) - len(end) + 1)
            yield None
        if not 0 <= at <= limit_bytes:
            raise BadRequestError(f"more than {limit_bytes} bytes of header")
        line = bytes(self._buffer[:at])
        del self._buffer[: at + len(end)]
        return line

    def _take(self, count: int) -> Generator[None, None, bytes]:
        if count > BODY_LIMIT_BYTES:
            raise BadRequestError(f"more than {BODY_LIMIT_BYTES} bytes of body")
        while len(self._buffer) < count:
            yield None
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _chunked(self) -> Generator[None, None, bytes]:
        body = bytearray()
        while True:
            line = yield from self._line()
            size = _CHUNK_SIZE.fullmatch(line)
            if size is None:
                raise BadRequestError(f"chunk size: {line[:80]!r}")
            if int(size[1], 16) == 0:
                break
            body += yield from self._take(int(size[1], 16))
            if (yield from self._line()):
                raise BadRequestError("chunk longer than its size")
        while trailer := (yield from self._line()):
            if not _FIELD.fullmatch(trailer):
                raise BadRequestError(f"trailer line: {trailer[:80]!r}")
        return bytes(body)
