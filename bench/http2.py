"""HTTP/2 beside h2load, against two servers: its own sibling nghttpd, and nginx.

nghttpd writes the answers that it has together; nginx writes each by itself, so that a client with a core to spare wakes up for
each, and what it costs is mostly that. The first shows what a client can do, the second what it does before a common server.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.errors import BenchError
from bench.measure import Run, Spread, efficiency, interleave, pinned, run_pinned
from bench.peers import HEYFLEET
from bench.target import Nginx, free_ports, make_certificate

OURS = ("heyfleet io_uring", "heyfleet epoll")
PEER = "h2load"
START_TIMEOUT_S = 10


class Nghttpd:
    """A running nghttpd that answers five bytes over TLS, pinned to one core; a context manager."""

    def __init__(self, core: int) -> None:
        executable = shutil.which("nghttpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if executable is None:
            raise BenchError(
                "nghttpd is missing; install Debian's package nghttp2-server (make bench does it)"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="heyfleet-bench-"))
        self.certificate = make_certificate(self._folder)
        (self._folder / "index.html").write_text("hello")
        (self._port,) = free_ports(1)
        files = (str(self._folder / "key.pem"), self.certificate)
        command = [executable, "-d", str(self._folder), "-a", "127.0.0.1", str(self._port), *files]
        self._process = subprocess.Popen(
            pinned(command, core), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @property
    def http2_url(self) -> str:
        """The address of the five bytes."""
        return f"https://localhost:{self._port}/"

    def __enter__(self) -> Self:
        """Wait until it answers."""
        deadline = time.monotonic() + START_TIMEOUT_S
        probe = [PEER, "-n1", "-c1", "-m1", self.http2_url]
        while (
            subprocess.run(probe, capture_output=True, text=True, check=False).stdout.find("1 succeeded") < 0
        ):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise BenchError("nghttpd did not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """Stop it and remove its files."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)


def compare(
    server: Nginx | Nghttpd, shape: tuple[int, int], seconds: float, core: int, rounds: int
) -> list[Spread]:
    """Requests per client CPU-second, h2load = 1, of each of ours; each tool's own count is taken.

    `shape`: connections, and requests at a time on each.
    """
    connections, streams = shape

    def player(command: list[str]) -> Callable[[], Run]:
        return lambda: _counted(run_pinned(command, core))

    url = server.http2_url
    load = ("-c", str(connections), "--streams", str(streams), "-z", f"{seconds:g}s", "-cpus", "1", "--json")
    commands = {
        f"heyfleet {io}": [*HEYFLEET, "run", *load, "-h2", "--cacert", server.certificate, "--io", io, url]
        for io in ("io_uring", "epoll")
    }
    commands[PEER] = [PEER, "-t1", f"-c{connections}", f"-m{streams}", f"-D{round(seconds)}", url]
    measured = interleave({name: player(command) for name, command in commands.items()}, rounds)
    return [efficiency(measured, ours, PEER) for ours in OURS]


def _counted(run: Run) -> Run:
    """The run with the number of its answers."""
    if run.output.startswith("{"):
        return replace(run, requests=sum(json.loads(run.output)["statuses"].values()))
    found = re.search(r"(\d+) succeeded", run.output)
    if not found or found[1] == "0":
        raise BenchError(f"{PEER} said nothing of its requests: {run.output[-300:]!r}")
    return replace(run, requests=int(found[1]))
