"""The flags of `run` that say how connections are made: from where, to where, and how they speak TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click

from heyfleet.cli.go_flags import Flag, Value
from heyfleet.plan import values
from heyfleet.plan.proxy import proxy
from heyfleet.proto.plan_pb2 import Resolve

# HOST or [ADDRESS], then :, and the port; each may be empty where a flag allows it.
_PLACE = r"(?:\[([^\]]*)\]|([^:\[\]]*)):(\d*)"
_RESOLVE = re.compile(rf"{_PLACE}:(.+)")
_CONNECT_TO = re.compile(rf"{_PLACE}:{_PLACE}")

_UNIX_PATH_BYTES = 107


def resolve_rule(text: str) -> Resolve:
    """HOST:PORT:ADDRESS[,ADDRESS...] as a rule; ValueError."""
    from ipaddress import ip_address

    found = _RESOLVE.fullmatch(text)
    if found is None or not (found[1] or found[2]) or not found[3]:
        raise ValueError(f"{text!r} is not like HOST:PORT:ADDRESS or HOST:PORT:ADDRESS,ADDRESS")
    to_hosts = []
    for address in found[4].split(","):
        try:
            to_hosts.append(str(ip_address(address.strip().removeprefix("[").removesuffix("]"))))
        except ValueError:
            raise ValueError(
                f"{address!r} is not an IPv4 or IPv6 address; --connect-to takes a name"
            ) from None
    host = (found[1] or found[2]).lower()
    return Resolve(host="" if host == "*" else host, port=_port(found[3]), to_hosts=to_hosts)


def connect_rule(text: str) -> Resolve:
    """HOST:PORT:OTHER_HOST:OTHER_PORT as a rule, any of them empty; ValueError."""
    found = _CONNECT_TO.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not like HOST:PORT:OTHER_HOST:OTHER_PORT, any of them empty")
    to_host = found[4] or found[5]
    return Resolve(
        host=(found[1] or found[2] or "").lower(),
        port=_port(found[3]),
        to_hosts=[to_host] if to_host else [],
        to_port=_port(found[6]),
    )


def _port(text: str) -> int:
    return values.in_range(int(text), text, 1, 65535) if text else 0


def dns_ttl(text: str) -> int:
    """At least 100 ms; ValueError."""
    duration_ns = values.duration(text)
    if duration_ns < 100_000_000:
        raise ValueError(f"{text!r} is too often; at least 100ms")
    return duration_ns


def unix_path(text: str) -> str:
    """A path that the kernel takes; ValueError."""
    if not 0 < len(text.encode("utf-8", "surrogateescape")) <= _UNIX_PATH_BYTES or "\0" in text:
        raise ValueError(
            f"a Unix socket's path has from 1 to {_UNIX_PATH_BYTES} bytes; link it to a shorter one"
        )
    return text


def tls_version(text: str) -> str:
    """A version that TLS has here."""
    if text not in ("1.2", "1.3"):
        raise ValueError(f"{text!r} is not known; there are 1.2 and 1.3")
    return text


def connection_flags() -> Iterator[click.Option]:
    """How connections are made."""
    section = "Connection"
    yield Flag(
        ["-disable-keepalive"], is_flag=True, help="A new connection for each request.", section=section
    )
    yield Flag(
        ["-h2", "http2"],
        is_flag=True,
        help="HTTP/2 over TLS; HTTP/1.1 where the server has no other, which the report says.",
        section=section,
    )
    yield Flag(
        ["--h2c"], is_flag=True, help="HTTP/2 without TLS, without asking (prior knowledge).", section=section
    )
    yield Flag(
        ["--streams"],
        type=Value("N", values.small_count),
        default=1,
        help="Requests at a time on each connection, over HTTP/2. Default 1.",
        section=section,
    )
    yield Flag(
        ["-disable-redirects"],
        is_flag=True,
        help="A redirect is the answer. Default: up to ten are followed.",
        section=section,
    )
    yield from address_flags()
    yield Flag(
        ["--kernel-timestamps"],
        is_flag=True,
        help="Latency between the kernel's own stamps too, without the generator's scheduling; takes epoll.",
        section=section,
    )
    yield from tls_flags()


def address_flags() -> Iterator[click.Option]:
    """Where connections go to, and come from."""
    section = "Connection"
    yield Flag(
        ["--resolve"],
        type=Value("HOST:PORT:ADDRESS", resolve_rule),
        multiple=True,
        help="Connect to this address in place of what HOST resolves to; several by commas. May be repeated.",
        section=section,
    )
    yield Flag(
        ["--connect-to"],
        type=Value("HOST:PORT:HOST2:PORT2", connect_rule),
        multiple=True,
        help="Connect to HOST2:PORT2 in place of HOST:PORT. Empty: any, or the same. May be repeated.",
        section=section,
    )
    yield Flag(
        ["-x", "proxy"],
        type=Value("HOST:PORT", proxy),
        help="HTTP proxy; also http://USER:PASSWORD@HOST:PORT. It tunnels https.",
        section=section,
    )
    yield Flag(["-4", "ipv4"], is_flag=True, help="Use IPv4 addresses only.", section=section)
    yield Flag(["-6", "ipv6"], is_flag=True, help="Use IPv6 addresses only.", section=section)
    yield Flag(
        ["--dns-ttl", "dns_ttl_ns"],
        type=Value("DURATION", dns_ttl),
        default=0,
        help="Look the host up again so often during the run, and move connections to new addresses. Default: once.",
        section=section,
    )
    yield Flag(
        ["--unix-socket"],
        type=Value("PATH", unix_path),
        help="Connect to this Unix socket, whatever the URL's host; @NAME is an abstract one.",
        section=section,
    )
    yield Flag(
        ["--source", "sources"],
        type=Value("ADDRESSES", values.sources),
        default=(),
        help="Local addresses to connect from, in turn: 10.0.0.5,10.0.0.6 or 127.0.0.2-127.0.0.9.",
        section=section,
    )


def tls_flags() -> Iterator[click.Option]:
    """How connections to https URLs speak TLS."""
    section = "TLS"
    yield Flag(
        ["-k", "--insecure", "insecure"],
        is_flag=True,
        help="Don't verify the server's certificate. hey never does.",
        section=section,
    )
    yield Flag(
        ["--cacert", "authorities"],
        metavar="FILE",
        help="Certificates (PEM) to trust, in place of the system's.",
        section=section,
    )
    yield Flag(
        ["--cert", "certificate"],
        metavar="FILE",
        help="Client certificate (PEM), with its chain.",
        section=section,
    )
    yield Flag(
        ["--key"],
        metavar="FILE",
        help="Its key (PEM, without a password). Default: in the file of --cert.",
        section=section,
    )
    yield Flag(
        ["--tls", "tls_version"],
        type=Value("1.2|1.3", tls_version),
        help="This version of TLS only.",
        section=section,
    )
    yield Flag(
        ["--no-resume"],
        is_flag=True,
        help="Don't resume sessions: every handshake a full one.",
        section=section,
    )
