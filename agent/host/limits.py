"""What this host allows: descriptors and local ports. Raises the soft limits first; a refusal names limit, value and cure."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterable
from pathlib import Path

# Descriptors that a worker needs beside its connections (ring, epoll), and the process (standard streams, modules, sockets).
_FDS_A_WORKER = 4
_FDS_OF_PROCESS = 32
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


class LimitError(Exception):
    """The host can't hold that many connections; the text says which limit, its value and the largest -c possible."""


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def allow_sources(sources: Iterable[str]) -> None:
    """Raise LimitError if one of the local addresses that connections should come from is not one."""
    for source in sources:
        family = socket.AF_INET6 if ":" in source else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((source, 0))
            except OSError as error:
                raise LimitError(
                    f"--source {source} can't be used on {socket.gethostname()}: {error.strerror}; "
                    "name addresses that this host has (ip address)"
                ) from None


def allow(connections: int, addresses: int, workers: int) -> None:
    """Make room for so many connections at once to one port of so many addresses, or raise LimitError.

    An address counts once for each source that connections to it come from. 0: they take no ports.
    """
    _allow_descriptors(connections, workers)
    if addresses == 0:
        return
    ports = local_ports() * addresses
    if connections > ports:
        raise LimitError(
            f"-c {connections} is more than the {ports} local ports for connections from one address to another "
            f"(net.ipv4.ip_local_port_range): use -c {ports} at most, or widen the range with sysctl"
        )


def _allow_descriptors(connections: int, workers: int) -> None:
    spare = _FDS_OF_PROCESS + _FDS_A_WORKER * workers + open_descriptors()
    needed = connections + spare
    # Each may have another beside it, where redirects lead elsewhere; that is not known before.
    wanted = needed + connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LimitError(
            f"-c {connections} needs {needed} file descriptors, but this process may have {hard} "
            f"(RLIMIT_NOFILE, hard limit): use -c {max(hard - spare, 0)} at most, or raise it with ulimit -Hn"
        )


def open_descriptors() -> int:
    """Descriptors that this process has open."""
    return len(os.listdir("/proc/self/fd"))


def local_ports() -> int:
    """Local ports that the kernel gives to outgoing connections."""
    first, last = port_range()
    return last - first + 1


def port_range() -> tuple[int, int]:
    """First and last of them."""
    first, last = (int(word) for word in _PORT_RANGE.read_text().split())
    return first, last
