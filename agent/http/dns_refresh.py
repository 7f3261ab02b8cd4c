"""Look the target's name up repeatedly while a load runs, since load balancers grow and move by DNS."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from heyfleet.agent.http.resolve import ResolveError, look_up_again
from heyfleet.agent.policy import HostPolicy
from heyfleet.ext import Histogram
from heyfleet.proto.plan_pb2 import Plan

Addresses = list[tuple[str, int]]


class DnsRefresh:
    """A thread that calls `on_change` with the target's new addresses; `changes` and `failed` count its lookups.

    `look_up` returns the plan's addresses that are allowed. Tests replace it, and the clock.
    """

    def __init__(
        self,
        plan: Plan,
        policy: HostPolicy,
        addresses: Addresses,
        on_change: Callable[[Addresses], None],
        *,
        look_up: Callable[[Plan, HostPolicy], Addresses] = look_up_again,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._plan = plan
        self._policy = policy
        self._addresses = set(addresses)
        self._on_change = on_change
        self._look_up = look_up
        self._clock_ns = clock_ns
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._lookups = Histogram()
        self._thread = threading.Thread(target=self._run, name="dns-refresh", daemon=True)
        self.changes = 0
        self.failed = 0

    def start(self, first_lookup_ns: int) -> None:
        """Record how long the lookup before the start took, and begin to refresh if the plan sets a TTL."""
        if first_lookup_ns:
            self._lookups.record(first_lookup_ns)
        if self._plan.dns_ttl_ns and not self._plan.unix_socket:
            self._thread.start()

    def stop(self) -> None:
        """Stop refreshing, without waiting for a lookup that is under way."""
        self._stop.set()

    def take_lookups(self) -> Histogram:
        """Return the durations of the lookups since the last call, in ns."""
        with self._lock:
            lookups, self._lookups = self._lookups, Histogram()
        return lookups

    def refresh(self) -> None:
        """Look the name up once, and report the addresses that are allowed if they differ from the current ones."""
        begin_ns = self._clock_ns()
        try:
            addresses = self._look_up(self._plan, self._policy)
        except (
            ResolveError,
            OSError,
            RuntimeError,
        ):  # also too few descriptors or threads to try addresses out
            self.failed += 1
            return
        with self._lock:
            self._lookups.record(self._clock_ns() - begin_ns)
        # Name servers rotate their answers: another order is no change.
        if not addresses or set(addresses) == self._addresses or self._stop.is_set():
            return
        try:
            self._on_change(addresses)
        except ValueError:  # an address that can't be connected to, such as a link-local one
            self.failed += 1
            return
        self._addresses = set(addresses)
        self.changes += 1

    def _run(self) -> None:
        while not self._stop.wait(self._plan.dns_ttl_ns / 1e9):
            self.refresh()
