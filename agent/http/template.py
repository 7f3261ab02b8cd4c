"""Compile requests with placeholders into the segments that the engine renders, for HTTP/1.1 and HTTP/2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from heyfleet.agent.http.request import METHODS_WITH_BODY, http2_fields
from heyfleet.ext import hpack_encode
from heyfleet.plan.octets import to_octets, to_text
from heyfleet.plan.template import Piece, Value, parse
from heyfleet.proto.plan_pb2 import Plan, Request

Segment = tuple[Any, ...]
# Longest field block of an HTTP/2 request that is sent in one frame (RFC 9113 section 4.2).
_MAX_BLOCK_BYTES = 16384
# Longest value of a placeholder that is no column.
_MAX_VALUE_BYTES = 40
# Octets that a URL can't contain: spaces, controls and everything beyond ASCII.
_NOT_IN_URLS = re.compile(rb"[\x00-\x20\x7f-\xff]")


class Compiler:
    """Compiles the requests of one plan; `columns` are the data columns that the segments refer to by index."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = {column.name: list(column.values) for column in plan.data}
        self._indexes: dict[tuple[str, bool], int] = {}
        self.columns: list[list[bytes]] = []

    def http1(self, request: Request) -> list[Segment]:
        """Compile a request in the form that render() gives it."""
        present = {header.name.lower() for header in request.headers}
        segments = [*self._texts(f"{request.method} "), *self._texts(request.request_target, url=True)]
        segments += self._plain(" HTTP/1.1\r\n")
        for header in request.headers:
            segments += [*self._plain(f"{header.name}: "), *self._texts(header.value), *self._plain("\r\n")]
        body = self._body(request)
        if "content-length" not in present and (body or request.method in METHODS_WITH_BODY):
            segments += [*self._plain("Content-Length: "), ("length",), *self._plain("\r\n")]
        if self._plan.disable_keepalive and "connection" not in present:
            segments += self._plain("Connection: close\r\n")
        return _join([*segments, *self._plain("\r\n"), ("body",), *body])

    def http2(self, request: Request) -> list[Segment]:
        """Compile a request as the frame of its fields and its body; ValueError if the fields can exceed one frame."""
        segments: list[Segment] = [("frame",)]
        has_length = any(header.name.lower() == "content-length" for header in request.headers)
        for name, value in http2_fields(request, self._plan.target.scheme):
            if name == b"content-length" and not has_length:
                segments += self._field(name, [("length",)])
            else:
                segments += self._field(name, self._texts(to_text(value), url=name == b":path"))
        body = self._body(request)
        joined = _join(segments)
        if sum(map(self._longest, joined)) > _MAX_BLOCK_BYTES:
            raise ValueError(
                f"{request.name}: its header fields can exceed {_MAX_BLOCK_BYTES} bytes, the size of an HTTP/2 frame"
            )
        return [*joined, ("body",), *_join(body)]

    def _field(self, name: bytes, value: list[Segment]) -> list[Segment]:
        if all(segment[0] == "text" for segment in value):
            return [("text", hpack_encode([(name, b"".join(segment[1] for segment in value))]))]
        # The encoding of an empty value ends in its length, which the string segment replaces.
        value = _join(value)
        return [("text", hpack_encode([(name, b"")])[:-1]), ("string", len(value)), *value]

    def _body(self, request: Request) -> list[Segment]:
        return self._segments(parse(to_text(request.body)), url=False)

    def _texts(self, text: str, *, url: bool = False) -> list[Segment]:
        return self._segments(parse(text), url=url)

    @staticmethod
    def _plain(text: str) -> list[Segment]:
        return [("text", to_octets(text))]

    def _segments(self, pieces: Sequence[Piece], *, url: bool) -> list[Segment]:
        return [self._segment(piece, url) for piece in pieces]

    def _segment(self, piece: Piece, url: bool) -> Segment:
        if not isinstance(piece, Value):
            return ("text", to_octets(piece))
        if piece.kind == "rand":
            return ("rand", piece.low, piece.high)
        if piece.kind == "csv":
            return ("column", self._column(piece.column, url))
        return (piece.kind,)

    def _column(self, name: str, url: bool) -> int:
        """Return the index of a column, percent-encoded for use in a URL or as it is."""
        if (name, url) not in self._indexes:
            values = self._data[name]
            if url:
                values = [_NOT_IN_URLS.sub(lambda match: b"%%%02X" % match[0][0], value) for value in values]
            self._indexes[name, url] = len(self.columns)
            self.columns.append(values)
        return self._indexes[name, url]

    def _longest(self, segment: Segment) -> int:
        if segment[0] == "text":
            return len(segment[1])
        if segment[0] == "column":
            return max(map(len, self.columns[segment[1]]))
        return _MAX_VALUE_BYTES


def _join(segments: Sequence[Segment]) -> list[Segment]:
    """Join neighbouring texts, but never those of a string with those around it."""
    result: list[Segment] = []
    inside = 0  # segments left of the current string
    for segment in segments:
        if segment == ("text", b"") and not inside:
            continue
        if not inside and segment[0] == "text" and _ends_in_text(result):
            result[-1] = ("text", result[-1][1] + segment[1])
        else:
            result.append(segment)
        inside = segment[1] if segment[0] == "string" else max(inside - 1, 0)
    return result


def _ends_in_text(segments: Sequence[Segment]) -> bool:
    """Whether the last segment is a text that is not within a string."""
    last = len(segments) - 1
    return (
        bool(segments)
        and segments[last][0] == "text"
        and not any(
            segment[0] == "string" and index + segment[1] >= last for index, segment in enumerate(segments)
        )
    )
