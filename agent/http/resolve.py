"""From the target's name to the addresses that connections are made to."""

from __future__ import annotations

import os
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from heyfleet.proto.plan_pb2 import IPV4, IPV6, AddressFamily, Plan

# How many addresses are tried out at once.
_TRIALS_AT_ONCE = 16
_FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}


class ResolveError(Exception):
    """The name has no address; the text says why."""


@dataclass(frozen=True)
class Resolved:
    """Literal addresses with ports, in the order of use; what the lookup took; addresses not used, with the reason."""

    addresses: list[tuple[str, int]]
    lookup_ns: int
    unused: tuple[str, ...] = ()

    def tried_out(self, within_s: float = 3.0) -> Resolved:
        """The same without addresses that do not accept a connection in that time, unless none does."""
        if len(self.addresses) == 1:
            return self
        with ThreadPoolExecutor(_TRIALS_AT_ONCE) as pool:
            refusals = list(pool.map(lambda address: _try_out(address, within_s), self.addresses))
        tried = list(zip(self.addresses, refusals, strict=True))
        good = [address for address, refusal in tried if not refusal]
        if not good:
            return self
        unused = tuple(f"{address[0]} ({refusal})" for address, refusal in tried if refusal)
        return Resolved(good, self.lookup_ns, unused)


def where(plan: Plan, host: str = "", port: int = 0, scheme: str = "") -> tuple[list[str], int]:
    """The names or addresses, and the port, to which connections to a host really go; by default the plan's target.

    Where there is a proxy, it is the proxy's connections that go there.
    """
    host, port = host or plan.target.host, port or plan.target.port
    if plan.HasField("proxy") and (scheme or plan.target.scheme) == "http":
        return [host], port  # it gets the URL, and no word of where else to connect
    for rule in plan.resolve:
        if rule.host in ("", host) and rule.port in (0, port):
            return list(rule.to_hosts) or [host], rule.to_port or port
    return [host], port


def connects_to(plan: Plan) -> tuple[list[str], int]:
    """The names or addresses, and the port, that a plan's connections are made to: of its proxy, or where() says."""
    return ([plan.proxy.host], plan.proxy.port) if plan.HasField("proxy") else where(plan)


def resolve_plan(plan: Plan) -> Resolved:
    """All addresses of a plan's target, or of its proxy, that accept connections; raises ResolveError."""
    if plan.unix_socket:
        return Resolved([(_unix_address(plan.unix_socket), 0)], 0)
    hosts, port = connects_to(plan)
    if not plan.sources or plan.family:
        return resolve(hosts, port, plan.family)
    # A connection can only come from an address of its own family.
    source = plan.sources[0]
    try:
        return resolve(hosts, port, IPV6 if ":" in source else IPV4)
    except ResolveError as error:
        raise ResolveError(f"the source {source} is not of the family of every address: {error}") from None


def look_up_again(plan: Plan) -> list[tuple[str, int]]:
    """All addresses that a plan's target has now, not tried out; raises ResolveError."""
    hosts, port = connects_to(plan)
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
                f"--unix-socket {path!r}: {error.strerror}; does its server run on this host?"
            ) from None
        if not is_socket:
            raise ResolveError(f"--unix-socket {path!r} is not a socket")
    return f"unix:{path}"


def resolve(hosts: list[str], port: int, family: AddressFamily = AddressFamily.EITHER) -> Resolved:
    """Look the hosts up once, before the run; raises ResolveError.

    Where there are several addresses, each is tried out, and those that accept a connection are used. If none does, all
    are, so that their refusals are what the report shows.
    """
    begin_ns = time.monotonic_ns()
    addresses = look_up_all(hosts, port, family)
    lookup_ns = time.monotonic_ns() - begin_ns
    return Resolved(addresses, lookup_ns).tried_out()


def look_up_all(hosts: list[str], port: int, family: AddressFamily) -> list[tuple[str, int]]:
    """All addresses of some hosts, each once, not tried out; raises ResolveError."""
    found = [address for host in hosts for address in _look_up(host, port, family)]
    return list(dict.fromkeys((address, port) for address in found))


def _look_up(host: str, port: int, family: AddressFamily) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, family=_FAMILIES.get(family, 0), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        kind = {IPV4: "an IPv4 address of ", IPV6: "an IPv6 address of "}.get(family, "")
        raise ResolveError(
            f"can't resolve {kind}the host {host!r}: {reason}; check its spelling and the name server"
        ) from error
    return [str(entry[4][0]) for entry in found]


def _try_out(address: tuple[str, int], within_s: float) -> str:
    """Why an address accepts no connection, or nothing."""
    try:
        socket.create_connection(address, timeout=within_s).close()
    except OSError as error:
        return error.strerror or "no answer"
    return ""
