"""The HTTP proxy of -x."""

from __future__ import annotations

import re

from heyfleet.mask import mask_url
from heyfleet.plan.url import parse as parse_url
from heyfleet.proto.plan_pb2 import Proxy


def parse_proxy(text: str) -> Proxy | None:
    """Return the proxy of HOST:PORT or http://USER:PASSWORD@HOST:PORT; '' stands for none. Raises ValueError."""
    if not text:
        return None
    shown = mask_url(text)
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "http", text
    if scheme.lower() != "http":
        raise ValueError(
            f"{shown!r} is a proxy of {scheme}; only HTTP proxies are supported: write HOST:PORT"
        )
    try:
        url = parse_url(f"http://{rest}")
    except ValueError as error:
        raise ValueError(
            f"{shown!r} is not like HOST:PORT or http://USER:PASSWORD@HOST:PORT: {error}"
        ) from None
    if url.request_target != "/":
        raise ValueError(f"{shown!r} has a path; a proxy is HOST:PORT")
    if not re.search(r":\d+/?$", rest):
        raise ValueError(f"{shown!r} has no port; write it like proxy.internal:3128")
    try:
        return Proxy(host=url.host, port=url.port, credentials=url.credentials or "")
    except UnicodeEncodeError:  # protobuf takes only text that is UTF-8
        raise ValueError(f"{shown!r}: its user and password are not UTF-8") from None
