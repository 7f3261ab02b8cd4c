"""The host's limits on descriptors and local ports: raise the soft ones, and explain what is too low."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterable
from pathlib import Path

from heyfleet.errors import CannotStartError

# Descriptors besides those of connections: of each worker (ring, epoll), and of the process (streams, modules, sockets).
_FDS_PER_WORKER = 4
_FDS_OF_PROCESS = 32
# A worker goes through its schedule in about 10 ns for each request, sent or not. At ten times this rate it could do nothing
# else, and would not see that it is to stop.
MAX_RATE_OF_WORKER_PER_S = 1e7
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class LimitError(CannotStartError):
    """A limit of the host that a plan exceeds; the text names the limit, its value, and how many connections it allows."""


def cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def allow_sources(sources: Iterable[str]) -> None:
    """Check that connections can be made from each of these local addresses; LimitError."""
    for source in sources:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((source, 0))
            except OSError as error:
                raise LimitError(
                    f"--source {source} can't be used on {socket.gethostname()}: {error.strerror}",
                    "use addresses of this host; `ip address` lists them",
                ) from None


def allow(connections: int, routes: int, workers: int, flag: str = "-c") -> None:
    """Raise the limits as far as this many connections need, or raise LimitError; `flag` is what sets their number.

    A route is a pair of a source and a target address; each has its own local ports. 0 routes take no ports.
    """
    _allow_descriptors(connections, workers, flag)
    if routes == 0:
        return
    ports = local_ports() * routes
    if 0 < ports < connections:
        raise LimitError(
            f"{flag} {connections} is more than the {ports} local ports for connections from one address to another"
            " (net.ipv4.ip_local_port_range)",
            f"use {flag} {ports} at most, or widen the range with sysctl",
        )


def allow_rate(rate_per_s: float, largest_share: float) -> None:
    """Check that a worker can keep the schedule of this part of a run's highest rate; LimitError."""
    if rate_per_s * largest_share > MAX_RATE_OF_WORKER_PER_S:
        raise LimitError(
            f"{rate_per_s:.12g} requests/s is more than {socket.gethostname()} can schedule, which is 10M/s for each worker",
            f"use {MAX_RATE_OF_WORKER_PER_S / largest_share:.0f}/s at most, or more agents",
        )


def no_memory(connections: int, streams: int) -> LimitError:
    """Return the error of connections that do not fit in memory; `streams` is the number of --streams."""
    of_streams = f" with --streams {streams} each" if streams > 1 else ""
    return LimitError(
        f"{connections} connections{of_streams} need more memory than there is",
        "use fewer of them, or more agents",
    )


def open_descriptors() -> int:
    """Return the number of descriptors that this process has open; 0 where the kernel does not say."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def local_ports() -> int:
    """Return the number of local ports for outgoing connections; 0 where the kernel does not say."""
    first, last = port_range() or (1, 0)
    return last - first + 1


def port_range() -> tuple[int, int] | None:
    """Return the first and the last local port for outgoing connections; None where the kernel does not say."""
    try:
        first, last = (int(word) for word in _PORT_RANGE.read_text().split())
    except (OSError, ValueError):
        return None
    return first, last


def _allow_descriptors(connections: int, workers: int, flag: str) -> None:
    overhead = _FDS_OF_PROCESS + _FDS_PER_WORKER * workers + open_descriptors()
    required = connections + overhead
    # A redirect to another origin opens a second connection beside the first; whether there are any is not known yet.
    preferred = required + connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < preferred:
        limit = preferred if hard == resource.RLIM_INFINITY else min(preferred, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if hard != resource.RLIM_INFINITY and hard < required:
        fewer = f"use {flag} {hard - overhead} at most, or " if hard > overhead else ""
        raise LimitError(
            f"{flag} {connections} needs {required} file descriptors, but this process may have {hard}"
            " (RLIMIT_NOFILE, hard limit)",
            f"{fewer}raise it to {required} (ulimit -Hn, as root)",
        )
