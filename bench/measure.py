"""Run commands on one core, measure their CPU time, and compare rounds of such runs."""

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
    """A run of one command. CPU times cover the whole process, from its start to its exit."""

    user_s: float
    system_s: float
    wall_s: float
    output: str
    requests: int = 0

    @property
    def cpu_s(self) -> float:
        """Sum of user and system time."""
        return self.user_s + self.system_s

    @property
    def cpu_us_per_request(self) -> float:
        """Client CPU time per request, in microseconds."""
        return self.cpu_s * 1e6 / self.requests

    @property
    def user_us_per_request(self) -> float:
        """User part of the CPU time per request; the kernel may estimate how the sum is divided."""
        return self.user_s * 1e6 / self.requests


Round = Mapping[str, Run]


class Spread(NamedTuple):
    """Median and range of several measurements."""

    median: float
    low: float
    high: float


def spread(values: Iterable[float]) -> Spread:
    """Compute the median, the lowest and the highest of at least one value."""
    items = list(values)
    return Spread(statistics.median(items), min(items), max(items))


def pinned(command: Sequence[str], core: int) -> list[str]:
    """The command, bound to one core with all that it starts."""
    return ["taskset", "-c", str(core), *command]


def two_cores() -> tuple[int, int]:
    """Return the core for the load generator and the one for the server.

    Raises BenchError if this process may use only one.
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
    """Run a command on one core until it ends.

    Raises BenchError with the end of its error output if its exit code is not 0.
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
    """Run a command that sends requests; the server counts them."""
    before = count_served()
    run = run_pinned(command, core, extra_env)
    requests = count_served() - before
    if requests <= 0:
        raise BenchError(f"{' '.join(command)}: the server received no request")
    return replace(run, requests=requests)


def interleave(players: Mapping[str, Callable[[], Run]], rounds: int) -> list[Round]:
    """Run all once, in order, then all again, so that a disturbance of the machine affects all alike."""
    return [{name: play() for name, play in players.items()} for _ in range(rounds)]


def efficiency(rounds: Sequence[Round], name: str, peer: str) -> Spread:
    """Compute requests per client CPU-second of `name`, with `peer` as 1, in each round."""
    return spread(each[peer].cpu_us_per_request / each[name].cpu_us_per_request for each in rounds)
