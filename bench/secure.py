"""Commands that load a TLS server with heyfleet and its peers, on kept-alive and on new connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from bench.measure import Run, Spread, efficiency, interleave, run_counted
from bench.peers import HEYFLEET
from bench.target import Nginx

KEPT, NEW = 64, 16  # concurrent connections
ONE_CORE = MappingProxyType({"GOMAXPROCS": "1"})
Commands = dict[str, list[str]]


def keep_alive_commands(nginx: Nginx, path: str, seconds: float) -> Commands:
    """Return the commands by name, with kept-alive connections."""
    url = nginx.tls_url(path)
    return {
        "heyfleet io_uring": _heyfleet(nginx, KEPT, seconds, "--io", "io_uring", url),
        "heyfleet epoll": _heyfleet(nginx, KEPT, seconds, "--io", "epoll", url),
        "wrk": ["wrk", "-t1", f"-c{KEPT}", f"-d{round(seconds)}s", url],
    }


def large_response_commands(nginx: Nginx, seconds: float, *, tls: bool) -> Commands:
    """Return the commands by name, with responses of 1 MiB on kept-alive connections."""
    url = nginx.tls_url("/files/1MiB") if tls else f"{nginx.url}files/1MiB"
    return {
        "heyfleet io_uring": _heyfleet(nginx, NEW, seconds, "--io", "io_uring", url),
        "heyfleet epoll": _heyfleet(nginx, NEW, seconds, "--io", "epoll", url),
        "wrk": ["wrk", "-t1", f"-c{NEW}", f"-d{round(seconds)}s", url],
    }


def new_connection_commands(nginx: Nginx, seconds: float) -> Commands:
    """Return the commands by name, with a new connection for each request."""
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
    """Compute requests per client CPU-second of one command relative to another, for each pair."""

    def player(command: list[str]) -> Callable[[], Run]:
        return lambda: run_counted(command, core, ONE_CORE, nginx.wait_idle)

    runs = interleave({name: player(command) for name, command in commands.items()}, rounds)
    return [efficiency(runs, ours, other) for ours, other in pairs]
