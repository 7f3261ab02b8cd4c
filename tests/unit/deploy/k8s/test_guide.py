"""The commands of docs/how-to/deploy-k8s.md, but for counts: agents are real, API server and nodes are doubles."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
from pathlib import Path

from tests.conftest import Faulty
from tests.fleet.processes import HEYFLEET
from tests.pages import heyfleet_commands

from .kubelet import Kubelet
from .server import Double
from .test_provider import double

__all__ = ["double"]

COMMANDS = heyfleet_commands("docs/how-to/deploy-k8s.md")
AGENTS = 2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def said_by(command: str, environment: dict[str, str], folder: Path) -> str:
    run = subprocess.run(
        [*HEYFLEET, *shlex.split(command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, (command, run.stdout, run.stderr)
    return run.stdout + run.stderr


def test_every_command(double: Double, tmp_path: Path) -> None:
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config")}
    port = free_port()
    said_by("ca init fleet", environment, tmp_path)
    controller = subprocess.Popen(
        [*HEYFLEET, "controller", "--listen", f"127.0.0.1:{port}", "--credentials", "fleet"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert controller.stderr is not None
    assert "listening" in controller.stderr.readline()
    target = Faulty()
    found: dict[str, str] = {}
    try:
        with Kubelet(double, tmp_path) as kubelet:
            for command in COMMANDS:
                line = re.sub(r"--(count|agents) 20", rf"--\1 {AGENTS}", command)
                line = re.sub(r"-z 30s -c 3000 \S+", f"-n 300 -c 4 {target.url('/ok')}", line)
                if line.startswith("run "):
                    own = free_port()
                    line = line.replace("boss:7700", f"127.0.0.1:{own} --listen 127.0.0.1:{own}")
                line = line.replace("boss:7700", f"127.0.0.1:{port}")
                found[command] = said_by(line, environment, tmp_path)
    finally:
        target.stop()
        controller.send_signal(signal.SIGTERM)
        controller.communicate(timeout=20)
    dry, up, status, logs, down, reap, run = found.values()
    assert "Job heyfleet-demo in namespace load" in dry
    assert f"{AGENTS} of {AGENTS} agents have joined" in up
    assert status.count("running") == AGENTS
    assert "heyfleet-demo-0001-x: said by heyfleet-demo-0001-x" in logs
    assert "Job heyfleet-demo" in down
    assert reap == "nothing to remove\n"
    assert "[200]\t300 responses" in run
    assert f"{AGENTS} asked, {AGENTS} took part, 0 lost" in run
    assert kubelet.started == 2 * AGENTS
    assert double.left() == []


def test_pods_that_end_are_named(double: Double, tmp_path: Path) -> None:
    # Nobody listens where they are told to join, so that they never come; and one is not made at all.
    environment = {**os.environ, "KUBECONFIG": str(tmp_path / "config")}
    double.refusals["POST", "secrets"] = (403, "forbidden")
    command = f"run --on k8s --agents 1 --with image=x:1 --with namespace=load --join 127.0.0.1:{free_port()}"
    run = subprocess.run(
        [*HEYFLEET, *shlex.split(command), "--listen", "127.0.0.1:0", "http://127.0.0.1:1/"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert run.returncode == 2
    assert "ask for the Role that --dry-run prints" in run.stderr
    assert double.left() == []
