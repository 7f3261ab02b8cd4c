"""The load generators: how each is called, and how many requests it says it made.

A new one is a subclass of Peer and a line in PEERS.
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
    """A load generator with one thread: `connections` at once, each with one request at a time, for `seconds`."""

    name: str
    package: str | None = None
    executable: str | None = None
    env: Mapping[str, str] = MappingProxyType({})

    def prepare(self) -> None:
        """Make sure that it can be started.

        Raises BenchError when it is not installed.
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
        """The number of responses that it claims; None where it cannot know."""


class Heyfleet(Peer):
    """Ourselves, on one of the backends."""

    def __init__(self, io: str) -> None:
        self.io = io
        self.name = f"heyfleet {io}"

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line."""
        load = ("-c", str(connections), "-z", f"{seconds:g}s", "-cpus", "1")
        return [*HEYFLEET, "run", *load, "--io", self.io, "--json", url]

    def reported(self, output: str) -> int:
        """The responses of the ledger."""
        return int(json.loads(output)["ledger"]["responses"])


class Wrk(Peer):
    """wrk, a C program on epoll."""

    name = "wrk"
    package = executable = "wrk"

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line; wrk knows whole seconds only."""
        return ["wrk", "-t1", f"-c{connections}", f"-d{round(seconds)}s", url]

    def reported(self, output: str) -> int:
        """The line "123 requests in 4.00s"."""
        found = re.search(r"(\d+) requests in ", output)
        if not found:
            raise BenchError(f"wrk printed no number of requests: {output[-200:]!r}")
        return int(found[1])


class Hey(Peer):
    """hey, whose command line we follow."""

    name = "hey"
    package = executable = "hey"
    env = MappingProxyType({"GOMAXPROCS": "1"})
    MOST_RESULTS = 1_000_000  # hey forgets those beyond

    def command(self, url: str, connections: int, seconds: float) -> list[str]:
        """The command line."""
        return ["hey", "-c", str(connections), "-z", f"{seconds:g}s", "-cpus", "1", url]

    def reported(self, output: str) -> int | None:
        """The sum of the status codes, unless results were dropped."""
        responses = sum(int(count) for count in re.findall(r"\[\d+\]\s+(\d+) responses", output))
        return responses if responses < self.MOST_RESULTS else None


class BareLoop(Peer):
    """Our C loop without parser, clock and histogram; compiled when first used."""

    def __init__(self, io: str) -> None:
        self.io = io
        self.name = f"bare loop {io}"
        self._binary = BUILD / "bare_loop"

    def prepare(self) -> None:
        """Compile it, unless that was done since its last change.

        Raises BenchError with the compiler's words.
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
        """The command line; the loop wants only the port."""
        epoll = ["-e"] if self.io == "epoll" else []
        load = ["-c", str(connections), "-z", f"{seconds:g}"]
        return [str(self._binary), *epoll, *load, str(urlsplit(url).port)]

    def reported(self, output: str) -> int:
        """All that it prints."""
        return int(output)


PEERS: tuple[Peer, ...] = (
    Heyfleet("io_uring"),
    Heyfleet("epoll"),
    Wrk(),
    Hey(),
    BareLoop("io_uring"),
    BareLoop("epoll"),
)
