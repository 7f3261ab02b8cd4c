"""Requests through an HTTP proxy: the whole URL, or a tunnel (RFC 9112 section 3.2.2, RFC 9110 section 9.3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from heyfleet.agent.http.resolve import server_endpoint
from heyfleet.plan.template import parse
from heyfleet.plan.url import WHOLE_SERVER, Url, basic
from heyfleet.proto.plan_pb2 import HTTP_2, Header, Plan, Request

_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# What a proxy could read as a second request, or as another length of the body.
_FORBIDDEN_IN_FIELDS = re.compile(r"[\r\n]|^(?i:content-length|transfer-encoding)\s*:")


def request_through_proxy(plan: Plan, request: Request, url: Url) -> Request:
    """Return an HTTP/1.1 request in the form in which it is sent: to the server of a URL, or to the plan's proxy.

    Raises ValueError for a request that a proxy could read differently.
    """
    if not plan.HasField("proxy") or url.scheme == "https":
        return request
    if plan.http == HTTP_2:
        raise ValueError("HTTP/2 goes through a proxy only to https targets, in a tunnel")
    _check(plan, request)
    proxied = Request()
    proxied.CopyFrom(request)
    proxied.request_target = str(replace(url, request_target=request.request_target))
    if not any(header.name.lower() == "proxy-authorization" for header in request.headers):
        proxied.headers.extend(Header(name=name, value=value) for name, value in _authorization(plan))
    return proxied


def tunnel_head(plan: Plan, url: Url) -> bytes:
    """Return the CONNECT request for a tunnel to the server of a URL; b"" if connections need no tunnel."""
    if not plan.HasField("proxy") or url.scheme != "https":
        return b""
    hosts, port = server_endpoint(plan, url.host, url.port, url.scheme)
    host = hosts[0].partition("%")[0]
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {authority} HTTP/1.1", f"Host: {authority}"]
    lines += [f"{name}: {value}" for name, value in _authorization(plan)]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def target_url(plan: Plan, request: Request) -> Url:
    """Return the URL of one of the plan's own requests."""
    return Url(plan.target.scheme, plan.target.host, plan.target.port, request.request_target, None)


def _check(plan: Plan, request: Request) -> None:
    """Refuse what a proxy would read as another URL or a second request, which the host's policy has not checked."""
    description = f"{request.method} {request.request_target!r}"
    path = "".join(_possible_texts(plan, request.request_target))
    is_path = path.startswith("/") or path == WHOLE_SERVER
    if not _METHOD.fullmatch(request.method) or not is_path or re.search(r"\s", path):
        raise ValueError(f"{description} can't be sent through a proxy: its method or path is not valid")
    for header in request.headers:
        line = f"{header.name}:{''.join(_possible_texts(plan, header.value))}"
        if _FORBIDDEN_IN_FIELDS.search(line):
            raise ValueError(
                f"{description} can't be sent through a proxy: {header.name!r} contains a line break or sets the"
                " body's length"
            )


def _possible_texts(plan: Plan, text: str) -> Iterator[str]:
    """Yield the fixed parts of a text, and a line break for each data value that contains one.

    Spaces of data values do not matter: in a URL they are percent-encoded.
    """
    for piece in parse(text) if plan.template else [text]:
        if isinstance(piece, str):
            yield piece
        elif piece.kind == "csv":
            values = (value for column in plan.data if column.name == piece.column for value in column.values)
            yield from ("\n" for value in values if b"\r" in value or b"\n" in value)


def _authorization(plan: Plan) -> tuple[tuple[str, str], ...]:
    credentials = plan.proxy.credentials
    if not credentials:
        return ()
    return (("Proxy-Authorization", basic(credentials)),)
