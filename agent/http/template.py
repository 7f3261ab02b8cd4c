"""From requests with placeholders to the segments that the engine renders, of HTTP/1.1 and of HTTP/2."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from heyfleet.agent.http.request import METHODS_WITH_BODY, http2_fields
from heyfleet.ext import hpack_encode
from heyfleet.plan.template import Piece, Value, parse
from heyfleet.proto.plan_pb2 import Plan, Request

Segment = tuple[Any, ...]
# Of the fields of a request over HTTP/2: one frame (RFC 9113 section 4.2).
_BLOCK_BYTES = 16384
_VALUE_BYTES = 40
# What has no place in a URL as it is: spaces, controls and all that is not ASCII.
_NOT_IN_URLS = re.compile(rb"[\x00-\x20\x7f-\xff]")


class Compiler:
    """Of one plan: segments of its requests, and the columns of its data that they name by their places."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._data = {column.name: list(column.values) for column in plan.data}
        self._places: dict[tuple[str, bool], int] = {}
        self.columns: list[list[bytes]] = []

    def http1(self, request: Request) -> list[Segment]:
        """A request as render() writes it, with placeholders for what differs."""
        given = {header.name.lower() for header in request.headers}
        segments = [*self._texts(f"{request.method} "), *self._texts(request.request_target, url=True)]
        segments += self._plain(" HTTP/1.1\r\n")
        for header in request.headers:
            segments += [*self._plain(f"{header.name}: "), *self._texts(header.value), *self._plain("\r\n")]
        body = self._body(request)
        if "content-length" not in given and (body or request.method in METHODS_WITH_BODY):
            segments += [*self._plain("Content-Length: "), ("length",), *self._plain("\r\n")]
        if self._plan.disable_keepalive and "connection" not in given:
            segments += self._plain("Connection: close\r\n")
        return _joined([*segments, *self._plain("\r\n"), ("body",), *body])

    def http2(self, request: Request) -> list[Segment]:
        """The same as the frame of its fields and its body; ValueError if that is too long for one frame."""
        segments: list[Segment] = [("frame",)]
        given = any(header.name.lower() == "content-length" for header in request.headers)
        for name, value in http2_fields(request, self._plan.target.scheme):
            if name == b"content-length" and not given:
                segments += self._field(name, [("length",)])
            else:
                segments += self._field(name, self._texts(_text(value), url=name == b":path"))
        body = self._body(request)
        joined = _joined(segments)
        if sum(map(self._most, joined)) > _BLOCK_BYTES:
            raise ValueError(
                f"{request.name}: its fields may become longer than {_BLOCK_BYTES} bytes, one frame of HTTP/2"
            )
        return [*joined, ("body",), *_joined(body)]

    def _field(self, name: bytes, value: list[Segment]) -> list[Segment]:
        if all(segment[0] == "text" for segment in value):
            return [("text", hpack_encode([(name, b"".join(segment[1] for segment in value))]))]
        # An empty value is its length, which is left to the segments.
        value = _joined(value)
        return [("text", hpack_encode([(name, b"")])[:-1]), ("string", len(value)), *value]

    def _body(self, request: Request) -> list[Segment]:
        return self._segments(parse(request.body.decode("latin-1")), url=False)

    def _texts(self, text: str, *, url: bool = False) -> list[Segment]:
        return self._segments(parse(text), url=url)

    @staticmethod
    def _plain(text: str) -> list[Segment]:
        return [("text", text.encode())]

    def _segments(self, pieces: Sequence[Piece], *, url: bool) -> list[Segment]:
        return [self._segment(piece, url) for piece in pieces]

    def _segment(self, piece: Piece, url: bool) -> Segment:
        if not isinstance(piece, Value):
            return ("text", _octets(piece))
        if piece.kind == "rand":
            return ("rand", piece.low, piece.high)
        if piece.kind == "csv":
            return ("column", self._column(piece.column, url))
        return (piece.kind,)

    def _column(self, name: str, url: bool) -> int:
        """The place of a column, as it is or as a URL wants it."""
        if (name, url) not in self._places:
            values = self._data[name]
            if url:
                values = [_NOT_IN_URLS.sub(lambda found: b"%%%02X" % found[0][0], value) for value in values]
            self._places[name, url] = len(self.columns)
            self.columns.append(values)
        return self._places[name, url]

    def _most(self, segment: Segment) -> int:
        if segment[0] == "text":
            return len(segment[1])
        if segment[0] == "column":
            return max(map(len, self.columns[segment[1]]))
        return _VALUE_BYTES


def _joined(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbouring texts as one; a string's segments are never joined with what is around them."""
    made: list[Segment] = []
    inside = 0
    for segment in segments:
        if segment == ("text", b"") and not inside:
            continue
        if not inside and segment[0] == "text" and made and made[-1][0] == "text" and not _ends_string(made):
            made[-1] = ("text", made[-1][1] + segment[1])
        else:
            made.append(segment)
        inside = segment[1] if segment[0] == "string" else max(inside - 1, 0)
    return made


def _ends_string(made: Sequence[Segment]) -> bool:
    """Whether the last segment is the last of a string's."""
    return any(
        segment[0] == "string" and place + segment[1] >= len(made) - 1 for place, segment in enumerate(made)
    )


def _text(octets: bytes) -> str:
    return octets.decode("latin-1")


def _octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
