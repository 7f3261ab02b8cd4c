"""Options that say how connections are made: from where, to where, over which protocol, and how they speak TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from heyfleet.plan.addresses import (
    parse_connect_rule,
    parse_dns_ttl_ns,
    parse_resolve_rule,
    parse_sources,
    parse_unix_path,
)
from heyfleet.plan.option_types import list_option, option, switch
from heyfleet.plan.proxy import parse_proxy
from heyfleet.plan.values import parse_streams, parse_tls_version
from heyfleet.proto.plan_pb2 import Proxy, Resolve


@dataclass(frozen=True, kw_only=True)
class ConnectionOptions:
    """Protocol, addresses and reuse of connections."""

    title: ClassVar[str] = "Connection"

    disable_keepalive: bool = switch(
        "--disable-keepalive", help="Open a new connection for each request.", plan_field="disable_keepalive"
    )
    disable_redirects: bool = switch(
        "--disable-redirects",
        help="Count a redirect as the response. By default up to ten are followed.",
        plan_field="disable_redirects",
    )
    http2: bool = switch(
        "-h2",
        "--http2",
        help="Use HTTP/2 over TLS. Where the server offers only HTTP/1.1, the run uses that and the report says so.",
    )
    h2c: bool = switch("--h2c", help="Use HTTP/2 without TLS (prior knowledge).")
    streams: int = option(
        "--streams",
        parse=parse_streams,
        default=1,
        metavar="N",
        plan_field="streams",
        help="Number of concurrent requests on each HTTP/2 connection.",
    )
    resolve: tuple[Resolve, ...] = list_option(
        "--resolve",
        parse=parse_resolve_rule,
        metavar="HOST:PORT:ADDRESS",
        help="Connect to ADDRESS, or to several joined by commas, instead of looking HOST up. May be repeated.",
    )
    connect_to: tuple[Resolve, ...] = list_option(
        "--connect-to",
        parse=parse_connect_rule,
        metavar="HOST:PORT:HOST2:PORT2",
        help="Connect to HOST2:PORT2 instead of HOST:PORT. An empty HOST or PORT matches any, "
        "an empty HOST2 or PORT2 keeps it. May be repeated.",
    )
    proxy: Proxy | None = option(
        "-x",
        "--proxy",
        parse=parse_proxy,
        default=None,
        metavar="HOST:PORT",
        plan_field="proxy",
        help="HTTP proxy, also as http://USER:PASSWORD@HOST:PORT. For https URLs it tunnels.",
    )
    ipv4: bool = switch("-4", "--ipv4", help="Use IPv4 addresses only.")
    ipv6: bool = switch("-6", "--ipv6", help="Use IPv6 addresses only.")
    dns_ttl_ns: int = option(
        "--dns-ttl",
        parse=parse_dns_ttl_ns,
        default=0,
        default_text="look up once",
        metavar="DURATION",
        plan_field="dns_ttl_ns",
        help="How often to look the host up again and move connections to new addresses.",
    )
    unix_socket: str | None = option(
        "--unix-socket",
        parse=parse_unix_path,
        default=None,
        metavar="PATH",
        plan_field="unix_socket",
        help="Connect to a Unix socket instead of the URL's host. @NAME is an abstract socket.",
    )
    sources: tuple[str, ...] = option(
        "--source",
        parse=parse_sources,
        default=(),
        metavar="ADDRESSES",
        separator=",",
        plan_key="sources",
        plan_field="sources",
        help="Local addresses to connect from, in turn: 10.0.0.5,10.0.0.6 or 127.0.0.2-127.0.0.9.",
    )
    kernel_timestamps: bool = switch(
        "--kernel-timestamps",
        help="Also measure latency between the kernel's timestamps, free of the generator's scheduling. Needs epoll.",
        plan_field="kernel_timestamps",
    )


@dataclass(frozen=True, kw_only=True)
class TlsOptions:
    """How connections to https URLs speak TLS."""

    title: ClassVar[str] = "TLS"

    insecure: bool = switch("-k", "--insecure", help="Don't verify the server's certificate; hey never does.")
    authorities: str | None = option(
        "--cacert",
        parse=str,
        default=None,
        default_text="the system's",
        metavar="FILE",
        is_input_file=True,
        help="Certificate authorities to trust, in PEM.",
    )
    certificate: str | None = option(
        "--cert",
        parse=str,
        default=None,
        metavar="FILE",
        is_input_file=True,
        help="Client certificate with its chain, in PEM.",
    )
    key: str | None = option(
        "--key",
        parse=str,
        default=None,
        default_text="in the file of --cert",
        metavar="FILE",
        is_input_file=True,
        help="Private key of the client certificate, in PEM, without a password.",
    )
    tls_version: str | None = option(
        "--tls",
        parse=parse_tls_version,
        default=None,
        default_text="1.2 or 1.3",
        metavar="1.2|1.3",
        choices=("1.2", "1.3"),
        help="The only TLS version to allow.",
    )
    no_resume: bool = switch("--no-resume", help="Make every handshake a full one; don't resume sessions.")
