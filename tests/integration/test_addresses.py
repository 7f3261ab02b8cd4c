"""A target with several addresses: connections are spread evenly, and the report shows where they went."""

from __future__ import annotations

import pytest

from .command import heyfleet, measure
from .test_sources import Peers

ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


@pytest.mark.parametrize("who", [(), ("--io", "epoll"), ("-cpus", "3"), ("--local-agents", "2")])
def test_connections_use_each_address_in_turn(who: tuple[str, ...]) -> None:
    servers = [Peers(address) for address in ADDRESSES[:1]]
    port = servers[0].port
    servers += [Peers(address, port) for address in ADDRESSES[1:]]
    try:
        rule = f"many.test:{port}:{','.join(ADDRESSES)}"
        report = measure(*who, "-n", "300", "-c", "30", "--resolve", rule, f"http://many.test:{port}/")
        # One more a server and agent: the connection that tries the address out.
        tries = 2 if "--local-agents" in who else 1
        assert [server.seen.total() for server in servers] == [10 + tries] * 3
    finally:
        for server in servers:
            server.stop()
    assert report["statuses"] == {"200": 300}
    assert report["addresses"] == list(ADDRESSES)
    lines = report["by_address"]
    assert [(line["address"], line["connections"]) for line in lines] == [
        (address, 10) for address in ADDRESSES
    ]
    assert sum(line["responses"] for line in lines) == 300
    assert report["addresses_unused"] == []


def test_the_report_names_addresses_that_refuse_connections() -> None:
    server = Peers()
    try:
        rule = f"many.test:{server.port}:127.0.0.9,127.0.0.1"
        outcome = heyfleet(
            "run", "-n", "20", "-c", "4", "--resolve", rule, f"http://many.test:{server.port}/"
        )
    finally:
        server.stop()
    assert outcome.exit_code == 0
    assert "that accepted no connection: 127.0.0.9 (Connection refused)" in outcome.stdout


def test_every_source_connects_to_every_address() -> None:
    server = Peers()
    other = Peers("127.0.0.2", server.port)
    try:
        rule = f"many.test:{server.port}:127.0.0.1,127.0.0.2"
        flags = ("-n", "80", "-c", "8", "--source", "127.0.0.5-127.0.0.6", "--resolve", rule)
        measure(*flags, f"http://many.test:{server.port}/")
    finally:
        server.stop()
        other.stop()
    for each in (server, other):
        assert (each.seen["127.0.0.5"], each.seen["127.0.0.6"]) == (2, 2)
