"""Check how much load this host can generate, what limits it, and what to do about that. Changes nothing."""

from __future__ import annotations

import platform
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from heyfleet.agent.host import limits, sysctl
from heyfleet.agent.host.monitor import cpu_quota, ena_allowances
from heyfleet.ext import backends

OK, WARN, BAD = "ok", "warn", "bad"
# When more than this share of the ports is in use, connect() slows down: the kernel searches one half, which is full.
QUICK_SHARE = 0.4
# Kernel memory of an idle connection; measured at 6 to 10 KB for both ends together.
_BYTES_PER_CONNECTION = 8192
_ENOUGH_FILES = 65536
_MOST_FILES = 1 << 20  # per process, the default of fs.nr_open
_ENOUGH_BYTES = 512 << 20
_GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page", "hyperv_clocksource")
_CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_CONNTRACK = Path("/proc/sys/net/netfilter")


@dataclass(frozen=True, slots=True)
class Check:
    """One property of the host, and what it means for a run."""

    name: str
    state: str
    value: str
    effect: str
    cure: str = ""  # what to do, if there is anything


@dataclass(frozen=True, slots=True)
class Capacity:
    """The number of connections that this host can hold at once, and what limits it."""

    connections: int
    limited_by: str
    to_one_address: int  # from one source address, to one address and port of the target
    quickly: int  # of those, how many before connect() slows down


def examine() -> tuple[list[Check], Capacity]:
    """Return all checks, the most important first, and the capacity."""
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
    """Return all checks and the capacity as plain values, for JSON."""
    checks, capacity = examine()
    return {
        "host": socket.gethostname(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "checks": [asdict(check) for check in checks],
        "capacity": asdict(capacity),
    }


def lines() -> Iterator[str]:
    """Yield all checks and the capacity as lines of text."""
    checks, capacity = examine()
    yield f"{socket.gethostname()}: kernel {platform.release()}, Python {platform.python_version()}"
    yield ""
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"  {check.state:<4}  {check.name:<{width}}  {check.value}: {check.effect}"
        if check.cure:
            yield f"        {'':<{width}}  {check.cure}"
    yield ""
    yield f"This host can hold about {capacity.connections:,} connections at once, limited by {capacity.limited_by}."
    yield (
        f"From one source address to one target address it can hold {capacity.to_one_address:,},"
        f" and opens the first {capacity.quickly:,} quickly."
    )


def _io() -> Iterator[Check]:
    for name, allowed, why in backends():
        if allowed:
            yield Check(name, OK, "allowed", "can be used")
        elif name == "io_uring":
            yield Check(
                name,
                WARN,
                why,
                "heyfleet falls back to epoll",
                "io_uring needs kernel 6.1 and, in a container, permission to use it",
            )
        else:
            yield Check(name, BAD, why, "this host can't generate load")


def _files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= _ENOUGH_FILES:
        return Check(
            "open files", OK, f"{soft}, up to {hard}", "an agent raises its own limit up to the second value"
        )
    return Check(
        "open files",
        WARN,
        f"{soft}, up to {hard}",
        f"about {max(hard - 100, 0):,} connections per process",
        "set LimitNOFILE=1048576 in the agent's systemd unit, or `* hard nofile 1048576` in"
        " /etc/security/limits.conf",
    )


def _ports() -> Check:
    found = limits.port_range()
    if found is None:
        return Check("local ports", WARN, "unknown", "the kernel does not say how many there are")
    first, last = found
    ports = last - first + 1
    effect = (
        f"{ports:,} connections from one address to another, {int(ports * QUICK_SHARE):,} of them quickly"
    )
    if ports >= 60_000:
        return Check("local ports", OK, f"{first} to {last}", effect)
    return Check(
        "local ports",
        WARN,
        f"{first} to {last}",
        effect,
        "--tune widens the range; more source addresses (--source) multiply it",
    )


def _cores() -> Check:
    count, quota = limits.cores(), cpu_quota()
    if quota is not None and quota < count:
        return Check(
            "cores",
            WARN,
            f"{count}, with a quota of {quota:g}",
            "threads stop when the quota is used up, which shows as latency",
            f"run with -cpus {max(int(quota), 1)}, or raise the quota",
        )
    return Check("cores", OK, f"{count}", "one worker thread per core")


def _memory() -> Check:
    free = _meminfo().get("MemAvailable")
    if free is None:
        return Check("memory", WARN, "unknown", "the kernel does not say how much is free")
    state = OK if free > _ENOUGH_BYTES else WARN
    return Check(
        "memory",
        state,
        f"{free >> 20:,} MiB",
        f"room for about {free // _BYTES_PER_CONNECTION:,} connections",
    )


def _sysctls() -> Iterator[Check]:
    for setting in sysctl.SETTINGS:
        if setting.name == sysctl.PORTS:
            continue  # has its own check
        value = setting.read()
        if value is None:
            continue
        good = value == setting.target
        yield Check(
            setting.name,
            OK if good else WARN,
            value,
            setting.effect,
            "" if good else f"--tune sets it to {setting.target}",
        )


def _clock() -> Check:
    try:
        name = _CLOCK.read_text().strip()
    except OSError:
        return Check("clock source", WARN, "unknown", "times may be coarse")
    if name in _GOOD_CLOCKS:
        return Check("clock source", OK, name, "reading the time is fast")
    slow = "reading the time is slow, and every request does so"
    return Check("clock source", WARN, name, slow, "the kernel log says why it is not tsc")


def _conntrack() -> Iterator[Check]:
    try:
        limit = int((_CONNTRACK / "nf_conntrack_max").read_text())
        count = int((_CONNTRACK / "nf_conntrack_count").read_text())
    except (OSError, ValueError):
        return
    if count == 0:
        yield Check("conntrack", OK, f"0 of {limit:,}", "no firewall rule tracks connections")
        return
    yield Check(
        "conntrack",
        WARN,
        f"{count:,} of {limit:,}",
        "packets of further connections are dropped",
        "raise net.netfilter.nf_conntrack_max, or remove stateful rules and NAT",
    )


def _ena() -> Iterator[Check]:
    exceeded = {name: count for name, count in ena_allowances().items() if count}
    if exceeded:
        counts = ", ".join(f"{name} {count:,}" for name, count in sorted(exceeded.items()))
        yield Check(
            "network card (ENA)",
            WARN,
            counts,
            "EC2 has delayed or dropped packets of this instance since it booted",
            "use a larger instance; reports say whether this happened during a run",
        )


def _capacity() -> Capacity:
    """Return the capacity by those limits that the kernel tells."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limiting = [
        (_MOST_FILES if hard == resource.RLIM_INFINITY else max(hard - 100, 0), "open files per process")
    ]
    if (free := _meminfo().get("MemAvailable")) is not None:
        limiting.append((free // _BYTES_PER_CONNECTION, "memory"))
    if (file_max := _file_max()) is not None:
        limiting.append((file_max, "fs.file-max"))
    connections, limited_by = min(limiting)
    ports = limits.local_ports() or connections
    return Capacity(
        connections, limited_by, min(ports, connections), min(int(ports * QUICK_SHARE), connections)
    )


def _file_max() -> int | None:
    try:
        return int(Path("/proc/sys/fs/file-max").read_text())
    except (OSError, ValueError):
        return None


def _meminfo() -> dict[str, int]:
    """Return the values of /proc/meminfo in bytes; none of them where the kernel does not say."""
    values = {}
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            words = rest.split()
            values[name] = int(words[0]) * (1024 if len(words) > 1 else 1)
    return values
