"""Resolve names to the addresses that connections are made to.

A name is looked up once, and everything that connects gets the addresses found then: each of them has passed the policy of the
host's owner, and none is looked up or read in another way later.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

from heyfleet.agent.policy import HostPolicy
from heyfleet.errors import CannotStartError
from heyfleet.plan.places import check_host
from heyfleet.proto.plan_pb2 import IPV4, IPV6, AddressFamily, Plan

# Addresses that are tried out at once.
_CONCURRENT_TRIALS = 16
_TRIAL_ROUNDS = 4  # of addresses that give no answer
_LOOKUP_LIMIT_S = (
    5.0  # of a lookup during the load; resolvers wait as long for one name server (resolv.conf(5))
)
_LOOK_AT_STOP_S = 0.05
_FAMILIES = {IPV4: socket.AF_INET, IPV6: socket.AF_INET6}

T = TypeVar("T")


class ResolveError(CannotStartError):
    """A name without a usable address."""


@dataclass(frozen=True)
class Resolution:
    """The result of a lookup: literal addresses with ports, in the order of use."""

    addresses: list[tuple[str, int]]
    lookup_ns: int
    unused: tuple[str, ...] = ()  # addresses that are not used, with the reason

    def accepting(self, within_s: float = 3.0) -> Resolution:
        """Return a copy without the addresses that don't accept a connection in this time; all, if none does.

        A plan may have thousands of silent addresses, so all trials together have four times as long.
        """
        if len(self.addresses) == 1:
            return self
        end_s = time.monotonic() + _TRIAL_ROUNDS * within_s

        def try_out(address: tuple[str, int]) -> str:
            left_s = min(end_s - time.monotonic(), within_s)
            return _try_out(address, left_s) if left_s > 0 else "not tried out, as others took too long"

        with ThreadPoolExecutor(_CONCURRENT_TRIALS) as pool:
            refusals = list(pool.map(try_out, self.addresses))
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
    hosts = [host]
    # Behind a proxy no rule applies to http: the proxy gets the URL, and resolves it by itself.
    if not plan.HasField("proxy") or (scheme or plan.target.scheme) != "http":
        for rule in plan.resolve:
            if rule.host in ("", host) and rule.port in (0, port):
                hosts, port = list(rule.to_hosts) or hosts, rule.to_port or port
                break
    return [_checked(each) for each in hosts], port


def connection_endpoint(plan: Plan) -> tuple[list[str], int]:
    """Return the names or addresses, and the port, of the plan's connections: of its proxy, or of its server."""
    if plan.HasField("proxy"):
        return [_checked(plan.proxy.host)], plan.proxy.port
    return server_endpoint(plan)


def resolve_plan(plan: Plan, policy: HostPolicy) -> Resolution:
    """Resolve a plan's target, or its proxy, to the addresses that accept connections; ResolveError, NotAllowedError."""
    if plan.HasField("proxy"):
        check_behind_proxy(*server_endpoint(plan), policy)
    if plan.unix_socket:
        policy.check_socket(plan.unix_socket)
        return Resolution([(_unix_address(plan.unix_socket), 0)], 0)
    hosts, port = connection_endpoint(plan)
    if not plan.sources or plan.family:
        return resolve(hosts, port, policy, plan.family)
    # A connection can only come from an address of its own family.
    source = plan.sources[0]
    try:
        return resolve(hosts, port, policy, IPV6 if ":" in source else IPV4)
    except ResolveError as error:
        raise ResolveError(f"--source {source} can't reach the target: {error.cause}", error.cure) from None


def look_up_again(plan: Plan, policy: HostPolicy) -> list[tuple[str, int]]:
    """Return all current addresses of a plan's target that are allowed, without trying them out; ResolveError."""
    hosts, port = connection_endpoint(plan)
    family = plan.family
    if plan.sources and not family:
        family = IPV6 if ":" in plan.sources[0] else IPV4
    return _unique(
        (address, port)
        for host in hosts
        for address in _look_up(host, port, family)
        if policy.allows(host, port, address)
    )


def check_behind_proxy(hosts: list[str], port: int, policy: HostPolicy) -> None:
    """Raise NotAllowedError if a proxy could connect to a place that is not allowed.

    The proxy looks names up by itself, so that a name must be allowed as such.
    """
    for host in hosts:
        policy.check(host, port, host)


def _checked(host: str) -> str:
    """Return a host, or raise ResolveError for what name servers, kernels and proxies could read as another one."""
    try:
        return check_host(host)
    except ValueError as error:
        raise ResolveError(str(error), "check the URL, the proxy and --resolve") from None


def _unix_address(path: str) -> str:
    if "\0" in path:
        raise ResolveError(f"--unix-socket {path!r} has a NUL character")
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


def resolve(
    hosts: list[str], port: int, policy: HostPolicy, family: AddressFamily = AddressFamily.EITHER
) -> Resolution:
    """Look the hosts up once, before the run; ResolveError, NotAllowedError.

    Several addresses are tried out, and those that accept a connection are used. If none does, all are used, so that the
    report shows their refusals.
    """
    begin_ns = time.monotonic_ns()
    addresses = look_up_all(hosts, port, policy, family)
    lookup_ns = time.monotonic_ns() - begin_ns
    return Resolution(addresses, lookup_ns).accepting()


def look_up_all(
    hosts: list[str], port: int, policy: HostPolicy, family: AddressFamily
) -> list[tuple[str, int]]:
    """Return all addresses of some hosts, each once, without trying them out; ResolveError, NotAllowedError."""
    addresses = []
    for host in hosts:
        policy.check_name(host, port)
        for address in _look_up(host, port, family):
            policy.check(host, port, address)
            addresses.append((address, port))
    return _unique(addresses)


def _unique(addresses: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    return list(dict.fromkeys(addresses))


def look_up_unless(stopped: Callable[[], bool], look_up: Callable[[], T]) -> T:
    """Return what `look_up` returns; ResolveError if it takes too long, or as soon as `stopped`.

    Name servers may be slow, and a lookup can't be cancelled: a thread of its own waits for it.
    """
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(look_up())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=work, name="lookup", daemon=True).start()
    end_s = time.monotonic() + _LOOKUP_LIMIT_S
    while not wait([outcome], _LOOK_AT_STOP_S).done:
        if stopped() or time.monotonic() > end_s:
            raise ResolveError("the name server gave no answer in time", "check the name server")
    return outcome.result()


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
