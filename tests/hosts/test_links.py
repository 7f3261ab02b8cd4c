"""A link that is cut silently: for less than the lease, for more, and for good."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from ..fleet.processes import Fleet, Process, adds_up
from .hosts import Hosts

CUT_S = float(os.environ.get("CUT_S", "30"))  # 120 is the time a NAT or a switch may need to come back
pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180 + 2 * CUT_S)]


def started(
    fleet: Fleet, hosts: Hosts, start_faulty: Callable[..., Any], *flags: str
) -> tuple[Process, list[Process]]:
    """Start a run on three hosts, and wait until it sends load."""
    target = start_faulty("--host", hosts.here, "--allow-remote")
    url = f"http://{hosts.here}:{target.port}/ok?delay=2ms"
    run = fleet.run(3, "-c", "12", "-t", "5", *flags, url, listen=f"{hosts.here}:0")
    agents = [
        fleet.agent(f"h{number}", "--rejoin-timeout", "600s", host=hosts.here, prefix=hosts.enter(number))
        for number in (1, 2, 3)
    ]
    for agent in agents:
        agent.wait_for(r"run \w+: 4 connections")
    time.sleep(2)
    return run, agents


def test_shorter_than_the_lease(fleet: Fleet, three_hosts: Hosts, start_faulty: Any) -> None:
    run, _ = started(fleet, three_hosts, start_faulty, "-z", "20s")
    three_hosts.cut(2)
    run.wait_for(r"h2-\w+ .*is away")  # keepalive has noticed
    time.sleep(1)
    three_hosts.mend(2)
    run.wait_for(r"h2-\w+ .*is back")
    assert run.end() == 0
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert report["fleet"]["agents_lost"] == 0
    assert report["stopped_by"] == "duration"


def test_longer_than_the_lease(fleet: Fleet, three_hosts: Hosts, start_faulty: Any) -> None:
    flags = ("-z", "25s", "--lost-timeout", f"{CUT_S + 30:g}s")
    run, agents = started(fleet, three_hosts, start_faulty, *flags)
    three_hosts.cut(2)
    agents[1].wait_for("nothing heard from the controller for 10 s, load stopped")
    time.sleep(CUT_S - 10)  # the link has been down for CUT_S in total
    three_hosts.mend(2)
    run.wait_for(r"h2-\w+ .*is back", timeout_s=60)
    assert run.end() == 0
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert report["fleet"]["agents_lost"] == 0
    lines = {agent["agent"][:2]: agent for agent in report["fleet"]["agents"]}
    assert lines["h2"]["responses"] < 0.7 * lines["h1"]["responses"]  # its load had stopped


def test_for_good(fleet: Fleet, three_hosts: Hosts, start_faulty: Any) -> None:
    run, agents = started(fleet, three_hosts, start_faulty, "-z", "12s", "--lost-timeout", "3s")
    three_hosts.cut(2)
    assert run.end() == 4
    report = run.report
    adds_up(report)
    assert report["fleet"]["agents_lost"] == 1
    lost = next(agent for agent in report["fleet"]["agents"] if agent["state"] == "lost")
    assert lost["agent"].startswith("h2-")
    assert lost["last_heard_ns"] < 5e9
    assert 0.1 < report["fleet"]["missing_share"] < 0.34
    # The lost agent has more results than arrived; those of the others are complete.
    agents[1].wait_for("load stopped")
    kept = fleet.archives()
    assert kept.counts["responses"] >= report["ledger"]["responses"]


def test_far_away_and_lossy(fleet: Fleet, three_hosts: Hosts, start_faulty: Any) -> None:
    """With a round trip of 50 ms and 5 % packet loss, an agent joins, starts with the others, and loses no result."""
    three_hosts.delay(2, 0.025)
    three_hosts.lose(2, 5)
    run, _ = started(fleet, three_hosts, start_faulty, "-z", "10s")
    assert run.end() == 0, run.stderr
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert report["fleet"]["agents_lost"] == 0
    parts = {agent["agent"][:2]: agent["responses"] for agent in report["fleet"]["agents"]}
    assert (
        0 < parts["h2"] <= 4 * 11 / 0.05 < parts["h1"]
    )  # each of its requests takes 50 ms, on four connections
    assert report["fleet"]["start_skew"]["max_skew_ns"] >= report["fleet"]["start_skew"]["skew_ns"]
