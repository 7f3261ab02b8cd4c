"""A request as bytes, rendered once before the run (RFC 9112 sections 2 and 3)."""

from __future__ import annotations

from heyfleet.proto.fleet_pb2 import Plan

# Methods whose request is expected to have a body: without one they say so with a length of 0 (RFC 9110 section 8.6).
_METHODS_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def render(plan: Plan) -> bytes:
    """The request that `plan` sends over and over; the plan's header fields in their order, then the framing fields.

    Text is encoded as Latin-1, the one encoding that keeps every octet a header field can hold, and as UTF-8 where it has
    characters beyond.
    """
    given = {header.name.lower() for header in plan.headers}
    lines = [f"{plan.method} {plan.target.request_target} HTTP/1.1"]
    lines += [f"{header.name}: {header.value}" for header in plan.headers]
    if "content-length" not in given and (plan.body or plan.method in _METHODS_WITH_BODY):
        lines.append(f"Content-Length: {len(plan.body)}")
    if plan.disable_keepalive and "connection" not in given:
        lines.append("Connection: close")
    return b"\r\n".join([_octets(line) for line in lines] + [b"", b""]) + plan.body


def _octets(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
