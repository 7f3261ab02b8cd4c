"""User-space instructions per request: the difference of two runs of different length under valgrind's callgrind."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bench.errors import BenchError
from bench.measure import run_pinned
from bench.peers import HEYFLEET

SHORT_REQUESTS, LONG_REQUESTS = 10_000, 20_000


def parse_total(profile: str) -> int:
    """Read the total number of instructions from a callgrind profile."""
    totals = re.findall(r"^(?:summary|totals): (\d+)", profile, re.MULTILINE)
    if not totals:
        raise BenchError("callgrind wrote no total")
    return int(totals[-1])


def count_instructions(
    url: str, io: str, requests: int, connections: int, core: int, *, env: Mapping[str, str]
) -> int:
    """Count the instructions of one heyfleet process that sends this many requests."""
    load = ("-n", str(requests), "-c", str(connections), "-cpus", "1", "--io", io)
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder, "callgrind.out")
        tool = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={profile}")
        # A random hash seed orders Python's sets anew in each process, which changes the number of instructions.
        run_pinned([*tool, *HEYFLEET, "run", *load, url], core, {"PYTHONHASHSEED": "0", **env})
        return parse_total(profile.read_text())


def instructions_per_request(
    url: str, io: str, connections: int, core: int, env: Mapping[str, str] = MappingProxyType({})
) -> float:
    """Count the instructions that each request beyond the first 10,000 adds.

    `env` selects another build by its PYTHONPATH. Raises BenchError when valgrind is missing.
    """
    if shutil.which("valgrind") is None:
        raise BenchError("valgrind is missing; install Debian's package valgrind (make bench does it)")
    short = count_instructions(url, io, SHORT_REQUESTS, connections, core, env=env)
    long = count_instructions(url, io, LONG_REQUESTS, connections, core, env=env)
    return (long - short) / (LONG_REQUESTS - SHORT_REQUESTS)
