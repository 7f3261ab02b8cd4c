"""A request as bytes, rendered once before the run: of HTTP/1.1 (RFC 9112 sections 2, 3), of HTTP/2 (RFC 9113 section 8.3)."""

from __future__ import annotations

from collections.abc import Sequence

from heyfleet.ext import hpack_shared, http2_request
from heyfleet.proto.plan_pb2 import Request

# Methods whose request is expected to have a body: without one they say so with a length of 0 (RFC 9110 section 8.6).
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

# RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# Fields of one connection of HTTP/1, which HTTP/2 has not (RFC 9113 section 8.2.2).
_CONNECTION_FIELDS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)


def render(request: Request, *, close: bool = False) -> bytes:
    """A request as it is sent, over and over: its header fields in their order, then the framing fields.

    `close`: each goes on a connection of its own, and says so.

    Text is encoded as Latin-1, the one encoding that keeps every octet a header field can hold, and as UTF-8 where it has
    characters beyond.
    """
    given = {header.name.lower() for header in request.headers}
    lines = [f"{request.method} {request.request_target} HTTP/1.1"]
    lines += [f"{header.name}: {header.value}" for header in request.headers]
    if "content-length" not in given and (request.body or request.method in METHODS_WITH_BODY):
        lines.append(f"Content-Length: {len(request.body)}")
    if close and "connection" not in given:
        lines.append("Connection: close")
    return b"\r\n".join([_octets(line) for line in lines] + [b"", b""]) + request.body


def render_http2(requests: Sequence[Request], scheme: str) -> list[bytes]:
    """The same of all requests for HTTP/2, which share what is the same in their fields."""
    fields = [http2_fields(request, scheme) for request in requests]
    shared = hpack_shared(fields)
    return [
        http2_request(own, request.body, request.method == "HEAD", shared)
        for request, own in zip(requests, fields, strict=True)
    ]


def http2_fields(request: Request, scheme: str) -> list[tuple[bytes, bytes]]:
    """The field Host becomes :authority, names are in lower case, fields of a connection are left out."""
    given = [(header.name.lower(), header.value) for header in request.headers]
    authority = next((value for name, value in given if name == "host"), "")
    fields = [
        (":method", request.method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", request.request_target),
        *((name, value) for name, value in given if name != "host" and name not in _CONNECTION_FIELDS),
    ]
    if (request.body or request.method in METHODS_WITH_BODY) and not any(
        name == "content-length" for name, _ in given
    ):
        fields.append(("content-length", str(len(request.body))))
    return [(_octets(name), _octets(value)) for name, value in fields]


def _octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
