"""The commands of docs/how-to/deploy-ssh.md as written, the wheel, and the systemd unit, on hosts that boot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..fleet.processes import Fleet, adds_up
from ..pages import commands
from .guides import run_all
from .machines import ROOT, Machines, lacking, machines

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(400)]

COMMANDS = commands("docs/how-to/deploy-ssh.md", "heyfleet", "printf")


@pytest.fixture(scope="module")
def booted() -> Iterator[Machines]:
    if why := lacking():
        pytest.skip(why)
    with machines(5) as made:
        assert made.run("h5", "systemctl start nginx").returncode == 0
        yield made


def test_every_command_of_the_guide(booted: Machines, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HEYFLEET_SSH_CONFIG": str(booted.ssh_config),
    }
    addresses = {"10.0.0.5": booted.all[-1].address, "10.0.0.1": booted.here}
    lines = [re.sub(r"10\.0\.0\.[15]", lambda found: addresses[found[0]], line) for line in COMMANDS]
    said = run_all(lines, tmp_path, environment)
    found = "\n".join(said.values())
    assert "4 of 4 agents have joined" in found
    assert found.count("[200]\t4000 responses") == 2
    assert "h4  " in next(text for command, text in said.items() if " status " in command)
    assert "removed h4: agent of fleet" in found
    for machine in booted.all:
        assert booted.run(machine.name, "ls ~/.heyfleet/runs 2>/dev/null").stdout == ""


def copy(booted: Machines, files: list[Path], name: str, to: str) -> None:
    subprocess.run(
        ["scp", "-q", "-r", "-F", str(booted.ssh_config), *map(str, files), f"{name}:{to}"], check=True
    )


def test_the_wheel_runs_without_compiler_and_headers(booted: Machines, tmp_path: Path) -> None:
    wheels = list((ROOT / "dist").glob("heyfleet-*-abi3-*.whl"))
    assert len(wheels) == 1, "make wheel makes it"
    assert booted.run("h3", "command -v gcc cc; ls /usr/include/python3*/Python.h").stdout == ""
    # The host has no network: everything pip needs is copied to it.
    version = booted.run(
        "h3", "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'"
    ).stdout.strip()
    fetch = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "-q",
        "--only-binary=:all:",
        "--python-version",
        version,
    ]
    subprocess.run([*fetch, "-d", str(tmp_path), str(wheels[0])], check=True)
    assert booted.run("h3", "mkdir /srv/wheels").returncode == 0
    copy(booted, sorted(tmp_path.iterdir()), "h3", "/srv/wheels/")
    install = (
        "python3 -m venv /srv/env && /srv/env/bin/pip install -q --no-index --find-links /srv/wheels heyfleet"
    )
    done = booted.run("h3", install)
    assert done.returncode == 0, done.stderr
    run = booted.run("h3", f"/srv/env/bin/heyfleet run -n 500 -c 5 http://{booted.all[-1].address}/")
    assert run.returncode == 0, run.stderr
    assert "[200]\t500 responses" in run.stdout
    assert "Trust: " in run.stdout


def test_the_systemd_unit(booted: Machines, fleet: Fleet) -> None:
    unit = ROOT / "deploy/systemd/heyfleet-agent.service"
    bundle = next(iter(sorted((ROOT / "dist").glob("heyfleet-agent-*-python3.11-*.tar.gz"))))
    copy(booted, [bundle, unit], "h4", "/srv/")
    target = f"http://{booted.all[-1].address}/"
    run = fleet.run(1, "-n", "400", "-c", "4", "--rate", "400", target, listen=f"{booted.here}:0")
    join = f"{booted.here}:{fleet.port}"
    copy(booted, [fleet.folder / "join/ca.pem", fleet.folder / "join/join.token"], "h4", "/srv/")
    steps = (
        "mkdir -p /opt/heyfleet /etc/heyfleet",
        f"tar -xzf /srv/{bundle.name} -C /opt/heyfleet --strip-components=1",
        "install -m 600 /srv/ca.pem /srv/join.token /etc/heyfleet/",
        f"printf 'HEYFLEET_JOIN={join}\\nHEYFLEET_FLAGS=--max-rate 50000\\n' > /etc/heyfleet/agent.env",
        "cp /srv/heyfleet-agent.service /etc/systemd/system/ && systemctl daemon-reload",
        "systemd-analyze verify /etc/systemd/system/heyfleet-agent.service",
        "systemctl start heyfleet-agent",
    )
    for step in steps:
        done = booted.run("h4", step)
        assert done.returncode == 0, (step, done.stderr)
    assert run.end() == 0, (run.stderr, booted.run("h4", "journalctl -u heyfleet-agent --no-pager").stdout)
    adds_up(run.report)
    assert run.report["ledger"]["planned"] == 400
    assert run.report["ledger"]["responses"] > 0
    # systemd has restarted it, and it logs the problem: the token was for one agent, and the controller is gone.
    deadline = time.monotonic() + 30
    while "can't be reached" not in (
        said := booted.run("h4", "journalctl -u heyfleet-agent --no-pager").stdout
    ):
        assert time.monotonic() < deadline, said
        time.sleep(0.5)
    assert booted.run("h4", "systemctl stop heyfleet-agent").returncode == 0
    assert booted.run("h4", "ps -C python3 -o args").stdout.count("heyfleet") == 0
