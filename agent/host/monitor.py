"""Kernel counters of this host while a load runs, as differences between its start and its end."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from heyfleet.agent.host import limits
from heyfleet.proto.stats_pb2 import HostState

_SCHEDSTAT = Path("/proc/thread-self/schedstat")
_NET = Path("/proc/self/net")
_CGROUPS = Path("/sys/fs/cgroup")
_INTERFACES = Path("/sys/class/net")
_ALLOWANCES = (
    "bw_in_allowance_exceeded",
    "bw_out_allowance_exceeded",
    "pps_allowance_exceeded",
    "conntrack_allowance_exceeded",
    "linklocal_allowance_exceeded",
)


class HostMonitor:
    """Reads counters at the begin and the end of a load. Counters that a host does not have are 0."""

    def __init__(self) -> None:
        self._before: dict[str, int] = {}
        self._allowances: dict[str, int] = {}
        self._fds_used = 0

    def begin(self) -> None:
        """Read every counter."""
        self._before = _counters()
        self._allowances = ena_allowances()
        self._fds_used = limits.open_descriptors()

    def end(self, sources: int) -> HostState:
        """Return the counters' differences since `begin` and the host's resources, for a number of source addresses."""
        now = _counters()
        differences = {name: max(value - self._before.get(name, value), 0) for name, value in now.items()}
        exceeded = {
            name: count - self._allowances.get(name, count)
            for name, count in ena_allowances().items()
            if count > self._allowances.get(name, count)
        }
        return HostState(
            cores=limits.cores(),
            clock_resolution_ns=clock_resolution_ns(),
            fds_allowed=max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 0),
            fds_used=max(self._fds_used, limits.open_descriptors()),
            ports=limits.local_ports() * max(sources, 1),
            allowance_exceeded=exceeded,
            **differences,
        )


def run_queue_wait() -> tuple[int, int]:
    """Return how long (ns) and how often the calling thread waited for a CPU; 0 where the kernel does not say."""
    try:
        _, waited_ns, times = _SCHEDSTAT.read_text().split()
    except (OSError, ValueError):
        return 0, 0
    return int(waited_ns), int(times)


def clock_resolution_ns() -> int:
    """Measure the smallest step of CLOCK_MONOTONIC in ns; clock_getres may promise a finer one than there is."""
    steps = []
    for _ in range(100):
        begin = now = time.monotonic_ns()
        while now == begin:
            now = time.monotonic_ns()
        steps.append(now - begin)
    return min(steps)


def _counters() -> dict[str, int]:
    tcp = _table("snmp", "Tcp")
    tcp_ext = _table("netstat", "TcpExt")
    return {
        "tcp_sent": tcp.get("OutSegs", 0),
        "tcp_retransmitted": tcp.get("RetransSegs", 0),
        "listen_drops": tcp_ext.get("ListenDrops", 0),
        "steal_ns": _steal_ns(),
        "throttled_ns": _throttled_ns(),
    }


def _table(name: str, row: str) -> dict[str, int]:
    """Read one protocol of /proc/net/snmp or netstat, which has a line of names and a line of numbers."""
    with suppress(OSError, ValueError):
        lines = [line for line in (_NET / name).read_text().splitlines() if line.startswith(f"{row}:")]
        names, numbers = (line.split()[1:] for line in lines)
        return dict(zip(names, map(int, numbers), strict=True))
    return {}


def _steal_ns() -> int:
    with suppress(OSError, ValueError, IndexError):
        words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        return int(words[8]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return 0


def _throttled_ns() -> int:
    """Return the longest throttling of any cgroup above this process, since any of them may have a quota."""
    longest_ns = 0
    with suppress(OSError, ValueError):
        for group in _groups():
            with suppress(OSError, ValueError):
                stat = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
                longest_ns = max(
                    longest_ns, int(stat.get("throttled_usec", 0)) * 1000, int(stat.get("throttled_time", 0))
                )
    return longest_ns


def _groups() -> Iterator[Path]:
    """Yield the folders of this process's cgroups that may have a CPU quota, and of all cgroups above them."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            roots = [_CGROUPS, _CGROUPS / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [_CGROUPS / controllers, _CGROUPS / "cpu"]
        else:
            continue
        for root in roots:
            group = root / path.strip("/")
            yield group
            while group != root and root in group.parents:
                group = group.parent
                yield group


def cpu_quota() -> float | None:
    """Return the number of cores that the tightest CPU quota above this process allows; None for no quota."""
    quotas: list[float] = []
    with suppress(OSError, ValueError):
        for group in _groups():
            with suppress(OSError, ValueError, ZeroDivisionError):
                quota, period = (group / "cpu.max").read_text().split()
                quotas.append(int(quota) / int(period))
            with suppress(OSError, ValueError, ZeroDivisionError):
                quota_us = int((group / "cpu.cfs_quota_us").read_text())
                if quota_us > 0:
                    quotas.append(quota_us / int((group / "cpu.cfs_period_us").read_text()))
    return min(quotas, default=None)


def ena_allowances() -> dict[str, int]:
    """Return how many packets EC2's network cards (ENA) held back or dropped, by allowance; {} on other hosts."""
    counts: dict[str, int] = {}
    with suppress(OSError, subprocess.SubprocessError):
        cards = [
            path.name for path in _INTERFACES.iterdir() if (path / "device/driver").resolve().name == "ena"
        ]
        tool = shutil.which("ethtool", path="/usr/sbin:/sbin:/usr/bin:/bin") if cards else None
        for card in cards if tool else ():
            command = [str(tool), "-S", card]
            text = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout  # noqa: S603
            for line in text.splitlines():
                name, _, value = line.strip().partition(": ")
                if name in _ALLOWANCES and value.isdecimal():
                    counts[name] = counts.get(name, 0) + int(value)
    return counts
