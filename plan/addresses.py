"""Parsers of the options that say where connections come from and go to.

Each function takes the text of one value and raises ValueError with one line that says what is wrong with it.
"""

from __future__ import annotations

import re

from heyfleet.durations import check_range, parse_duration_ns
from heyfleet.mask import mask_url
from heyfleet.plan.host_name import parse_address6, to_ascii
from heyfleet.plan.places import check_host, check_unix_path
from heyfleet.proto.plan_pb2 import Resolve

# HOST or [ADDRESS], a colon and the port; both may be empty where an option allows it.
_PLACE = r"(?:\[([^\]]*)\]|([^:\[\]]*)):(\d*)"
_RESOLVE = re.compile(rf"{_PLACE}:(.+)")
_CONNECT_TO = re.compile(rf"{_PLACE}:{_PLACE}")
_MAX_SOURCES = 4096
_MIN_DNS_TTL_NS = 100_000_000


def parse_resolve_rule(text: str) -> Resolve:
    """Return the rule of HOST:PORT:ADDRESS[,ADDRESS...]; the host * matches every host."""
    from ipaddress import ip_address

    match = _RESOLVE.fullmatch(text)
    if match is None or not (match[1] or match[2]) or not match[3]:
        raise ValueError(f"{mask_url(text)!r} is not like HOST:PORT:ADDRESS or HOST:PORT:ADDRESS,ADDRESS")
    to_hosts = []
    for address in match[4].split(","):
        try:
            to_hosts.append(str(ip_address(address.strip().removeprefix("[").removesuffix("]"))))
        except ValueError:
            raise ValueError(
                f"{address!r} is not an IPv4 or IPv6 address; --connect-to takes a name"
            ) from None
    host = "" if match[2] == "*" else _parse_host(match[1], match[2])
    return Resolve(host=host, port=_parse_port(match[3]), to_hosts=to_hosts)


def parse_connect_rule(text: str) -> Resolve:
    """Return the rule of HOST:PORT:OTHER_HOST:OTHER_PORT, each of which may be empty."""
    match = _CONNECT_TO.fullmatch(text)
    if match is None:
        raise ValueError(f"{mask_url(text)!r} is not like HOST:PORT:OTHER_HOST:OTHER_PORT; each may be empty")
    to_host = _parse_host(match[4], match[5])
    return Resolve(
        host=_parse_host(match[1], match[2]),
        port=_parse_port(match[3]),
        to_hosts=[to_host] if to_host else [],
        to_port=_parse_port(match[6]),
    )


def parse_dns_ttl_ns(text: str) -> int:
    """Return the time between two lookups; it is at least 100 ms, so that a run is no load on the resolver."""
    ttl_ns = parse_duration_ns(text)
    if ttl_ns < _MIN_DNS_TTL_NS:
        raise ValueError(f"{text!r} is too short; the minimum is 100ms")
    return ttl_ns


def parse_unix_path(text: str) -> str:
    """Return the path of a Unix socket, if the kernel takes it."""
    return check_unix_path(text)


def parse_sources(text: str) -> tuple[str, ...]:
    """Return the local addresses of a list such as 10.0.0.5,127.0.0.2-127.0.0.9, each once."""
    import ipaddress

    addresses: list[str] = []
    for item in text.split(","):
        first_text, dash, last_text = item.strip().partition("-")
        try:
            first = ipaddress.ip_address(first_text.strip())
            last = ipaddress.ip_address(last_text.strip()) if dash else first
        except ValueError:
            raise ValueError(f"{item!r} is not an address, or a range like 127.0.0.2-127.0.0.9") from None
        count = int(last) - int(first) + 1
        if first.version != last.version or count < 1:
            raise ValueError(f"{item!r} does not go from a lower address to a higher one")
        if len(addresses) + count > _MAX_SOURCES:
            raise ValueError(f"{text!r} has more than {_MAX_SOURCES} addresses")
        addresses += [str(type(first)(int(first) + number)) for number in range(count)]
    return tuple(dict.fromkeys(addresses))


def _parse_host(address6: str | None, name: str | None) -> str:
    """Return a host as URLs have it; either part may be missing."""
    host = parse_address6(address6) if address6 else to_ascii(name or "").lower()
    return check_host(host) if host else ""


def _parse_port(text: str) -> int:
    return check_range(int(text), text, 1, 65535) if text else 0
