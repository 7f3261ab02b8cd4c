"""Ctrl-C at any moment ends a command without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import IO, Any

import pytest

# Python names each module that it has imported: instants of the start that don't depend on how fast the host is.
HEYFLEET = [sys.executable, "-X", "importtime", "-m", "heyfleet"]
# Each command, and what ends it soon where it would go on for ever.
COMMANDS = {
    "run": (["run", "-c", "2", "URL", "-z", "1h"], ["-z", "20ms"]),
    "local agents": (["run", "-c", "2", "--local-agents", "2", "URL", "-z", "1h"], ["-z", "20ms"]),
    "agents": (["run", "--agents", "2", "--listen", "127.0.0.1:0", "URL"], ["--join-timeout", "20ms"]),
    "compare": (["compare", "a", "b"], []),
    "export": (["export", "a", "--as", "html"], []),
    "fleet": (["fleet", "settings", "--on", "ec2"], []),
    "help": (["--help"], []),
    "lab": (["lab", "faulty", "--port", "0"], ["--help"]),
    "doctor": (["doctor"], []),
}
INSTANTS = 12


def is_import(line: str) -> bool:
    return line.startswith("import time:")


def read_imports(stderr: IO[str], count: int) -> None:
    """Read the lines of this many imports, or all if there are fewer."""
    while count and (line := stderr.readline()):
        count -= is_import(line)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_interrupt_during_the_start(faulty: Any, name: str) -> None:
    words, ending = COMMANDS[name]
    command = [faulty.url("/ok") if word == "URL" else word for word in words]
    listed = subprocess.run(
        [*HEYFLEET, *command, *ending], capture_output=True, text=True, check=False, timeout=100
    )
    imports = [line for line in listed.stderr.splitlines() if is_import(line)]
    # Before the first module of click, Python itself starts; the last ones may be imported at the end of a command.
    first = next(number for number, line in enumerate(imports) if "click" in line) + 1
    last = first + (len(imports) - first) * 3 // 4
    for count in range(first, last, max((last - first) // INSTANTS, 1)):
        process = subprocess.Popen(
            [*HEYFLEET, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        read_imports(process.stderr, count)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
        said = [line for line in rest.splitlines() if not is_import(line)]
        assert not any(word in line for line in said for word in ("Traceback", "ignored", "fault:")), said
        # A command that waits for nothing may have ended before.
        ended = () if "1h" in command else (listed.returncode,)
        assert process.returncode in (130, -signal.SIGINT, *ended)
