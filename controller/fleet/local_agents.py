"""Agent processes on this host, dialling in on a socket file like any agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

from heyfleet.proto.protocol import LOCAL_PREFIX

_LEAVE_S = 5.0
# Long enough for a controller that is slow for once; no longer, since this one never comes back.
_REJOIN_TIMEOUT = "15s"


def workers_each(agents: int) -> int:
    """Threads for each of so many agents, so that all together have as many as there are cores."""
    return max(1, len(os.sched_getaffinity(0)) // agents)


class LocalAgents:
    """A context in which they run; at its end they are gone, and so is the socket's folder."""

    def __init__(self, count: int, spool: str = "") -> None:
        self._count = count
        self._spool = spool
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        # Only this user may enter it, and so connect.
        self._folder = Path(tempfile.mkdtemp(prefix="heyfleet-"))

    @property
    def address(self) -> str:
        """Where the controller should listen."""
        return f"{LOCAL_PREFIX}{self._folder / 'socket'}"

    async def __aenter__(self) -> Self:
        return self

    async def start(self) -> None:
        """Start all of them; they find the controller by themselves."""
        for number in range(1, self._count + 1):
            name = f"local-{number}"
            keep = ["--spool", self._spool, "--keep-results"] if self._spool else []
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heyfleet", "agent", "--join", self.address, "--name", name),
                *("--rejoin-timeout", _REJOIN_TIMEOUT, "--quiet", *keep),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the controller, which then stops them in order
            )

    def died(self, agent: str) -> str:
        """Why an agent can't come back, or nothing."""
        process = self._processes.get(agent)
        if process is None or process.returncode is None:
            return ""
        code = process.returncode
        return (
            f"its process was killed by signal {-code}"
            if code < 0
            else f"its process ended with exit code {code}"
        )

    def absent(self) -> list[str]:
        """Which agents have ended, and how."""
        return [f"{name}: {why}" for name in self._processes if (why := self.died(name))]

    async def __aexit__(self, *error: object) -> None:
        for process in self._processes.values():
            try:
                await asyncio.wait_for(process.wait(), _LEAVE_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)
