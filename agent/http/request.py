"""Requests as bytes, rendered once before the run: HTTP/1.1 (RFC 9112 sections 2, 3) and HTTP/2 (RFC 9113 section 8.3)."""

from __future__ import annotations

from collections.abc import Sequence

from heyfleet.ext import hpack_shared, http2_request
from heyfleet.plan.octets import to_octets
from heyfleet.proto.plan_pb2 import Request

# Methods that usually carry a body; without one they are sent with Content-Length: 0 (RFC 9110 section 8.6).
METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})

# RFC 9110 section 9.2.2.
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
# Fields about the connection itself, which HTTP/2 forbids (RFC 9113 section 8.2.2).
_CONNECTION_FIELDS = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)


def render(request: Request, *, close: bool = False) -> bytes:
    """Render an HTTP/1.1 request: its header fields in their order, then the framing fields.

    `close` adds Connection: close.
    """
    present = {header.name.lower() for header in request.headers}
    lines = [f"{request.method} {request.request_target} HTTP/1.1"]
    lines += [f"{header.name}: {header.value}" for header in request.headers]
    if "content-length" not in present and (request.body or request.method in METHODS_WITH_BODY):
        lines.append(f"Content-Length: {len(request.body)}")
    if close and "connection" not in present:
        lines.append("Connection: close")
    return b"\r\n".join([to_octets(line) for line in lines] + [b"", b""]) + request.body


def render_http2(requests: Sequence[Request], scheme: str) -> list[bytes]:
    """Render requests for HTTP/2, all together, since equal fields share entries of the HPACK table."""
    fields = [http2_fields(request, scheme) for request in requests]
    shared = hpack_shared(fields)
    return [
        http2_request(own, request.body, request.method == "HEAD", shared)
        for request, own in zip(requests, fields, strict=True)
    ]


def http2_fields(request: Request, scheme: str) -> list[tuple[bytes, bytes]]:
    """Return the fields of a request for HTTP/2: Host as :authority, names in lower case, no connection fields."""
    present = [(header.name.lower(), header.value) for header in request.headers]
    authority = next((value for name, value in present if name == "host"), "")
    fields = [
        (":method", request.method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", request.request_target),
        *((name, value) for name, value in present if name != "host" and name not in _CONNECTION_FIELDS),
    ]
    if (request.body or request.method in METHODS_WITH_BODY) and not any(
        name == "content-length" for name, _ in present
    ):
        fields.append(("content-length", str(len(request.body))))
    return [(to_octets(name), to_octets(value)) for name, value in fields]
