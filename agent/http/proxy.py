"""Requests through an HTTP proxy: the whole URL, or a tunnel (RFC 9112 section 3.2.2, RFC 9110 section 9.3.6)."""

from __future__ import annotations

from dataclasses import replace

from heyfleet.agent.http.resolve import server_endpoint
from heyfleet.agent.http.single_request import check_single_request
from heyfleet.plan.url import Url, basic
from heyfleet.proto.plan_pb2 import HTTP_2, Header, Plan, Request


def request_through_proxy(plan: Plan, request: Request, url: Url) -> Request:
    """Return an HTTP/1.1 request in the form in which it is sent: to the server of a URL, or to the plan's proxy.

    Raises ValueError for a request that a proxy could read differently.
    """
    if not plan.HasField("proxy") or url.scheme == "https":
        return request
    if plan.http == HTTP_2:
        raise ValueError("HTTP/2 goes through a proxy only to https targets, in a tunnel")
    check_single_request(plan, request)
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


def _authorization(plan: Plan) -> tuple[tuple[str, str], ...]:
    credentials = plan.proxy.credentials
    if not credentials:
        return ()
    return (("Proxy-Authorization", basic(credentials)),)
