"""What a proxy is asked for: the whole URL, or a tunnel (RFC 9112 section 3.2.2, RFC 9110 section 9.3.6)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from heyfleet.agent.http.resolve import where
from heyfleet.plan.template import parse
from heyfleet.plan.url import Url, basic
from heyfleet.proto.plan_pb2 import Header, Plan, Request

_METHOD = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def through(plan: Plan, request: Request, url: Url) -> Request:
    """A request of HTTP/1.1 as it goes to the server of a URL, or to the proxy on the way. ValueError."""
    if not plan.HasField("proxy") or url.scheme == "https":
        return request
    _check(plan, request)
    asked = Request()
    asked.CopyFrom(request)
    asked.request_target = f"http://{url.authority}{request.request_target}"
    if not any(header.name.lower() == "proxy-authorization" for header in request.headers):
        asked.headers.extend(Header(name=name, value=value) for name, value in _authorization(plan))
    return asked


def tunnel_head(plan: Plan, url: Url) -> bytes:
    """What asks the plan's proxy for a tunnel to the server of a URL; nothing where there is none."""
    if not plan.HasField("proxy") or url.scheme != "https":
        return b""
    hosts, port = where(plan, url.host, url.port, url.scheme)
    host = hosts[0].partition("%")[0]
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    lines += [f"{name}: {value}" for name, value in _authorization(plan)]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def target_url(plan: Plan, request: Request) -> Url:
    """The URL that one of the plan's own requests asks for."""
    return Url(plan.target.scheme, plan.target.host, plan.target.port, request.request_target, None)


def _check(plan: Plan, request: Request) -> None:
    """Refuse what a proxy would read as another URL or a second request: the owner's limits are about this one."""
    place = f"{request.method} {request.request_target!r}"
    path = "".join(_texts(plan, request.request_target))
    if not _METHOD.fullmatch(request.method) or not path.startswith("/") or re.search(r"\s", path):
        raise ValueError(f"{place} can't be asked of a proxy")
    for header in request.headers:
        line = f"{header.name}:{''.join(_texts(plan, header.value))}"
        if re.search(r"[\r\n]|^(?i:content-length|transfer-encoding)\s*:", line):
            raise ValueError(
                f"{place}: header fields with line breaks, or with a body's length, can't be sent to a proxy"
            )


def _texts(plan: Plan, text: str) -> Iterator[str]:
    """What a text has in it, whatever its placeholders become; of those in URLs, spaces are encoded."""
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
