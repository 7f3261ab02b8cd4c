"""Looks the target's name up again and again while a load runs, since load balancers grow and move by DNS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from heyfleet.agent.http.resolve import ResolveError, connects_to, look_up_again
from heyfleet.agent.policy import HostPolicy
from heyfleet.ext import Histogram
from heyfleet.proto.plan_pb2 import Plan


class DnsRefresh:
    """Calls `changed` with new addresses, in a thread of its own; the numbers are what it found out until now."""

    def __init__(
        self,
        plan: Plan,
        owner: HostPolicy,
        addresses: list[tuple[str, int]],
        changed: Callable[[list[tuple[str, int]]], None],
    ) -> None:
        self._plan = plan
        self._owner = owner
        self._addresses = set(addresses)
        self._changed = changed
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._took = Histogram()
        self._thread = threading.Thread(target=self._run, name="lookup", daemon=True)
        self.changes = 0
        self.failed = 0

    def start(self, took_ns: int) -> None:
        """Begin, if the plan wants that; the first lookup, before the start, took so long."""
        if took_ns:
            self._took.record(took_ns)
        if self._plan.dns_ttl_ns and not self._plan.unix_socket:
            self._thread.start()

    def stop(self) -> None:
        """Look no more; a lookup that is under way is not waited for."""
        self._stop.set()

    def taken(self) -> Histogram:
        """How long lookups took since the last call."""
        with self._lock:
            took, self._took = self._took, Histogram()
        return took

    def _run(self) -> None:
        while not self._stop.wait(self._plan.dns_ttl_ns / 1e9):
            begin_ns = time.monotonic_ns()
            try:
                found = look_up_again(self._plan)
            except ResolveError:
                self.failed += 1
                continue
            with self._lock:
                self._took.record(time.monotonic_ns() - begin_ns)
            allowed = [address for address in found if self._allowed(address)]
            # The order of a name server's answer means nothing.
            if allowed and set(allowed) != self._addresses and not self._stop.is_set():
                self._move(allowed)

    def _move(self, addresses: list[tuple[str, int]]) -> None:
        try:
            self._changed(addresses)
        except ValueError:  # an address that can't be connected to, such as one of a link alone
            self.failed += 1
            return
        self._addresses = set(addresses)
        self.changes += 1

    def _allowed(self, address: tuple[str, int]) -> bool:
        hosts, port = connects_to(self._plan)
        return all(self._owner.allows(host, port, [address[0]]) for host in hosts)
