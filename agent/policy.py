"""Limits that the owner of a host sets on its agent; no plan goes beyond them."""

from __future__ import annotations

import fnmatch
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from heyfleet.agent.http.resolve import ResolveError, connects_to, resolve, where
from heyfleet.proto.plan_pb2 import CLOSED, USERS, Assignment, Plan


@dataclass(frozen=True)
class HostPolicy:
    """What is allowed; 0 and () are no limit."""

    targets: tuple[
        str, ...
    ] = ()  # HOST, HOST:PORT, with * in names, unix:PATH, or networks such as 10.0.0.0/8
    max_rate: float = 0.0
    max_connections: int = 0
    max_duration_ns: int = 0

    def refusal(self, assignment: Assignment) -> str:
        """Why an assignment goes beyond what is allowed, or nothing."""
        plan = assignment.plan
        if self.max_connections and assignment.connections > self.max_connections:
            return self._words(
                f"{assignment.connections} connections", f"{self.max_connections} (--max-connections)"
            )
        whole_ns = plan.warmup_ns + plan.duration_ns
        if self.max_duration_ns and whole_ns > self.max_duration_ns:
            return self._words(f"{whole_ns / 1e9:g} s", f"{self.max_duration_ns / 1e9:g} s (--max-duration)")
        if self.max_rate and plan.load_model in (CLOSED, USERS):
            return self._words(
                "load as fast as answers come", f"{self.max_rate:g} requests/s (--max-rate); set a rate"
            )
        if self.max_rate and (rate := _highest_rate(assignment)) > self.max_rate:
            return self._words(f"{rate:g} requests/s", f"{self.max_rate:g} (--max-rate)")
        return self._refusal_of_place(plan)

    def _refusal_of_place(self, plan: Plan) -> str:
        """Why connections, and those of a proxy, may not go where a plan wants them to."""
        if not self.targets:
            return ""
        allowed = f"{', '.join(self.targets)} (--allow-target)"
        if plan.unix_socket:
            place = f"unix:{plan.unix_socket}"
            return "" if self._by_name(place, 0) else self._words(place, allowed)
        hosts, port = where(plan)
        places = [(host, port) for host in hosts]
        if plan.HasField("proxy"):
            places.append((plan.proxy.host, plan.proxy.port))
        for host, port in places:
            if not self._allows(host, port):
                return self._words(f"{host}:{port}", allowed)
        return ""

    @staticmethod
    def _words(asked: str, allowed: str) -> str:
        return f"the owner of this agent does not allow {asked}, only {allowed}"

    def _allows(self, host: str, port: int) -> bool:
        """By name, or because what the name stands for lies in networks that are allowed."""
        if self._by_name(host, port):
            return True
        try:
            addresses = [address for address, _ in resolve([host], port).addresses]
        except ResolveError:
            return False
        return self._by_address(addresses, port)

    def refusal_of(self, assignment: Assignment, addresses: list[str]) -> str:
        """The same once the addresses are known that the load would really go to."""
        plan = assignment.plan
        if plan.unix_socket:
            return ""  # looked at before
        hosts, port = connects_to(plan)
        by_name = all(self._by_name(host, port) for host in hosts)
        if not self.targets or by_name or self._by_address(addresses, port):
            return ""
        return self._words(", ".join(addresses), f"{', '.join(self.targets)} (--allow-target)")

    def allows(self, host: str, port: int, addresses: list[str]) -> bool:
        """Whether connections to a host with these addresses are allowed; without any, its name decides."""
        if not self.targets or self._by_name(host, port):
            return True
        return bool(addresses) and self._by_address(addresses, port)

    def _by_name(self, host: str, port: int) -> bool:
        return any(
            allowed_port in (0, port) and fnmatch.fnmatch(host.lower(), name.lower())
            for name, allowed_port in map(split, self.targets)
        )

    def _by_address(self, addresses: list[str], port: int) -> bool:
        networks = [
            network
            for network, allowed_port in map(_network, self.targets)
            if network and allowed_port in (0, port)
        ]
        return all(_within(ipaddress.ip_address(address), networks) for address in addresses)


def _highest_rate(assignment: Assignment) -> float:
    """The agent's part of the plan's rate, which goes by connections."""
    plan = assignment.plan
    highest = max(max(stage.first, stage.last) for stage in plan.stages)
    return float(highest * assignment.connections / plan.connections)


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def split(target: str) -> tuple[str, int]:
    """Host and port of HOST, HOST:PORT or [HOST]:PORT; port 0: any."""
    if target.startswith("unix:"):
        return target, 0
    if target.startswith("["):
        host, _, port = target[1:].partition("]")
        return host, _port(port.removeprefix(":"))
    if target.count(":") == 1:
        host, _, port = target.partition(":")
        return host, _port(port)
    return target, 0


def _port(text: str) -> int:
    if text and not (text.isdecimal() and 0 < int(text) < 65536):
        raise ValueError(f"{text!r} is not a port")
    return int(text or 0)


def _network(target: str) -> tuple[Network | None, int]:
    host, port = split(target)
    try:
        return ipaddress.ip_network(host, strict=False), port
    except ValueError:
        return None, port
