"""What this host can carry as an agent, what stands in the way, and what to do about it. Reads, and changes nothing."""

from __future__ import annotations

import platform
import resource
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heyfleet.agent.host import limits
from heyfleet.agent.host import sysctl as tuning
from heyfleet.agent.host.monitor import cpu_quota, ena_allowances
from heyfleet.ext import backends

OK, WARN, BAD = "ok", "warn", "bad"
# Beyond that share of the ports, connects to one address take ever longer: the kernel looks for a free one in a full half.
EASY_SHARE = 0.4
# Of kernel memory for a connection and its socket's entries, idle; measured at 6 to 10 KB a pair of ends.
_BYTES_A_CONNECTION = 8192
_WANTED_FILES = 65536
_WANTED_BYTES = 512 << 20
_GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "hyperv_clocksource")
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_CONNTRACK = Path("/proc/sys/net/netfilter")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: str
    value: str
    effect: str  # what it means for a run
    cure: str = ""  # what to do, if anything


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many connections this host can hold at once, and what limits them."""

    connections: int
    limited_by: str
    to_one_address: int  # from one source address, to one address and port of the target
    quickly: int  # of those, before connects get slow


def examine() -> tuple[list[Check], Capacity]:
    """Everything, in the order in which it matters."""
    checks = [
        *_io(),
        _files(),
        _ports(),
        _cores(),
        _memory(),
        *_sysctls(),
        _clock(),
        *_conntrack(),
        *_ena(),
    ]
    return checks, _capacity()


def document() -> dict[str, Any]:
    """The same as plain values."""
    checks, capacity = examine()
    return {
        "host": socket.gethostname(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "checks": [asdict(check) for check in checks],
        "capacity": asdict(capacity),
    }


def lines() -> Iterator[str]:
    """The same as text."""
    checks, capacity = examine()
    yield f"{socket.gethostname()}: kernel {platform.release()}, Python {platform.python_version()}"
    yield ""
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"  {check.state:<4}  {check.name:<{width}}  {check.value}: {check.effect}"
        if check.cure:
            yield f"        {'':<{width}}  {check.cure}"
    yield ""
    yield f"This host can hold about {capacity.connections:,} connections at once ({capacity.limited_by});"
    yield (
        f"from one of its addresses to one of a target {capacity.to_one_address:,}, of which the first"
        f" {capacity.quickly:,} are opened quickly."
    )


def _io() -> Iterator[Check]:
    for name, allowed, why in backends():
        if allowed:
            yield Check(name, OK, "allowed", "used where it is the best that there is")
        elif name == "io_uring":
            yield Check(
                name,
                WARN,
                why,
                "epoll takes its place",
                "io_uring wants kernel 6.1, and a container that allows it",
            )
        else:
            yield Check(name, BAD, why, "there is no way to make load")


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= _WANTED_FILES:
        return Check(
            "open files", OK, f"{soft}, up to {hard}", "an agent raises its own limit as far as that"
        )
    return Check(
        "open files",
        WARN,
        f"{soft}, up to {hard}",
        f"about {max(hard - 100, 0):,} connections a process",
        "LimitNOFILE=1048576 in the agent's unit, or `* hard nofile 1048576` in /etc/security/limits.conf",
    )


def _ports() -> Check:
    first, last = limits.port_range()
    ports = last - first + 1
    effect = f"{ports:,} connections from one address to another, {int(ports * EASY_SHARE):,} of them quickly"
    if ports >= 60_000:
        return Check("local ports", OK, f"{first} to {last}", effect)
    return Check(
        "local ports",
        WARN,
        f"{first} to {last}",
        effect,
        "--tune widens them; more addresses of this host (--source) multiply them",
    )


def _cores() -> Check:
    count, quota = limits.cores(), cpu_quota()
    if quota is not None and quota < count:
        return Check(
            "cores",
            WARN,
            f"{count}, and a quota of {quota:g}",
            "threads are stopped when it is used up, which shows as latency",
            f"-cpus {max(int(quota), 1)}, or a larger quota",
        )
    return Check("cores", OK, f"{count}", "one thread on each sends")


def _memory() -> Check:
    free = _meminfo().get("MemAvailable", 0)
    state = OK if free > _WANTED_BYTES else WARN
    return Check(
        "memory", state, f"{free >> 20:,} MiB", f"room for about {free // _BYTES_A_CONNECTION:,} connections"
    )


def _sysctls() -> Iterator[Check]:
    for setting in tuning.SETTINGS:
        if setting.name == tuning.PORTS:
            continue  # has a line of its own
        now = setting.read()
        if now is None:
            continue
        good = now == setting.wanted
        yield Check(
            setting.name,
            OK if good else WARN,
            now,
            setting.why,
            "" if good else f"--tune sets it to {setting.wanted}",
        )


def _clock() -> Check:
    try:
        name = _CLOCK.read_text().strip()
    except OSError:
        return Check("clock source", WARN, "not told", "times may be coarse")
    if name in _GOOD_CLOCKS:
        return Check("clock source", OK, name, "reading the time costs nothing worth naming")
    slow = "reading the time is slow, and it is read for each request"
    return Check("clock source", WARN, name, slow, "see the kernel's log for why it is not tsc")


def _conntrack() -> Iterator[Check]:
    try:
        most = int((_CONNTRACK / "nf_conntrack_max").read_text())
        now = int((_CONNTRACK / "nf_conntrack_count").read_text())
    except (OSError, ValueError):
        return
    if now == 0:
        yield Check("conntrack", OK, f"none of {most:,}", "no rule of this host follows connections")
        return
    yield Check(
        "conntrack",
        WARN,
        f"{now:,} of {most:,}",
        "packets of connections beyond that are dropped",
        "raise net.netfilter.nf_conntrack_max, or take stateful rules and NAT out of the way",
    )


def _ena() -> Iterator[Check]:
    exceeded = {name: count for name, count in ena_allowances().items() if count}
    if exceeded:
        told = ", ".join(f"{name} {count:,}" for name, count in sorted(exceeded.items()))
        yield Check(
            "network card (ENA)",
            WARN,
            told,
            "EC2 has held back or dropped packets of this instance since it started",
            "a larger instance; reports say whether it happened in a run",
        )


def _capacity() -> Capacity:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    first, last = limits.port_range()
    ports = last - first + 1
    free = _meminfo().get("MemAvailable", 0)
    found = [(free // _BYTES_A_CONNECTION, "memory"), (_file_max(), "fs.file-max")]
    if hard != resource.RLIM_INFINITY:
        found.append((max(hard - 100, 0), "open files of a process"))
    connections, limited_by = min(found)
    return Capacity(
        connections, limited_by, min(ports, connections), min(int(ports * EASY_SHARE), connections)
    )


def _file_max() -> int:
    return int(Path("/proc/sys/fs/file-max").read_text())


def _meminfo() -> dict[str, int]:
    """In bytes."""
    found = {}
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        found[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return found
