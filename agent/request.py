"""A request as bytes, rendered once before the run (RFC 9112 sections 2 and 3)."""

from __future__ import annotations

from heyfleet.proto.fleet_pb2 import Request

# Methods whose request is expected to have a body: without one they say so with a length of 0 (RFC 9110 section 8.6).
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def render(request: Request, *, close: bool = False) -> bytes:
    """A request as it is sent, over and over: its header fields in their order, then the framing fields.

    `close`: each goes on a connection of its own, and says so.

    Text is encoded as Latin-1, the one encoding that keeps every octet a header field can hold, and as UTF-8 where it has
    characters beyond.
    """
    given = {header.name.lower() for header in request.headers}
    lines = [f"{request.method} {request.request_target} HTTP/1.1"]
    lines += [f"{header.name}: {header.value}" for header in request.headers]
    if "content-length" not in given and (request.body or request.method in _METHODS_WITH_BODY):
        lines.append(f"Content-Length: {len(request.body)}")
    if close and "connection" not in given:
        lines.append("Connection: close")
    return b"\r\n".join([_octets(line) for line in lines] + [b"", b""]) + request.body


def _octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
