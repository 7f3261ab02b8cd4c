"""Running a command on one core, and what it cost; comparing rounds of such runs."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bench.errors import BenchError


@dataclass(frozen=True)
class Run:
    """One run of one command. CPU times are those of the whole process, from its start to its exit."""

    user_s: float
    system_s: float
    wall_s: float
    output: str
    requests: int = 0

    @property
    def cpu_s(self) -> float:
        """User and system time."""
        return self.user_s + self.system_s

    @property
    def cpu_us_per_request(self) -> float:
        """Client CPU time of one request, in microseconds."""
        return self.cpu_s * 1e6 / self.requests

    @property
    def user_us_per_request(self) -> float:
        """The user part of it; the kernel may only estimate how the sum is divided."""
        return self.user_s * 1e6 / self.requests


Round = Mapping[str, Run]


class Spread(NamedTuple):
    """The median of several measurements, and their range."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Median, lowest and highest of at least one value."""
    known = list(values)
    return Spread(statistics.median(known), min(known), max(known))


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command, bound to one core with all that it starts."""
    return ["taskset", "-c", str(core), *command]


def two_cores() -> tuple[int, int]:
    """The core of the load generator and that of the server.

    Raises BenchError where there is only one.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise BenchError("two cores are needed: one for the load generator, one for the server")
    return cores[0], cores[1]


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the hard limit allows."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def run_pinned(command: Sequence[str], core: int, extra_env: Mapping[str, str] | None = None) -> Run:
    """Run a command on one core to its end.

    Raises BenchError with the end of its error output when it exits with another code than 0.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        start = time.perf_counter()
        env = {**os.environ, **(extra_env or {})}
        process = subprocess.Popen(pinned(command, core), stdout=out, stderr=err, env=env)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            words = err.read().decode(errors="replace").strip()[-1000:] or "no error output"
            raise BenchError(f"{' '.join(command)}: exit code {process.returncode}: {words}")
        return Run(usage.ru_utime, usage.ru_stime, wall_s, out.read().decode(errors="replace"))


def run_counted(
    command: Sequence[str], core: int, extra_env: Mapping[str, str], count_served: Callable[[], int]
) -> Run:
    """Run a command that sends requests; the server says how many it got."""
    before = count_served()
    run = run_pinned(command, core, extra_env)
    requests = count_served() - before
    if requests <= 0:
        raise BenchError(f"{' '.join(command)}: the server got no request")
    return replace(run, requests=requests)


def interleave(players: Mapping[str, Callable[[], Run]], rounds: int) -> list[Round]:
    """Let all run once, in order, then all again: what disturbs the machine for a while disturbs all alike."""
    return [{name: play() for name, play in players.items()} for _ in range(rounds)]


def efficiency(rounds: Sequence[Round], name: str, peer: str) -> Spread:
    """Requests per client CPU-second of one, the other = 1: the ratio in each round, then their median."""
    return spread(each[peer].cpu_us_per_request / each[name].cpu_us_per_request for each in rounds)
