"""A NAT between an agent and its controller that forgets connections after some idle seconds."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from typing import Any

import pytest

from ..fleet.processes import Fleet, adds_up
from .hosts import Hosts, ip

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]
FORGETS_S = 5
RULES = """
table ip nat { chain out { type nat hook postrouting priority 100; oifname "eth0" masquerade; }; }
table ip strict { chain through { type filter hook forward priority 0; ct state invalid drop; }; }
"""
WAITS = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as sock:
    sock.sendall(b"one")
    time.sleep(float(sys.argv[3]))
    sock.sendall(b"two")
    sock.settimeout(4)
    try:
        print(sock.recv(10).decode())
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.fixture
def behind_nat(three_hosts: Hosts) -> Hosts:
    """Connect the first host only to the second, a router with NAT; the third is unchanged."""
    inside, router = three_hosts.space(1), three_hosts.space(2)
    ip("-n", inside, "link", "del", "eth0")
    ip("-n", inside, "link", "add", "eth0", "type", "veth", "peer", "name", "inside", "netns", router)
    for space, device, address in ((inside, "eth0", "10.99.0.1/24"), (router, "inside", "10.99.0.2/24")):
        ip("-n", space, "addr", "add", address, "dev", device)
        ip("-n", space, "link", "set", device, "up")
    ip("-n", inside, "route", "add", "default", "via", "10.99.0.2")
    enter = three_hosts.enter(2)
    subprocess.run([*enter, "nft", "-f", "-"], input=RULES, text=True, check=True)
    settings = (
        "net.ipv4.ip_forward=1",
        f"net.netfilter.nf_conntrack_tcp_timeout_established={FORGETS_S}",
        f"net.netfilter.nf_conntrack_tcp_timeout_unacknowledged={FORGETS_S}",
        "net.netfilter.nf_conntrack_tcp_loose=0",
    )
    subprocess.run([*enter, "sysctl", "-qw", *settings], check=True)
    return three_hosts


def answered_after(hosts: Hosts, idle_s: float) -> str:
    """Return what a plain connection through the NAT receives after some idle seconds."""
    with socket.create_server((hosts.here, 0)) as server:
        command = [
            *hosts.enter(1),
            sys.executable,
            "-c",
            WAITS,
            hosts.here,
            str(server.getsockname()[1]),
            f"{idle_s}",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as caller:
            connection, (address, _) = server.accept()
            with connection:
                assert address == hosts.address(2)
                connection.settimeout(idle_s + 3)
                assert connection.recv(10) == b"one"
                with contextlib.suppress(TimeoutError):
                    connection.sendall(connection.recv(10))
                assert caller.stdout is not None
                return caller.stdout.read().strip()


def test_an_agent_that_waits_behind_it_is_there_when_the_run_begins(
    fleet: Fleet, behind_nat: Hosts, start_faulty: Any
) -> None:
    assert answered_after(behind_nat, 0.5) == "two"
    assert answered_after(behind_nat, FORGETS_S + 3) == "TimeoutError"  # the NAT does forget connections
    target = start_faulty("--host", behind_nat.here, "--allow-remote")
    url = f"http://{behind_nat.here}:{target.port}/ok?delay=2ms"
    run = fleet.run(2, "-z", "4s", "-c", "4", url, listen=f"{behind_nat.here}:0")
    waiting = fleet.agent("inside", host=behind_nat.here, prefix=behind_nat.enter(1))
    run.wait_for(r"inside-\w+ .*joined|1 of 2")
    time.sleep(3 * FORGETS_S)  # only keepalive pings are sent meanwhile
    fleet.agent("outside", host=behind_nat.here, prefix=behind_nat.enter(3))
    assert run.end() == 0, run.stderr
    adds_up(run.report)
    assert run.report["fleet"]["agents_lost"] == 0
    assert "away" not in run.stderr
    assert "again" not in waiting.stderr
    parts = {agent["agent"].partition("-")[0]: agent["responses"] for agent in run.report["fleet"]["agents"]}
    assert all(parts[name] > 0 for name in ("inside", "outside"))
