"""Addresses that change while an engine runs; the name server's side is in tests/hosts/test_dns.py."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from heyfleet.agent.http.dns_refresh import DnsRefresh
from heyfleet.agent.policy import HostPolicy
from heyfleet.proto.plan_pb2 import Plan, Resolve, Target

from ...engines import make_engine
from ...recorder import Recorder

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_connections_move_after_their_answers(io: str) -> None:
    with Recorder() as first, Recorder("127.0.0.2") as second:
        engine = make_engine(
            io=io,
            addresses=[("127.0.0.1", first.port)],
            messages=[(GET, False)],
            connections=4,
            duration_ns=60_000_000_000,
        )
        thread = threading.Thread(target=engine.run)
        thread.start()
        engine.start(1)
        wait_for_clients(first, 4)
        with pytest.raises(ValueError, match="not an IPv4"):
            engine.set_addresses([("127.0.0.1", 1), ("fe80::1%lo", 1)])
        with pytest.raises(ValueError, match="not an IPv4"):
            engine.set_addresses([("127.0.0.1\0.a", 1)])
        with pytest.raises(ValueError, match="at least one"):
            engine.set_addresses([])
        engine.set_addresses([("127.0.0.2", second.port)])
        wait_for_clients(second, 4)
        engine.stop()
        thread.join()
        snapshot = engine.snapshot()
    assert snapshot.errors == {}
    assert {address: counts[0] for address, counts in snapshot.addresses.items()} == {
        "127.0.0.1": 4,
        "127.0.0.2": 4,
    }
    assert sum(counts[2] for counts in snapshot.addresses.values()) == sum(snapshot.responses.values())


def wait_for_clients(server: Recorder, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(server.clients) < count and time.monotonic() < deadline:
        time.sleep(0.005)
    assert len(server.clients) == count


def test_an_address_that_can_t_be_used_leaves_the_old_ones() -> None:
    def refuse(addresses: Any) -> None:
        raise ValueError(addresses)

    plan = Plan(
        target=Target(scheme="http", host="a.test", port=80),
        resolve=[Resolve(to_hosts=["127.0.0.1"])],
        dns_ttl_ns=1_000_000,
    )
    lookup = DnsRefresh(plan, HostPolicy(), [("127.0.0.9", 80)], refuse)
    lookup.start(1)
    deadline = time.monotonic() + 10
    while lookup.failed < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    lookup.stop()
    assert lookup.failed >= 2
    assert lookup.changes == 0
