"""Repeated lookups of the target's name, one at a time and without their thread."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from heyfleet.agent.http.dns_refresh import Addresses, DnsRefresh
from heyfleet.agent.http.resolve import ResolveError
from heyfleet.agent.policy import HostPolicy
from heyfleet.proto.plan_pb2 import Plan, Target

FIRST, SECOND, THIRD = ("192.0.2.1", 80), ("192.0.2.2", 80), ("192.0.2.3", 80)


class NameServer:
    """Answers each lookup with the next of its answers; a lookup takes 5 ms of a clock of its own."""

    def __init__(self, *answers: Addresses | Exception) -> None:
        self._answers: Iterator[Addresses | Exception] = iter(answers)
        self.now_ns = 0
        self.changes: list[Addresses] = []

    def look_up(self, plan: Plan, policy: HostPolicy) -> Addresses:
        """Return the next answer."""
        self.now_ns += 5_000_000
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def on_change(self, addresses: Addresses) -> None:
        """Accept new addresses, except link-local ones."""
        if any("%" in host for host, _ in addresses):
            raise ValueError("not an address")
        self.changes.append(addresses)

    def refresh(self) -> DnsRefresh:
        """Create the refresh of a plan whose target had the first address."""
        plan = Plan(target=Target(scheme="http", host="name.test", port=80), dns_ttl_ns=1)
        return DnsRefresh(
            plan,
            HostPolicy(),
            [FIRST],
            self.on_change,
            look_up=self.look_up,
            clock_ns=lambda: self.now_ns,
        )


def test_new_addresses_are_reported_once() -> None:
    server = NameServer([FIRST], [SECOND, FIRST], [FIRST, SECOND], [THIRD])
    refresh = server.refresh()
    for _ in range(4):
        refresh.refresh()
    assert server.changes == [[SECOND, FIRST], [THIRD]]
    assert (refresh.changes, refresh.failed) == (2, 0)


def test_after_a_failed_lookup_the_old_addresses_stay() -> None:
    no_descriptor, no_thread = OSError(24, "Too many open files"), RuntimeError("can't start new thread")
    server = NameServer(
        ResolveError("SERVFAIL"), [("fe80::1%eth0", 80)], no_descriptor, no_thread, [FIRST], [SECOND]
    )
    refresh = server.refresh()
    for _ in range(6):
        refresh.refresh()
    assert server.changes == [[SECOND]]
    assert (refresh.changes, refresh.failed) == (1, 4)


def test_a_name_without_allowed_addresses_changes_nothing() -> None:
    server = NameServer([])
    refresh = server.refresh()
    refresh.refresh()
    assert server.changes == []
    assert (refresh.changes, refresh.failed) == (0, 0)


def test_lookups_are_measured() -> None:
    server = NameServer([FIRST], [FIRST])
    refresh = server.refresh()
    refresh.refresh()
    refresh.refresh()
    lookups = refresh.take_lookups()
    assert lookups.count == 2
    assert lookups.min_ns == lookups.max_ns == pytest.approx(5_000_000)
    assert refresh.take_lookups().count == 0


def test_a_stopped_refresh_changes_nothing() -> None:
    server = NameServer([SECOND])
    refresh = server.refresh()
    refresh.stop()
    refresh.refresh()
    assert server.changes == []
