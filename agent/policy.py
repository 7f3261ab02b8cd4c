"""Limits that the owner of a host sets on its agent; no plan can exceed them."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from heyfleet.agent.http.resolve import ResolveError, connection_endpoint, resolve, server_endpoint
from heyfleet.plan.host_name import to_ascii
from heyfleet.proto.plan_pb2 import CLOSED, USERS, Assignment, Plan

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class HostPolicy:
    """The limits of a host; 0 and () mean no limit.

    A target is HOST or HOST:PORT, with * in host names, a network such as 10.0.0.0/8, or unix:PATH.
    """

    targets: tuple[str, ...] = ()
    max_rate: float = 0.0
    max_connections: int = 0
    max_duration_ns: int = 0

    def refusal(self, assignment: Assignment) -> str:
        """Return why the policy forbids an assignment, or "" if it does not."""
        plan = assignment.plan
        if self.max_connections and assignment.connections > self.max_connections:
            return _refuse(
                f"{assignment.connections} connections", f"{self.max_connections} (--max-connections)"
            )
        total_ns = plan.warmup_ns + plan.duration_ns
        if self.max_duration_ns and total_ns > self.max_duration_ns:
            return _refuse(f"{total_ns / 1e9:g} s", f"{self.max_duration_ns / 1e9:g} s (--max-duration)")
        if self.max_rate and plan.load_model in (CLOSED, USERS):
            return _refuse(
                "load as fast as answers come", f"{self.max_rate:g} requests/s (--max-rate); set a rate"
            )
        if self.max_rate and (rate := _highest_rate(assignment)) > self.max_rate:
            return _refuse(f"{rate:g} requests/s", f"{self.max_rate:g} (--max-rate)")
        return self._refusal_of_hosts(plan)

    def refusal_of_addresses(self, assignment: Assignment, addresses: list[str]) -> str:
        """Return why the policy forbids the addresses that the target's name was resolved to, or ""."""
        plan = assignment.plan
        if plan.unix_socket:
            return ""  # has no addresses; `refusal` has checked it
        hosts, port = connection_endpoint(plan)
        by_name = all(self._allows_name(host, port) for host in hosts)
        if not self.targets or by_name or self._allows_addresses(addresses, port):
            return ""
        return _refuse(", ".join(addresses), self._allowed_targets())

    def allows(self, host: str, port: int, addresses: list[str]) -> bool:
        """Whether connections to a host with these addresses are allowed; without any, its name decides."""
        if not self.targets or self._allows_name(host, port):
            return True
        return bool(addresses) and self._allows_addresses(addresses, port)

    def _refusal_of_hosts(self, plan: Plan) -> str:
        """Return why the policy forbids the hosts that a plan connects to, its proxy included, or ""."""
        if not self.targets:
            return ""
        if plan.unix_socket:
            target = f"unix:{plan.unix_socket}"
            return "" if self._allows_name(target, 0) else _refuse(target, self._allowed_targets())
        hosts, port = server_endpoint(plan)
        endpoints = [(host, port) for host in hosts]
        if plan.HasField("proxy"):
            endpoints.append((plan.proxy.host, plan.proxy.port))
        for host, port in endpoints:
            if not self._allows_host(host, port):
                return _refuse(f"{host}:{port}", self._allowed_targets())
        return ""

    def _allowed_targets(self) -> str:
        return f"{', '.join(self.targets)} (--allow-target)"

    def _allows_host(self, host: str, port: int) -> bool:
        """Whether a host is allowed by its name, or because all its addresses are in allowed networks."""
        if self._allows_name(host, port):
            return True
        try:
            addresses = [address for address, _ in resolve([host], port).addresses]
        except ResolveError:
            return False
        return self._allows_addresses(addresses, port)

    def _allows_name(self, host: str, port: int) -> bool:
        return any(
            allowed_port in (0, port) and fnmatch.fnmatch(host.lower(), name.lower())
            for name, allowed_port in map(split_target, self.targets)
        )

    def _allows_addresses(self, addresses: list[str], port: int) -> bool:
        networks = [
            network
            for network, allowed_port in map(_network, self.targets)
            if network and allowed_port in (0, port)
        ]
        return all(_is_within(ipaddress.ip_address(address), networks) for address in addresses)


def split_target(target: str) -> tuple[str, int]:
    """Split HOST, HOST:PORT or [HOST]:PORT into host and port; port 0 means any. ValueError."""
    if target.startswith("unix:"):
        return target, 0
    if target.startswith("["):
        host, _, port = target[1:].partition("]")
        return host, _port(port.removeprefix(":"))
    if target.count(":") == 1:
        host, _, port = target.partition(":")
        return to_ascii(host), _port(port)
    return to_ascii(target), 0


def _refuse(requested: str, allowed: str) -> str:
    return f"the owner of this agent does not allow {requested}, only {allowed}"


def _highest_rate(assignment: Assignment) -> float:
    """Return the agent's share of the plan's highest rate; rates are shared out in proportion to connections."""
    plan = assignment.plan
    highest = max(max(stage.first, stage.last) for stage in plan.stages)
    return float(highest * assignment.connections / plan.connections)


def _is_within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


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
