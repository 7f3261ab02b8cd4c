"""Connections that come from a local address of the caller's choice, on both real backends."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from heyfleet.ext import EpollIo, Io, IoProbe, ProbeEvent, UringIo, backends

KINDS: dict[str, type[Io]] = {"epoll": EpollIo, "io_uring": UringIo}
USABLE = {name: usable for name, usable, _ in backends()}
PATIENCE_NS = 5_000_000_000


@pytest.fixture(params=list(KINDS))
def probe(request: pytest.FixtureRequest) -> Iterator[IoProbe]:
    if not USABLE[request.param]:
        pytest.skip(f"{request.param} is not available here")
    made = IoProbe(KINDS[request.param]())
    assert made.open(8) == 0
    yield made
    made.shut()


def connected(probe: IoProbe) -> ProbeEvent:
    deadline_ns = probe.now() + PATIENCE_NS
    while (event := probe.next()) is None:
        assert probe.now() < deadline_ns
        assert probe.wait(100_000_000) == 0
    return event


def test_the_peer_sees_the_source(probe: IoProbe) -> None:
    with ExitStack() as open_, socket.create_server(("127.0.0.1", 0)) as server:
        for slot, source in enumerate([None, "127.0.0.7", "127.9.9.9"]):
            probe.connect(slot, ("127.0.0.1", server.getsockname()[1]), source)
            event = connected(probe)
            assert (event.op, event.slot, event.result) == ("connect", slot, 0)
            connection, address = server.accept()
            open_.enter_context(connection)
            assert address[0] == (source or "127.0.0.1")


def test_ipv6(probe: IoProbe) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        probe.connect(0, ("::1", server.getsockname()[1]), "::1")
        assert connected(probe).result == 0


def test_an_address_of_another_host_is_an_event_like_any_failure(probe: IoProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = ("127.0.0.1", server.getsockname()[1])
        for _ in range(3):
            probe.connect(0, address, "192.0.2.1")
            event = connected(probe)
            assert (event.op, event.slot, event.result) == ("connect", 0, -errno.EADDRNOTAVAIL)
            probe.close(0)
        probe.connect(0, address, "127.0.0.3")
        assert connected(probe).result == 0
