"""A long-running controller: runs in sequence, a crash, and results that are collected afterwards."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from heyfleet.results.archive.reader import ArchivedRun

from .processes import Fleet, Process, adds_up

SLOW = "/ok?delay=2ms"


@pytest.fixture
def credentials(fleet: Fleet) -> str:
    """Make a folder with a CA and a token for agents."""
    folder = fleet.folder / "join"
    assert fleet.start("ca", "init", str(folder)).end() == 0
    assert fleet.start("ca", "token", str(folder), "--uses", "9").end() == 0
    return str(folder)


def controller(fleet: Fleet, credentials: str, port: int = 0) -> Process:
    process = fleet.start(
        "controller", "--listen", f"127.0.0.1:{port}", "--credentials", credentials, "--lease", "2s"
    )
    fleet.port = int(process.wait_for(r"listening on 127.0.0.1:(\d+)")[1])
    return process


def run(fleet: Fleet, credentials: str, *arguments: str) -> Process:
    where = ("--controller", f"127.0.0.1:{fleet.port}", "--credentials", credentials)
    return fleet.start("run", *where, "--json", *arguments)


def collect(fleet: Fleet, credentials: str, *arguments: str) -> dict[str, Any]:
    where = ("--controller", f"127.0.0.1:{fleet.port}", "--credentials", credentials)
    process = fleet.start("collect", *where, "--json", *arguments)
    assert process.end() == 0, process.stderr
    return process.report


def test_two_runs_on_one_fleet(fleet: Fleet, faulty: Any, credentials: str) -> None:
    daemon = controller(fleet, credentials)
    agents = fleet.agents(2)
    for number in (1, 2):
        daemon.wait_for(rf"a{number}-\w+ .*joined")
    first = run(fleet, credentials, "-z", "2s", "-c", "8", faulty.url(SLOW))
    daemon.wait_for(r"run (\w+) to 127.0.0.1")
    kept = fleet.folder / "kept"
    second = run(fleet, credentials, "-n", "1003", "-c", "7", "--out", str(kept), faulty.url(SLOW))
    assert [first.end(), second.end()] == [0, 0]
    run_ids = [line.split()[2] for line in daemon.lines if " to 127.0.0.1" in line]
    assert len(run_ids) == 2
    for run_id, report in zip(run_ids, (first.report, second.report), strict=True):
        adds_up(report)
        fleet.archives(run_id).check(report)
    assert second.report["ledger"]["responses"] == 1003
    series = list(ArchivedRun(kept).intervals())
    assert sum(sum(second.merged.responses.values()) for second in series) == 1003
    assert len({row.agent for row in ArchivedRun(kept).agents()}) == 2
    daemon.signal(signal.SIGTERM)
    assert daemon.end() == 0
    for agent in agents:
        assert agent.process.poll() is None
        agent.signal(signal.SIGTERM)
        assert agent.end() == 143


def test_ctrl_c_stops_a_run_on_a_controller(fleet: Fleet, faulty: Any, credentials: str) -> None:
    daemon = controller(fleet, credentials)
    fleet.agents(2)
    for number in (1, 2):
        daemon.wait_for(rf"a{number}-\w+ .*joined")
    command = run(fleet, credentials, "-z", "60s", "-c", "8", faulty.url(SLOW))
    fleet.until_delivering("spool-a*", 2)
    command.signal(signal.SIGINT)
    assert command.end() == 130
    adds_up(command.report)
    fleet.archives().check(command.report)


def test_a_restarted_controller_collects_what_the_agents_hold(
    fleet: Fleet, faulty: Any, credentials: str
) -> None:
    daemon = controller(fleet, credentials)
    agents = fleet.agents(3)
    for number in (1, 2, 3):
        daemon.wait_for(rf"a{number}-\w+ .*joined")
    command = run(fleet, credentials, "-z", "60s", "-c", "9", faulty.url(SLOW))
    fleet.until_delivering("spool-a*", 3)
    daemon.signal(signal.SIGKILL)
    killed_s = time.monotonic()
    assert command.end() == 1
    assert "heyfleet collect" in command.stderr
    for agent in agents:
        agent.wait_for("nothing heard from the controller for 2 s, load stopped")
    assert time.monotonic() - killed_s < 60  # not the 60 s of the plan: the lease ended it
    for agent in agents:
        agent.wait_for(r"ended by lease")
    restarted = controller(fleet, credentials, fleet.port)
    for number in (1, 2, 3):
        restarted.wait_for(rf"a{number}-\w+ .*joined")
    report = collect_all(fleet, credentials)
    fleet.archives().check(report)
    collect(fleet, credentials, "--out", str(fleet.folder / "kept"))
    assert (
        ArchivedRun(fleet.folder / "kept").measurements().stats.responses.total()
        == report["ledger"]["responses"]
    )
    assert report["stopped_by"] == "lease"
    assert report["fleet"]["agents_joined"] == 3
    # The agents' records show how long the load went on: for the lease, and not much longer.
    assert report["total_ns"] < 9e9


def collect_all(fleet: Fleet, credentials: str) -> dict[str, Any]:
    """Collect again until all results have arrived."""
    for _ in range(50):
        report = collect_any(fleet, credentials)
        if report and not report["fleet"]["agents_lost"]:
            adds_up(report)
            return report
        time.sleep(0.2)
    pytest.fail("the results never arrived")


def collect_any(fleet: Fleet, credentials: str) -> dict[str, Any]:
    where = ("--controller", f"127.0.0.1:{fleet.port}", "--credentials", credentials)
    process = fleet.start("collect", *where, "--json")
    process.end()
    return process.report if process.stdout else {}


def test_the_results_of_a_killed_command_can_be_collected(
    fleet: Fleet, faulty: Any, credentials: str
) -> None:
    daemon = controller(fleet, credentials)
    agents = fleet.agents(2)
    for number in (1, 2):
        daemon.wait_for(rf"a{number}-\w+ .*joined")
    command = run(fleet, credentials, "-z", "60s", "-c", "8", faulty.url(SLOW))
    fleet.until_delivering("spool-a*", 2)
    command.signal(signal.SIGKILL)
    agents[0].wait_for(r"ended by signal")
    report = collect_all(fleet, credentials)
    fleet.archives().check(report)


def test_nothing_to_collect(fleet: Fleet, credentials: str) -> None:
    controller(fleet, credentials)
    where = ("--controller", f"127.0.0.1:{fleet.port}", "--credentials", credentials)
    process = fleet.start("collect", *where)
    assert process.end() == 2
    assert "the controller has no finished runs" in process.stderr


def test_credentials_of_another_controller_are_refused(fleet: Fleet, faulty: Any, credentials: str) -> None:
    controller(fleet, credentials)
    other = str(fleet.folder / "other")
    assert fleet.start("ca", "init", other).end() == 0
    mixed = fleet.folder / "mixed"
    mixed.mkdir()
    (mixed / "ca.pem").write_bytes(Path(credentials, "ca.pem").read_bytes())
    (mixed / "operator.pem").write_bytes(Path(other, "operator.pem").read_bytes())
    (mixed / "operator.pem").chmod(0o600)
    for folder, message in (
        (other, "has a certificate of another CA"),
        (str(mixed), "refuses the operator certificate"),
    ):
        command = run(fleet, folder, "-n", "1", faulty.url("/ok"))
        assert command.end() == 2
        assert message in command.stderr


def test_a_taken_port_is_not_shared(fleet: Fleet, faulty: Any, credentials: str) -> None:
    controller(fleet, credentials)
    listen = ("--listen", f"127.0.0.1:{fleet.port}")
    second = fleet.start("controller", *listen, "--credentials", credentials)
    waiting = fleet.start("run", "--agents", "1", *listen, "-n", "1", faulty.url("/ok"))
    for process in (second, waiting):
        assert process.end() == 2
        assert f"can't listen on 127.0.0.1:{fleet.port}: it is in use" in process.stderr


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_proxies_of_the_environment_are_not_asked(
    fleet: Fleet, faulty: Any, credentials: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    daemon = controller(fleet, credentials)
    fleet.agent("a1")
    daemon.wait_for(r"a1-\w+ .*joined")
    command = run(fleet, credentials, "-n", "10", "-c", "2", faulty.url("/ok"))
    assert command.end() == 0, command.stderr
    local = fleet.start("run", "--local-agents", "1", "-n", "10", "-c", "2", "--json", faulty.url("/ok"))
    assert local.end() == 0, local.stderr
