"""Agent processes on this host, which dial in on a socket file as remote agents dial in over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Self

from heyfleet.errors import CannotStartError
from heyfleet.proto.protocol import LOCAL_PREFIX

_EXIT_TIMEOUT_S = 5.0
_SOCKET = "socket"
_SOCKET_PATH_BYTES_AT_MOST = 107  # sun_path has 108, and its text ends with a zero
_URI_SIGNS = frozenset("%#?,")  # of gRPC's addresses, which would name another file
_SHORT_FOLDER = "/tmp"  # noqa: S108 (for a private folder in it)


def workers_per_agent(agents: int) -> int:
    """Return the number of threads for each agent, so that all agents together have one for each core."""
    return max(1, len(os.sched_getaffinity(0)) // agents)


class LocalAgents:
    """A context manager for agent processes; on exit the processes and their temporary folder are gone.

    The folder holds the socket, and the spool files unless `spool` names a folder for them. However this process ends,
    the agents notice the end of their stdin, leave, and remove the folder.
    """

    def __init__(self, count: int, spool: str = "") -> None:
        self._count = count
        self._spool = spool
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._folder = _temporary_folder()
        self._lifeline = os.pipe()

    @property
    def address(self) -> str:
        """The address that the controller must listen on."""
        return f"{LOCAL_PREFIX}{self._folder / _SOCKET}"

    async def __aenter__(self) -> Self:
        return self

    async def start(self) -> None:
        """Start all agents. They keep dialling until the controller listens."""
        for number in range(1, self._count + 1):
            name = f"local-{number}"
            spool = ["--spool", self._spool, "--keep-results"] if self._spool else []
            self._processes[name] = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "heyfleet", "agent", "--join", self.address, "--name", name),
                *("--lifeline", str(self._folder), "--quiet", *spool),
                stdin=self._lifeline[0],
                stdout=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C reaches the controller only, which stops the agents in order
            )

    def exit_reason(self, agent: str) -> str:
        """Return how an agent's process ended, or "" while it runs."""
        process = self._processes.get(agent)
        if process is None or process.returncode is None:
            return ""
        if process.returncode < 0:
            return f"its process was killed by signal {-process.returncode}"
        return f"its process ended with exit code {process.returncode}"

    def absent(self) -> list[str]:
        """Return a line `name: reason` for each agent whose process has ended."""
        return [f"{name}: {reason}" for name in self._processes if (reason := self.exit_reason(name))]

    async def __aexit__(self, *error: object) -> None:
        for descriptor in self._lifeline:
            os.close(descriptor)
        for process in self._processes.values():
            try:
                await asyncio.wait_for(process.wait(), _EXIT_TIMEOUT_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _temporary_folder() -> Path:
    """Make a folder whose sockets have a path that gRPC takes as it is; CannotStartError, OSError."""
    for parent in (tempfile.gettempdir(), _SHORT_FOLDER):
        # mkdtemp makes the folder accessible to this user only, which is what protects the socket.
        folder = Path(tempfile.mkdtemp(prefix="heyfleet-", dir=parent))
        path = str(folder / _SOCKET)
        if len(os.fsencode(path)) <= _SOCKET_PATH_BYTES_AT_MOST and not _URI_SIGNS.intersection(path):
            return folder
        folder.rmdir()
    raise CannotStartError(
        f"the path of a socket in {tempfile.gettempdir()} would be too long or have special characters",
        "set TMPDIR to another one",
    )
