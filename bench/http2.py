"""HTTP/2 beside h2load, against two servers: its sibling nghttpd, and nginx.

nghttpd writes several responses at once. nginx writes each by itself, so that a client with a core to spare wakes up for each,
which is most of its cost. nghttpd shows what a client is capable of, nginx what it does with a common server.
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
START_TIMEOUT_S = 60


class Nghttpd:
    """A running nghttpd that serves five bytes over TLS, pinned to one core; a context manager."""

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
        """Wait until nghttpd responds."""
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
        """Stop nghttpd."""
        self.stop()

    def stop(self) -> None:
        """Stop nghttpd and remove its files."""
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder)


def compare(
    server: Nginx | Nghttpd, concurrency: tuple[int, int], seconds: float, core: int, rounds: int
) -> list[Spread]:
    """Compute requests per client CPU-second of each heyfleet backend, with h2load as 1, by each tool's own count.

    `concurrency` is the number of connections and the number of streams on each.
    """
    connections, streams = concurrency

    def player(command: list[str]) -> Callable[[], Run]:
        return lambda: _counted(run_pinned(command, core))

    url = server.http2_url
    load = ("-c", str(connections), "--streams", str(streams), "-z", f"{seconds:g}s", "-cpus", "1", "--json")
    commands = {
        f"heyfleet {io}": [*HEYFLEET, "run", *load, "-h2", "--cacert", server.certificate, "--io", io, url]
        for io in ("io_uring", "epoll")
    }
    commands[PEER] = [PEER, "-t1", f"-c{connections}", f"-m{streams}", f"-D{round(seconds)}", url]
    runs = interleave({name: player(command) for name, command in commands.items()}, rounds)
    return [efficiency(runs, ours, PEER) for ours in OURS]


def _counted(run: Run) -> Run:
    """Return the run with its number of responses."""
    if run.output.startswith("{"):
        return replace(run, requests=sum(json.loads(run.output)["statuses"].values()))
    match = re.search(r"(\d+) succeeded", run.output)
    if not match or match[1] == "0":
        raise BenchError(f"{PEER} printed no number of requests: {run.output[-300:]!r}")
    return replace(run, requests=int(match[1]))
