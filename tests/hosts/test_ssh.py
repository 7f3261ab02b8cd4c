"""Agents launched by ssh: a real sshd in each namespace, with nothing but Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ..fleet.processes import Fleet, adds_up
from .hosts import Hosts, hosts

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
SSHD = """
Port 22
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/{name}.pid
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
SetEnv HEYFLEET_HOME={folder}/{name} HEYFLEET_PYTHON={python}
"""
CLIENT = """
Host h*
  User root
  IdentityFile {folder}/user_key
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking yes
"""


@dataclass
class Reached:
    """Hosts with sshd, and the script that manages them."""

    hosts: Hosts
    folder: Path
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, address: str, count: int) -> None:
        for name in ("host_key", "user_key"):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.folder}/{name}"], check=True
            )
        key = (self.folder / "host_key.pub").read_text()
        config, known = CLIENT.format(folder=self.folder), ""
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd's privilege separation folder
        for number in range(1, count + 1):
            name, here = f"h{number}", f"{address.rpartition('.')[0]}.{number}"
            path = self.folder / f"{name}.conf"
            path.write_text(SSHD.format(folder=self.folder, name=name, python=sys.executable))
            command = [*self.hosts.enter(number), "/usr/sbin/sshd", "-D", "-e", "-f", str(path)]
            with (self.folder / f"{name}.log").open("wb") as log:
                self.servers.append(subprocess.Popen(command, stderr=log))
            config += f"Host {name}\n  HostName {here}\n"
            known += f"{here} {key}"
        (self.folder / "ssh_config").write_text(config)
        (self.folder / "known_hosts").write_text(known)

    def fleet(self, *arguments: str, good: bool = True) -> str:
        """Run fleet.sh and return its output."""
        environment = {**os.environ, "HEYFLEET_SSH_CONFIG": str(self.folder / "ssh_config")}
        run = subprocess.run(
            [str(ROOT / "deploy/ssh/fleet.sh"), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert (run.returncode == 0) == good, run.stdout + run.stderr
        return run.stdout + run.stderr


@pytest.fixture
def reached(tmp_path: Path) -> Iterator[Reached]:
    with hosts(2) as made:
        found = Reached(made, tmp_path)
        found.start(made.here, 2)
        try:
            yield found
        finally:
            found.fleet("reap", "h1,h2", "all")
            for server in found.servers:
                server.terminate()
                server.wait()


def states(reached: Reached) -> list[tuple[str, ...]]:
    """Return host, run and state of each line."""
    lines = reached.fleet("status", "h1,h2").splitlines()
    return [(host.rstrip(":"), run, state) for host, run, state, *_ in map(str.split, lines)]


def wait_until(reached: Reached, wanted: list[tuple[str, ...]]) -> None:
    until = time.monotonic() + 30
    while (found := states(reached)) != wanted:
        assert time.monotonic() < until, found
        time.sleep(0.3)


def test_a_run_on_bare_hosts(fleet: Fleet, reached: Reached, start_faulty: Any) -> None:
    here = reached.hosts.here
    target = start_faulty("--host", here, "--allow-remote")
    run = fleet.run(
        2, "-n", "2000", "-c", "8", f"http://{here}:{target.port}/ok?delay=2ms", listen=f"{here}:0"
    )
    up = ("h1,h2", "--join", f"{here}:{fleet.port}", "--files", str(fleet.folder / "join"))
    reached.fleet("up", "one", *up)
    assert run.end() == 0, run.stderr
    adds_up(run.report)
    assert run.report["ledger"]["responses"] == 2000
    assert sorted(agent["agent"][:2] for agent in run.report["fleet"]["agents"]) == ["h1", "h2"]
    wait_until(reached, [("h1", "one", "ended"), ("h2", "one", "ended")])
    assert "1000 requests sent" in reached.fleet("logs", "one", "h1")
    secrets = [path for name in ("h1", "h2") for path in (reached.folder / name / "runs" / "one").iterdir()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in secrets)
    bundle = next((reached.folder / "h1" / "bundles").iterdir())
    copied = bundle.stat().st_ino
    assert sorted(reached.fleet("reap", "h1,h2").split()) == ["h1:", "h2:", "one", "one"]
    assert states(reached) == []
    assert bundle.stat().st_ino == copied


def test_agents_end_after_their_lifetime_or_on_request(fleet: Fleet, reached: Reached) -> None:
    here = reached.hosts.here
    run = fleet.run(3, "-n", "10", "http://127.0.0.1:1/", listen=f"{here}:0")  # the third agent never joins
    up = ("--join", f"{here}:{fleet.port}", "--files", str(fleet.folder / "join"))
    reached.fleet("up", "short", "h1", *up, "--for", "12s")
    reached.fleet("up", "long", "h2", *up)
    assert states(reached) == [("h1", "short", "running"), ("h2", "long", "running")]
    again = reached.fleet("up", "long", "h2", *up, good=False)
    assert "is already running on this host" in again
    wait_until(reached, [("h1", "short", "ended"), ("h2", "long", "running")])
    reached.fleet("down", "long", "h2")
    assert states(reached) == [("h1", "short", "ended")]
    run.signal(signal.SIGINT)
    run.end()


def test_errors_name_the_problem(reached: Reached, tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for name in ("ca.pem", "join.token"):
        (files / name).write_text("x\n")
    up = ("up", "bad", "h1,h9", "--join", f"{reached.hosts.here}:1", "--files", str(files))
    said = reached.fleet(*up, good=False)
    assert "h9: failed: " in said
    assert "h1: failed: " in said
    assert "ca.pem" in said
    assert states(reached) == []
    assert "is missing" in reached.fleet("up", "bad", "h1", good=False)
    assert "is not a valid run name" in reached.fleet("logs", "../x", "h1", good=False)
