"""Load generators: their command lines, and how to read the number of requests from their output.

To add one, write a subclass of Peer and list it in PEERS.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from bench.errors import BenchError

SOURCE = Path(__file__).with_name("bare_loop.c")
BUILD = Path(__file__).parent.parent / "build" / "bench"
HEYFLEET = (sys.executable, "-m", "heyfleet")


class Peer(ABC):
    """A load generator with one thread, and one request at a time on each of its connections."""

    name: str
    package: str | None = None
    executable: str | None = None
    env: Mapping[str, str] = MappingProxyType({})

    def prepare(self) -> None:
        """Make sure that it can be started.

        Raises BenchError if it is not installed.
        """
        if self.executable is not None and shutil.which(self.executable) is None:
            raise BenchError(
                f"{self.executable} is missing; install Debian's package {self.package} (make bench does it)"
            )

    @abstractmethod
    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line."""

    @abstractmethod
    def reported(self, output: str) -> int | None:
        """Read the number of responses from its output; None where it cannot know."""


class Heyfleet(Peer):
    """heyfleet on one of its I/O backends."""

    def __init__(self, io: str) -> None:
        self.io = io
        self.name = f"heyfleet {io}"

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line."""
        load = ("-c", str(connections), "-z", f"{seconds:g}s", "-cpus", "1")
        return [*HEYFLEET, "run", *load, "--io", self.io, "--json", url]

    def reported(self, output: str) -> int:
        """Read the responses in the ledger."""
        return int(json.loads(output)["ledger"]["responses"])


class Wrk(Peer):
    """wrk, a C program that uses epoll."""

    name = "wrk"
    package = executable = "wrk"

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """Return the command line; wrk accepts whole seconds only."""
        return ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", url]

    def reported(self, output: str) -> int:
        """Read the line "123 requests in 4.00s"."""
        match = re.search(r"(\d+) requests in ", output)
        if not match:
            raise BenchError(f"wrk printed no number of requests: {output[-200:]!r}")
        return int(match[1])


class Hey(Peer):
    """hey, whose command line heyfleet follows."""

    name = "hey"
    package = executable = "hey"
    env = MappingProxyType({"GOMAXPROCS": "1"})
    MOST_RESULTS = 1_000_000  # hey discards further results

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line."""
        return ["hey", "-c", str(connections), "-z", f"{seconds:g}s", "-cpus", "1", url]

    def reported(self, output: str) -> int | None:
        """Sum up the status codes, unless hey discarded results."""
        responses = sum(int(count) for count in re.findall(r"\[\d+\]\s+(\d+) responses", output))
        return responses if responses < self.MOST_RESULTS else None


class BareLoop(Peer):
    """A C loop without parser, clock and histogram (bench/bare_loop.c); compiled when first used."""

    def __init__(self, io: str) -> None:
        self.io = io
        self.name = f"bare loop {io}"
        self._binary = BUILD / "bare_loop"

    def prepare(self) -> None:
        """Compile it if its source is newer than the binary.

        Raises BenchError with the compiler's output.
        """
        if self._binary.exists() and self._binary.stat().st_mtime > SOURCE.stat().st_mtime:
            return
        BUILD.mkdir(parents=True, exist_ok=True)
        compiler = os.environ.get("CC", "gcc")
        command = [compiler, "-O3", "-Wall", "-Wextra", str(SOURCE), "-o", str(self._binary), "-luring"]
        try:
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        except FileNotFoundError:
            raise BenchError(
                f"{compiler} is missing; install Debian's packages gcc and liburing-dev"
            ) from None
        if done.returncode != 0:
            raise BenchError(f"bench/bare_loop.c does not compile: {done.stderr[-1000:]}")

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """Return the command line; the loop needs only the port."""
        epoll = ["-e"] if self.io == "epoll" else []
        load = ["-c", str(connections), "-z", f"{seconds:g}"]
        return [str(self._binary), *epoll, *load, str(urlsplit(url).port)]

    def reported(self, output: str) -> int:
        """Read its only output, a number."""
        return int(output)


PEERS: tuple[Peer, ...] = (
    Heyfleet("io_uring"),
    Heyfleet("epoll"),
    Wrk(),
    Hey(),
    BareLoop("io_uring"),
    BareLoop("epoll"),
)
