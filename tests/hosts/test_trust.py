"""The verdict on the generator: bad under each of six disturbances, good without any.

They need root and an otherwise idle machine, so they are not among the quick tests.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ..fleet.processes import Fleet
from ..integration.command import measure
from .hosts import Hosts

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

RATE = ("--rate", "2000", "-z", "3s")
CLOSED = ("-c", "20", "-z", "3s")
CGROUP_V1 = Path("/sys/fs/cgroup/cpu")
CGROUP_V2 = Path("/sys/fs/cgroup")


@pytest.fixture(autouse=True)
def _root() -> None:
    if os.geteuid() != 0:
        pytest.skip("provoking bad runs needs root")


@contextmanager
def busy(core: int, count: int) -> Iterator[None]:
    """Run processes that use all of a core."""
    command = ["taskset", "-c", str(core), sys.executable, "-c", "while True: pass"]
    neighbours = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for neighbour in neighbours:
            neighbour.kill()
            neighbour.wait()


@contextmanager
def quota(share: float) -> Iterator[tuple[str, ...]]:
    """Yield what to put in front of a command to limit it to a share of one core."""
    name = f"heyfleet-test-{os.getpid()}"
    group = (CGROUP_V1 if (CGROUP_V1 / "cpu.cfs_quota_us").exists() else CGROUP_V2) / name
    try:
        group.mkdir()
        if group.parent == CGROUP_V1:
            (group / "cpu.cfs_quota_us").write_text(str(int(share * 100_000)))
        else:
            (group / "cpu.max").write_text(f"{int(share * 100_000)} 100000")
    except OSError as error:
        with suppress(OSError):
            group.rmdir()
        pytest.skip(f"no cgroup with a CPU quota can be made here: {error}")
    try:
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$0" "$@"')
    finally:
        group.rmdir()


def start(*arguments: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "heyfleet", "run", "--json", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def trust_of(run: subprocess.Popen[str]) -> dict[str, Any]:
    import json

    output, _ = run.communicate(timeout=60)
    document = json.loads(output)
    trust: dict[str, Any] = document["trust"]
    return trust


def is_bad(trust: dict[str, Any], *words: str) -> None:
    """Assert that the verdict is bad, for a reason with one of these words."""
    assert trust["verdict"] == "bad", trust
    assert any(word in reason for reason in trust["reasons"] for word in words), trust


@pytest.mark.parametrize("attempt", range(5))
def test_an_undisturbed_run_is_good(nginx: Any, faulty: Any, attempt: int) -> None:
    """Ten undisturbed runs, five of each generator."""
    for flags, url in ((RATE, nginx.url("/")), (CLOSED, faulty.url("/ok?delay=5ms"))):
        trust = measure(*flags, url)["trust"]
        assert trust["verdict"] == "good", (attempt, trust)


def test_a_busy_neighbour(nginx: Any) -> None:
    with busy(0, 4):
        trust = trust_of(start(*RATE, nginx.url("/"), prefix=("taskset", "-c", "0")))
    is_bad(trust, "late", "waited for a CPU")


def test_a_cpu_quota(nginx: Any) -> None:
    with quota(0.1) as prefix:
        trust = trust_of(start("--rate", "20000", "-z", "3s", nginx.url("/"), prefix=prefix))
    is_bad(trust, "CPU quota", "late")


def test_a_cpu_quota_in_a_closed_loop(nginx: Any) -> None:
    with quota(0.1) as prefix:
        trust = trust_of(start("-c", "20", "-z", "3s", nginx.url("/"), prefix=prefix))
    is_bad(trust, "CPU quota", "waited for a CPU")


@pytest.mark.parametrize("flags", [RATE, CLOSED])
def test_a_process_that_is_stopped(faulty: Any, flags: tuple[str, ...]) -> None:
    run = start(*flags, faulty.url("/ok?delay=5ms"))
    time.sleep(1.5)
    run.send_signal(signal.SIGSTOP)
    time.sleep(1)
    run.send_signal(signal.SIGCONT)
    is_bad(trust_of(run), "did not look at its connections")


def test_file_descriptors_that_run_out(faulty: Any) -> None:
    if shutil.which("prlimit") is None:
        pytest.skip("taking descriptors away needs prlimit (util-linux)")
    run = start("-c", "50", "-disable-keepalive", "-z", "4s", faulty.url("/ok?delay=5ms"))
    time.sleep(1.5)
    subprocess.run(["prlimit", "--pid", str(run.pid), "--nofile=50:50"], check=True)
    is_bad(trust_of(run), "ran out of file descriptors")


def test_ports_that_run_out(three_hosts: Hosts, start_faulty: Any) -> None:
    """A connection per request with 200 ports: each port stays in use for a minute because we close the connection."""
    target = start_faulty("--host", three_hosts.here, "--allow-remote")
    inside = three_hosts.enter(1)
    subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40199"], check=True)
    run = start(
        "-c",
        "20",
        "-disable-keepalive",
        "-z",
        "3s",
        f"http://{three_hosts.here}:{target.port}/ok",
        prefix=inside,
    )
    is_bad(trust_of(run), "ran out of ports")


def test_a_link_that_loses_packets(three_hosts: Hosts, start_faulty: Any) -> None:
    """One in twenty received packets is dropped at random, before TCP sees it."""
    target = start_faulty("--host", three_hosts.here, "--allow-remote")
    three_hosts.lose(1, percent=5)
    url = f"http://{three_hosts.here}:{target.port}/ok?delay=2ms"
    trust = trust_of(start("-c", "20", "-z", "5s", url, prefix=three_hosts.enter(1)))
    is_bad(trust, "retransmitted")


def test_one_slow_agent(fleet: Fleet, faulty: Any) -> None:
    """Three agents, of which one gets only 2 % of a core."""
    run = fleet.run(3, "-c", "30", "-z", "5s", faulty.url("/ok?delay=2ms"))
    with ExitStack() as stack:
        for number in (1, 2):
            fleet.agent(f"quick{number}")
        prefix = stack.enter_context(quota(0.02))
        fleet.agent("slow", prefix=prefix)
        assert run.end() == 0
        trust = run.report["trust"]
        fleet.stop()
    is_bad(trust, "slow")
    assert not any("quick" in reason for reason in trust["reasons"] if "completed only" in reason)
