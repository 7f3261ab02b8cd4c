"""Run the commands of a page as written, against servers that stand in for the page's own.

What differs from the page: hosts and ports are those of the stand-ins, and loads are shorter and smaller.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..pages import ROOT
from ..ports import free_port

READY_S = 60.0
_READY = re.compile(r"listening|copy .* to each host")
# The load of a page takes too long for a test, and may be more than a test machine carries.
SMALLER = (
    (re.compile(r"(?<= -z )\S+"), "300ms"),
    (re.compile(r"(?<= --warmup )\S+"), "100ms"),
    (re.compile(r"\b\d+[sm](?=:\d)"), "100ms"),  # stages
    (re.compile(r"(?<= -n )\d{4,}"), "400"),
    (re.compile(r"(?<= -c )\d{3,}"), "20"),
    (re.compile(r"(?<= --users )\d{3,}"), "20"),
    (re.compile(r"(?<=--repeat )\d+"), "3"),
)
# A short run on a busy machine may miss a threshold, or differ from another.
# A search may be interrupted when it has ended already; a process on its way out dies of the signal itself.
_INTERRUPTED = {130, -signal.SIGINT}
EXIT_CODES = {
    " --slo ": {0, 5},
    " --abort-on ": {0, 5},
    " --find-max ": {0, 5, *_INTERRUPTED},
    " --fail-if ": {0, 6},
}


class PageRunner:
    """A folder, an environment and stand-ins by the text that they replace."""

    def __init__(self, folder: Path, stand_ins: dict[str, str]) -> None:
        self.folder = folder
        self.stand_ins = stand_ins
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HEYFLEET_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SSL_CERT_FILE": str(folder / "ca.pem"),
        }
        self._background: list[tuple[subprocess.Popen[bytes], Path]] = []
        self._outputs = 0

    def run(self, line: str) -> str:
        """Run one command of a page and return its output; AssertionError where its exit code is not a good one."""
        if line.startswith("make "):
            return self._finish(self.start(f"make -n {line.removeprefix('make ')}", ROOT), line)
        if line.startswith("heyfleet lab "):
            return self._start_lab(line.removesuffix(" &"))
        command = self._adapted(line.removesuffix(" &"))
        if " --on ssh " in command:
            command += " --dry-run"
        if " -f examples/" in command:
            command += f" http://{self.stand_ins['127.0.0.1:8080']}/"
        started = self.start(command, self.folder)
        if agents := re.search(r" --agents (\d+) --listen (\S+)", command):
            self.until_ready(*started)
            self.start_agents(int(agents[1]), agents[2], "join")
        if line.endswith(" &"):
            self.until_ready(*started)
            return ""
        return self._finish(started, line)

    def start(self, command: str, folder: Path) -> tuple[subprocess.Popen[bytes], Path]:
        """Start a command; its output goes to a file."""
        self._outputs += 1
        output = self.folder / f"output-{self._outputs}"
        words = ["bash", "-c", f"exec {command}" if command.startswith("heyfleet ") else command]
        with output.open("wb") as file:
            process = subprocess.Popen(
                words, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=file, stderr=file
            )
        self._background.append((process, output))
        return process, output

    def start_agents(self, count: int, address: str, credentials: str) -> None:
        """Start agents that join with the files that a command wrote."""
        files = f"--ca {credentials}/ca.pem --token-file {credentials}/join.token"
        for number in range(count):
            self.start(f"heyfleet agent --join {address} {files} --spool spool-{number}", self.folder)

    def until_ready(self, process: subprocess.Popen[bytes], output: Path) -> None:
        """Wait until a command in the background has said that others can begin."""
        deadline = time.monotonic() + READY_S
        while not _READY.search(output.read_text()):
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End everything that still runs."""
        for process, _ in self._background:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process, _ in self._background:
            process.wait(30)

    def _start_lab(self, line: str) -> str:
        port = free_port()
        page_port = port_of[1] if (port_of := re.search(r" --port (\d+)", line)) else "8080"
        command = re.sub(r" --port \d+", "", line) + f" --port {port}"
        self.until_ready(*self.start(command, self.folder))
        self.stand_ins = {
            **self.stand_ins,
            f"localhost:{page_port}": f"localhost:{port}",
            f"127.0.0.1:{page_port}": f"127.0.0.1:{port}",
        }
        return ""

    def _adapted(self, line: str) -> str:
        for pattern, smaller in SMALLER:
            line = pattern.sub(smaller, line)
        for text, stand_in in self.stand_ins.items():
            line = line.replace(text, stand_in)
        return line

    def _finish(self, started: tuple[subprocess.Popen[bytes], Path], line: str) -> str:
        process, output = started
        # A search on a busy machine may find no rate for a long time; interrupting it is a regular end.
        if " --find-max " in line:
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.send_signal(signal.SIGINT)
        process.wait(120)
        text = output.read_text()
        good = next((codes for flag, codes in EXIT_CODES.items() if flag in line), {0})
        assert process.returncode in good, (line, text)
        return text
