"""Limits that the owner of a host sets on its agent; no plan can exceed them.

The numbers of an assignment are checked before anything else, places by http/resolve.py, which hands out no address that has
not passed. What shows only while the load runs, the engine limits: sends that redirects and retries add, and the duration.
"""

from __future__ import annotations

import ipaddress
import posixpath
import re
from dataclasses import dataclass

from heyfleet.errors import CannotStartError
from heyfleet.ext import ScheduleProbe
from heyfleet.plan.host_name import to_ascii
from heyfleet.proto.plan_pb2 import CLOSED, USERS, Assignment, Plan

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_SOCKET_PREFIX = "unix:"
_RATE_PER_WORKER = 100  # requests a second
# 10.0.0.* or fd00::*, which stand for addresses and not for a name such as 10.0.0.example.com
_ADDRESS_PATTERN = re.compile(r"(?=.*\d)[\d.*]+|.*:.*")


class NotAllowedError(CannotStartError):
    """A limit of the host's owner that a plan would exceed."""


@dataclass(frozen=True)
class HostPolicy:
    """The limits of a host; 0 and () mean no limit.

    A target is HOST or HOST:PORT, with * in host names, a network such as 10.0.0.0/8, or unix:PATH.
    """

    targets: tuple[str, ...] = ()
    max_rate: float = 0.0
    max_connections: int = 0
    max_duration_ns: int = 0

    def check_load(self, assignment: Assignment) -> None:
        """Raise NotAllowedError if an assignment's numbers exceed the limits, whatever its target is."""
        plan = assignment.plan
        if self.max_connections and assignment.connections > self.max_connections:
            raise _not_allowed(
                f"{assignment.connections} connections", f"{self.max_connections} (--max-connections)"
            )
        if self.max_duration_ns and (least_ns := _least_duration_ns(plan)) > self.max_duration_ns:
            limit = f"{self.max_duration_ns / 1e9:g} s (--max-duration)"
            raise _not_allowed(f"{least_ns / 1e9:g} s of load", limit)
        if self.max_rate and plan.load_model in (CLOSED, USERS):
            limit = f"{self.max_rate:g} requests/s (--max-rate)"
            raise _not_allowed("load as fast as answers come", limit, cure="set a rate")
        if self.max_rate and (rate := _highest_rate(assignment)) > self.max_rate:
            raise _not_allowed(f"{rate:g} requests/s", f"{self.max_rate:g} (--max-rate)")

    def workers_at_most(self, workers: int) -> int:
        """Return how many of these workers may make the load.

        Each keeps its share of --max-rate, and may send one request early: few requests a second need few workers.
        """
        return min(workers, 1 + int(self.max_rate // _RATE_PER_WORKER)) if self.max_rate else workers

    def spares_connections(self, connections: int) -> bool:
        """Whether a second connection beside each of these, for a redirect to another host, would be too many."""
        return 0 < self.max_connections < 2 * connections

    def check(self, host: str, port: int, address: str) -> None:
        """Raise NotAllowedError unless connections for a host may go to this address of it.

        A host is allowed by its name, or else because its address is in an allowed network.
        """
        if not self.allows(host, port, address):
            place = f"{host}:{port}" if address == host else f"{host}:{port} at {address}"
            raise _not_allowed(place, self._allowed_targets())

    def check_name(self, host: str, port: int) -> None:
        """Raise NotAllowedError unless a name may be looked up, since one of its addresses could be allowed."""
        if not any(network for network, _ in map(_network, self.targets)):
            self.check(host, port, host)

    def check_socket(self, path: str) -> None:
        """Raise NotAllowedError unless connections may go to a Unix socket; only the path that is in the rule will do."""
        is_plain = path.startswith("@") or posixpath.normpath(path) == path
        rules = (target for target in self.targets if target.startswith(_SOCKET_PREFIX))
        if self.targets and not (is_plain and any(_matches(rule, _SOCKET_PREFIX + path) for rule in rules)):
            raise _not_allowed(_SOCKET_PREFIX + path, self._allowed_targets())

    def allows(self, host: str, port: int, address: str) -> bool:
        """Whether connections for a host may go to this address of it."""
        return not self.targets or self._allows_name(host, port) or self._allows_address(address, port)

    def _allowed_targets(self) -> str:
        return f"{', '.join(self.targets)} (--allow-target)"

    def _allows_name(self, host: str, port: int) -> bool:
        return any(
            allowed_port in (0, port) and _matches_host(pattern.lower(), host.lower().removesuffix("."))
            for pattern, allowed_port in map(split_target, self.targets)
        )

    def _allows_address(self, text: str, port: int) -> bool:
        address = _address(text)
        return address is not None and any(
            network
            and allowed_port in (0, port)
            and address.version == network.version
            and address in network
            for network, allowed_port in map(_network, self.targets)
        )


def split_target(target: str) -> tuple[str, int]:
    """Split HOST, HOST:PORT or [HOST]:PORT into host and port; port 0 means any. ValueError."""
    if target.startswith(_SOCKET_PREFIX):
        return target, 0
    if target.startswith("["):
        host, _, port = target[1:].partition("]")
        return host, _port(port.removeprefix(":"))
    if target.count(":") == 1:
        host, _, port = target.partition(":")
        return to_ascii(host), _port(port)
    return to_ascii(target), 0


def _not_allowed(requested: str, allowed: str, *, cure: str = "") -> NotAllowedError:
    return NotAllowedError(f"the owner of this agent does not allow {requested}, only {allowed}", cure)


def _highest_rate(assignment: Assignment) -> float:
    """Return the agent's share of the plan's highest rate; rates are shared out in proportion to connections."""
    plan = assignment.plan
    highest = max(max(stage.first, stage.last) for stage in plan.stages)
    return float(highest * assignment.connections / plan.connections)


def _least_duration_ns(plan: Plan) -> int:
    """Return how long a plan takes at least: as it says, or until its last request is due."""
    if plan.duration_ns:
        return plan.warmup_ns + plan.duration_ns
    if plan.load_model in (CLOSED, USERS) or plan.poisson or not plan.request_count:
        return plan.warmup_ns
    schedule = ScheduleProbe([(stage.duration_ns, stage.first, stage.last) for stage in plan.stages])
    return max(plan.warmup_ns, schedule.offset_ns(plan.request_count - 1))


def _matches_host(pattern: str, host: str) -> bool:
    is_for_addresses = _ADDRESS_PATTERN.fullmatch(pattern) is not None
    return pattern == "*" or (is_for_addresses == (_address(host) is not None) and _matches(pattern, host))


def _matches(pattern: str, text: str) -> bool:
    """Whether a text is what a pattern says, in which only * is special."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), text) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the address that a text is, or None. An IPv4 address within IPv6 is the IPv4 address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _port(text: str) -> int:
    if text and not (text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port")
    return int(text or 0)


def _network(target: str) -> tuple[Network | None, int]:
    host, port = split_target(target)
    try:
        return ipaddress.ip_network(host, strict=False), port
    except ValueError:
        return None, port
