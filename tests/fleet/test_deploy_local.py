"""Agents brought up on this host by `--on local`: the commands of docs/how-to/deploy-local.md, and what goes wrong."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..pages import heyfleet_commands
from .processes import HEYFLEET, adds_up

COMMANDS = heyfleet_commands("docs/how-to/deploy-local.md")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEYFLEET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return tmp_path / "home"


def heyfleet(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    run = subprocess.run([*HEYFLEET, *arguments], cwd=cwd, capture_output=True, text=True, check=False)
    assert "Traceback" not in run.stderr, run.stderr
    return run


def left(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "runs").iterdir()) if (home / "runs").exists() else []


def test_every_command_of_the_guide(home: Path, tmp_path: Path, start_faulty: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    url = start_faulty().url("/ok")
    controller: subprocess.Popen[str] | None = None
    said = []
    try:
        for command in COMMANDS:
            line = command.replace("http://localhost:8080/", url).replace(
                "127.0.0.1:7700", f"127.0.0.1:{port}"
            )
            words = shlex.split(line.removesuffix(" &"))
            if command.endswith(" &"):
                controller = subprocess.Popen(
                    [*HEYFLEET, *words],
                    cwd=tmp_path,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    text=True,
                )
                assert controller.stderr is not None
                assert "listening" in controller.stderr.readline()
                continue
            run = heyfleet(*words, cwd=tmp_path)
            assert run.returncode == 0, (line, run.stdout, run.stderr)
            said.append(run.stdout + run.stderr)
    finally:
        if controller is not None:
            controller.send_signal(signal.SIGTERM)
            controller.communicate(timeout=20)
    found = "\n".join(said)
    assert found.count("[200]\t3000 responses") == 2
    assert "cost: nothing (this host is yours)" in found
    assert "3 of 3 agents have joined" in found
    assert re.search(r"fleet\.3 +running +10 min +joined", found)
    assert "local-2: heyfleet agent: joined" in found
    assert "removed agent fleet.3" in found
    assert left(home) == []


def test_too_few_by_wish_or_by_mistake(home: Path) -> None:
    for flags, complaint in (
        (["--on", "local"], "needs a number of agents; use --agents N"),
        (
            ["--on", "local", "--agents", "1", "--min-agents", "2"],
            "--min-agents 2 is more than the fleet's 1",
        ),
        (["--on", "local", "--agents", "1", "--repeat", "2"], "--on launches agents for one"),
        (
            ["--on", "local", "--agents", "1", "--controller", "x"],
            "--controller and --on or --fleet-file exclude each other",
        ),
        (["--keep"], "--keep needs --on or --fleet-file"),
        (["--join", "x:1"], "--join needs --on or --fleet-file"),
    ):
        run = heyfleet("run", *flags, "http://127.0.0.1:1/")
        assert (run.returncode, run.stdout) == (2, ""), flags
        assert complaint in run.stderr
    assert left(home) == []


def test_a_plan_that_agents_refuse_leaves_nothing(home: Path) -> None:
    run = heyfleet(
        "run", "--on", "local", "--agents", "2", "-c", "9999999", "-n", "9999999", "http://127.0.0.1:1/"
    )
    assert run.returncode == 2
    assert "file descriptors" in run.stderr
    assert left(home) == []


def running(url: str) -> subprocess.Popen[str]:
    """A run of two agents that goes on for a minute."""
    flags = ["--on", "local", "--agents", "2", "-z", "60s", "-c", "2"]
    process = subprocess.Popen(
        [*HEYFLEET, "run", "--json", *flags, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "running: " in line:
            break
    return process


def test_the_fleet_of_a_killed_run_is_removed_by_another_command(home: Path, start_faulty: Any) -> None:
    process = running(start_faulty().url("/ok"))
    process.kill()
    process.communicate()
    runs = left(home)
    assert len(runs) == 2
    reaped = heyfleet("fleet", "reap", "--on", "local", "--all")
    assert reaped.stdout.splitlines() == [f"removed agent {run}" for run in runs]
    assert left(home) == []


def test_interrupted_it_reports_and_leaves_nothing(home: Path, start_faulty: Any) -> None:
    process = running(start_faulty().url("/ok"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    adds_up(json.loads(out))
    assert left(home) == []


def test_one_that_ended_is_replaced_by_one_of_its_name(home: Path, tmp_path: Path, start_faulty: Any) -> None:
    (tmp_path / "fleet.yaml").write_text("on: local\nagents: 1\nname: demo\n")
    for _ in range(2):
        flags = ["--fleet-file", str(tmp_path / "fleet.yaml"), "--keep", "-n", "10", "-c", "1"]
        run = heyfleet("run", *flags, start_faulty().url("/ok"))
        assert run.returncode == 0, run.stderr
        assert "the fleet demo is kept; `heyfleet fleet down" in run.stderr
        assert left(home) == ["demo.1"]
    down = heyfleet("fleet", "down", "--fleet-file", str(tmp_path / "fleet.yaml"))
    assert down.stdout == "removed agent demo.1\n"
    assert left(home) == []


def test_a_fleet_that_can_t_join_is_taken_down_again(home: Path, tmp_path: Path) -> None:
    assert heyfleet("ca", "init", "fleet", cwd=tmp_path).returncode == 0
    flags = ["--on", "local", "--count", "1", "--credentials", "fleet"]
    run = heyfleet("fleet", "up", *flags, "--controller", "127.0.0.1:9", cwd=tmp_path)
    assert run.returncode == 2
    assert "the controller at 127.0.0.1:9 can't be reached" in run.stderr
    run = heyfleet("fleet", "up", *flags, cwd=tmp_path)
    assert "--controller HOST:PORT is missing" in run.stderr
    assert left(home) == []
