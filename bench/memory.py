"""Memory of a heyfleet process by number of open connections."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

from bench.errors import BenchError
from bench.measure import pinned
from bench.peers import HEYFLEET
from bench.target import Nginx

FEWER, MORE = 1_000, 15_000
OPEN_TIMEOUT_S = 30
WATCH_S = 1.5


def parse_rss(rollup: str) -> int:
    """Read the resident bytes from a /proc smaps_rollup."""
    match = re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)
    if not match:
        raise BenchError("the kernel reports no Rss in smaps_rollup")
    return int(match[1]) * 1024


def _watch(process: subprocess.Popen[bytes], nginx: Nginx, connections: int) -> int:
    """Return the peak memory while all connections are open and each has been used."""
    before = nginx.status().requests
    deadline = time.monotonic() + OPEN_TIMEOUT_S
    while True:
        status = nginx.status()
        if status.connections >= connections and status.requests - before >= connections:
            break
        if process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"heyfleet did not keep {connections:,} connections open")
        time.sleep(0.05)
    most = 0
    end = time.monotonic() + WATCH_S
    while time.monotonic() < end:
        most = max(most, parse_rss(Path(f"/proc/{process.pid}/smaps_rollup").read_text()))
        time.sleep(0.05)
    if nginx.status().connections < connections:
        raise BenchError(f"heyfleet did not keep {connections:,} connections open while its memory was read")
    return most


def rss_bytes(nginx: Nginx, connections: int, core: int) -> int:
    """Measure heyfleet's memory with this many open connections, at one request per second on each."""
    nginx.wait_idle()
    load = ("-c", str(connections), "-q", "1", "-z", f"{OPEN_TIMEOUT_S + 10}s", "-cpus", "1")
    process = subprocess.Popen(
        pinned([*HEYFLEET, "run", *load, nginx.url], core),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return _watch(process, nginx, connections)
    finally:
        process.terminate()
        process.wait()


def bytes_per_connection(nginx: Nginx, core: int) -> float:
    """Measure how many bytes each connection beyond the first 1,000 adds."""
    fewer = rss_bytes(nginx, FEWER, core)
    more = rss_bytes(nginx, MORE, core)
    return (more - fewer) / (MORE - FEWER)
