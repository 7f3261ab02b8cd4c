"""What TLS costs: the same requests by heyfleet and others, kept connections and new ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from bench.measure import Run, Spread, efficiency, interleave, run_counted
from bench.peers import HEYFLEET
from bench.target import Nginx

KEPT, NEW = 64, 16  # connections at once
ONE_CORE = MappingProxyType({"GOMAXPROCS": "1"})
Commands = dict[str, list[str]]


def kept(nginx: Nginx, path: str, seconds: float) -> Commands:
    """By name, with connections that are kept."""
    url = nginx.tls_url(path)
    return {
        "heyfleet io_uring": _heyfleet(nginx, KEPT, seconds, "--io", "io_uring", url),
        "heyfleet epoll": _heyfleet(nginx, KEPT, seconds, "--io", "epoll", url),
        "wrk": ["wrk", "-t1", f"-c{KEPT}", f"-d{round(seconds)}s", url],
    }


def large(nginx: Nginx, seconds: float, *, tls: bool) -> Commands:
    """By name, with answers of 1 MiB on connections that are kept."""
    url = nginx.tls_url("/files/1MiB") if tls else f"{nginx.url}files/1MiB"
    return {
        "heyfleet io_uring": _heyfleet(nginx, NEW, seconds, "--io", "io_uring", url),
        "heyfleet epoll": _heyfleet(nginx, NEW, seconds, "--io", "epoll", url),
        "wrk": ["wrk", "-t1", f"-c{NEW}", f"-d{round(seconds)}s", url],
    }


def new(nginx: Nginx, seconds: float) -> Commands:
    """By name, with a new connection for each request."""
    url = nginx.tls_url("/")
    return {
        "heyfleet resumed": _heyfleet(nginx, NEW, seconds, "-disable-keepalive", url),
        "heyfleet full": _heyfleet(nginx, NEW, seconds, "-disable-keepalive", "--no-resume", url),
        "wrk": ["wrk", "-t1", f"-c{NEW}", f"-d{round(seconds)}s", "-H", "Connection: close", url],
        "hey": ["hey", "-c", str(NEW), "-z", f"{seconds:g}s", "-cpus", "1", "-disable-keepalive", url],
    }


def _heyfleet(nginx: Nginx, connections: int, seconds: float, *more: str) -> list[str]:
    load = ("-c", str(connections), "-z", f"{seconds:g}s", "-cpus", "1", "--json")
    return [*HEYFLEET, "run", *load, "--cacert", nginx.certificate, *more]


def compare(
    nginx: Nginx, commands: Commands, core: int, rounds: int, pairs: Sequence[tuple[str, str]]
) -> list[Spread]:
    """Requests per client CPU-second of one to another, over rounds in turn, for each pair."""

    def player(command: list[str]) -> Callable[[], Run]:
        return lambda: run_counted(command, core, ONE_CORE, nginx.wait_idle)

    measured = interleave({name: player(command) for name, command in commands.items()}, rounds)
    return [efficiency(measured, ours, other) for ours, other in pairs]
