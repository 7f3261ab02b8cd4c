"""User-space instructions of a request: the difference of two runs of different length under valgrind's callgrind."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

from bench.errors import BenchError
from bench.measure import run_pinned
from bench.peers import HEYFLEET

SHORT_REQUESTS, LONG_REQUESTS = 10_000, 20_000


def parse_total(profile: str) -> int:
    """The instructions of a whole callgrind profile."""
    totals = re.findall(r"^(?:summary|totals): (\d+)", profile, re.MULTILINE)
    if not totals:
        raise BenchError("callgrind wrote no total")
    return int(totals[-1])


def count_instructions(url: str, io: str, requests: int, connections: int, core: int) -> int:
    """All instructions of one heyfleet process that sends so many requests."""
    load = ("-n", str(requests), "-c", str(connections), "-cpus", "1", "--io", io)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "callgrind.out")
        tool = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}")
        # Without it, sets of Python's start take another order, and number of instructions, in each process.
        run_pinned([*tool, *HEYFLEET, "run", *load, url], core, {"PYTHONHASHSEED": "0"})
        return parse_total(profile.read_text())


def instructions_per_request(url: str, io: str, connections: int, core: int) -> float:
    """What each request beyond the first 10,000 adds.

    Raises BenchError when valgrind is missing.
    """
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is missing; install Debian's package valgrind (make bench does it)")
    short = count_instructions(url, io, SHORT_REQUESTS, connections, core)
    long = count_instructions(url, io, LONG_REQUESTS, connections, core)
    return (long - short) / (LONG_REQUESTS - SHORT_REQUESTS)
