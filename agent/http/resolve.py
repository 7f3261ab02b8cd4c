"""Resolve the target's name to the addresses that connections are made to."""

from __future__ import annotations

import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from heyfleet.errors import CannotStartError
from heyfleet.proto.plan_pb2 import IPV4, IPV6, AddressFamily, Plan

# Addresses that are tried out at once.
_CONCURRENT_TRIALS = 16
_FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}


class ResolveError(CannotStartError):
    """A name without a usable address."""


@dataclass(frozen=True)
class Resolution:
    """The result of a lookup: literal addresses with ports, in the order of use."""

    addresses: list[tuple[str, int]]
    lookup_ns: int
    unused: tuple[str, ...] = ()  # addresses that are not used, with the reason

    def accepting(self, within_s: float = 3.0) -> Resolution:
        """Return a copy without the addresses that don't accept a connection in this time; all, if none does."""
        if len(self.addresses) == 1:
            return self
        with ThreadPoolExecutor(_CONCURRENT_TRIALS) as pool:
            refusals = list(pool.map(lambda address: _try_out(address, within_s), self.addresses))
        trials = list(zip(self.addresses, refusals, strict=True))
        accepting = [address for address, refusal in trials if not refusal]
        if not accepting:
            return self
        unused = tuple(f"{address[0]} ({refusal})" for address, refusal in trials if refusal)
        return Resolution(accepting, self.lookup_ns, unused)


def server_endpoint(plan: Plan, host: str = "", port: int = 0, scheme: str = "") -> tuple[list[str], int]:
    """Apply the plan's --resolve rules to a host (default: the target); return names or addresses, and the port.

    With a proxy, these are where the proxy's tunnel goes.
    """
    host, port = host or plan.target.host, port or plan.target.port
    if plan.HasField("proxy") and (scheme or plan.target.scheme) == "http":
        return [host], port  # the proxy gets the URL, and resolves it by itself
    for rule in plan.resolve:
        if rule.host in ("", host) and rule.port in (0, port):
            return list(rule.to_hosts) or [host], rule.to_port or port
    return [host], port


def connection_endpoint(plan: Plan) -> tuple[list[str], int]:
    """Return the names or addresses, and the port, of the plan's connections: of its proxy, or of its server."""
    return ([plan.proxy.host], plan.proxy.port) if plan.HasField("proxy") else server_endpoint(plan)


def resolve_plan(plan: Plan) -> Resolution:
    """Resolve a plan's target, or its proxy, to the addresses that accept connections; ResolveError."""
    if plan.unix_socket:
        return Resolution([(_unix_address(plan.unix_socket), 0)], 0)
    hosts, port = connection_endpoint(plan)
    if not plan.sources or plan.family:
        return resolve(hosts, port, plan.family)
    # A connection can only come from an address of its own family.
    source = plan.sources[0]
    try:
        return resolve(hosts, port, IPV6 if ":" in source else IPV4)
    except ResolveError as error:
        raise ResolveError(f"--source {source} can't reach the target: {error.cause}", error.cure) from None


def look_up_again(plan: Plan) -> list[tuple[str, int]]:
    """Return all current addresses of a plan's target, without trying them out; ResolveError."""
    hosts, port = connection_endpoint(plan)
    family = plan.family
    if plan.sources and not family:
        family = IPV6 if ":" in plan.sources[0] else IPV4
    return look_up_all(hosts, port, family)


def _unix_address(path: str) -> str:
    if not path.startswith("@"):
        try:
            is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
        except OSError as error:
            raise ResolveError(
                f"--unix-socket {path!r}: {error.strerror}", "check that its server runs on this host"
            ) from None
        if not is_socket:
            raise ResolveError(f"--unix-socket {path!r} is not a socket")
    return f"unix:{path}"


def resolve(hosts: list[str], port: int, family: AddressFamily = AddressFamily.EITHER) -> Resolution:
    """Look the hosts up once, before the run; ResolveError.

    Several addresses are tried out, and those that accept a connection are used. If none does, all are used, so that the
    report shows their refusals.
    """
    begin_ns = time.monotonic_ns()
    addresses = look_up_all(hosts, port, family)
    lookup_ns = time.monotonic_ns() - begin_ns
    return Resolution(addresses, lookup_ns).accepting()


def look_up_all(hosts: list[str], port: int, family: AddressFamily) -> list[tuple[str, int]]:
    """Return all addresses of some hosts, each once, without trying them out; ResolveError."""
    addresses = [address for host in hosts for address in _look_up(host, port, family)]
    return list(dict.fromkeys((address, port) for address in addresses))


def _look_up(host: str, port: int, family: AddressFamily) -> list[str]:
    try:
        entries = socket.getaddrinfo(host, port, family=_FAMILIES.get(family, 0), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kind = {IPV4: "an IPv4 address of ", IPV6: "an IPv6 address of "}.get(family, "")
        raise ResolveError(
            f"can't resolve {kind}the host {host!r}: {reason}", "check its spelling and the name server"
        ) from error
    return [str(entry[4][0]) for entry in entries]


def _try_out(address: tuple[str, int], within_s: float) -> str:
    """Return why an address accepts no connection, or ""."""
    try:
        socket.create_connection(address, timeout=within_s).close()
    except OSError as error:
        return error.strerror or "no answer"
    return ""
