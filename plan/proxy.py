"""The HTTP proxy of -x: what was typed, and whether it goes with the rest of a plan."""

from __future__ import annotations

import re

from heyfleet.errors import InputError
from heyfleet.plan import url as urls
from heyfleet.proto.plan_pb2 import HTTP_2, Plan, Proxy


def proxy(text: str) -> Proxy | None:
    """HOST:PORT, or http://USER:PASSWORD@HOST:PORT; '' is none. ValueError."""
    if not text:
        return None
    shown = re.sub(r"[^/]*@", "...@", text)  # a password has no place in an error message
    scheme, there, rest = text.partition("://")
    if not there:
        scheme, rest = "http", text
    if scheme.lower() != "http":
        raise ValueError(
            f"{shown!r} is a proxy of {scheme}; only HTTP proxies are supported: write HOST:PORT"
        )
    try:
        url = urls.parse(f"http://{rest}")
    except ValueError as error:
        raise ValueError(
            f"{shown!r} is not like HOST:PORT or http://USER:PASSWORD@HOST:PORT: {error}"
        ) from None
    if url.request_target != "/":
        raise ValueError(f"{shown!r} has a path; a proxy is HOST:PORT")
    if not re.search(r":\d+/?$", rest):
        raise ValueError(f"{shown!r} has no port; write it like proxy.internal:3128")
    return Proxy(host=url.host, port=url.port, credentials=url.credentials or "")


def check_proxy(plan: Plan) -> None:
    """What a proxy can't do; InputError."""
    if not plan.HasField("proxy"):
        return
    target = plan.target
    if plan.unix_socket:
        raise InputError("-x and --unix-socket exclude each other: connections go to the one or to the other")
    rules = [
        rule for rule in plan.resolve if rule.host in ("", target.host) and rule.port in (0, target.port)
    ]
    if rules and target.scheme == "http":
        raise InputError(
            "--resolve and --connect-to do not go with -x for an http URL: the proxy gets the URL, and connects by itself"
        )
    if rules and len(rules[0].to_hosts) > 1:
        raise InputError("--resolve with -x takes one address: the proxy is asked for one place")
    if target.scheme == "http" and plan.http == HTTP_2:
        raise InputError("--h2c does not go through a proxy; drop -x, or ask in HTTP/1.1")
