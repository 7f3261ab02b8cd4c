"""Run the commands of a page one after the other, as written."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from .hosts import Hosts

_READY_S = 60.0
# What a command in the background says when others can begin.
_READY = re.compile(r"listening|heyfleet agent --join")


def run_all(
    lines: list[str],
    folder: Path,
    environment: Mapping[str, str],
    prefix: Callable[[str], tuple[str, ...]] = lambda line: (),
    timeout_s: float = 180,
) -> dict[str, str]:
    """What each has said; each must end well, those with an `&` after the others. `prefix` says where one is run."""
    background: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
    said: dict[str, str] = {}
    try:
        for number, line in enumerate(lines):
            plain = line.removesuffix(" &")
            shell = ["bash", "-c", f"exec {plain}" if plain.startswith("heyfleet") else plain]
            output = folder / f"output-{number}"
            with output.open("wb") as file:
                process = subprocess.Popen(
                    [*prefix(line), *shell],
                    cwd=folder,
                    env=dict(environment),
                    stdin=subprocess.DEVNULL,
                    stdout=file,
                    stderr=file,
                )
            if line.endswith(" &"):
                background[line] = process, output
                _until_ready(process, output)
                continue
            process.wait(timeout_s)
            said[line] = output.read_text()
            assert process.returncode == 0, (line, said[line])
    finally:
        for process, _ in background.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
    return said | {line: output.read_text() for line, (_, output) in background.items()}


def _until_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _READY_S
    while not _READY.search(output.read_text()):
        assert process.poll() is None, output.read_text()
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.1)


def on_host(network: Hosts, number: int, folder: Path, names: Mapping[str, str]) -> tuple[str, ...]:
    """What to put before a command that is to run on a host where these names are known, as they would be by DNS.

    Only the network is the host's; /sys stays, since containers want their cgroups.
    """
    file = folder / f"hosts-{number}"
    file.write_text(
        "".join(f"{address} {name}\n" for name, address in {"localhost": "127.0.0.1", **names}.items())
    )
    enter = ("nsenter", f"--net=/run/netns/{network.space(number)}", "unshare", "--mount")
    return (*enter, "sh", "-c", f'mount --bind {file} /etc/hosts && exec "$@"', "sh")
