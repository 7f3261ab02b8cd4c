"""Kernel counters during a load."""

from __future__ import annotations

import socket
import threading
import time

from heyfleet.agent.host import monitor
from heyfleet.agent.host.monitor import HostMonitor


def test_the_clock_resolution_is_finer_than_a_microsecond() -> None:
    assert 0 < monitor.clock_resolution_ns() < 1_000_000


def test_counters_are_differences() -> None:
    watcher = HostMonitor()
    watcher.begin()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        accepted, _ = server.accept()
        for _ in range(20):
            client.sendall(b"x")
            accepted.recv(1)
        accepted.close()
        state = watcher.end(sources=2)
    assert 20 <= state.tcp_sent < 1_000_000
    assert state.cores >= 1
    assert state.fds_used >= 3
    assert state.ports >= 2
    assert state.fds_allowed > 0
    assert state.steal_ns >= 0


def test_run_queue_wait_never_decreases() -> None:
    """The kernel counts for each thread how long it waited for a CPU."""
    before_ns, before = monitor.run_queue_wait()
    other = threading.Thread(target=lambda: sum(range(10**6)))
    other.start()
    time.sleep(0.01)
    other.join()
    after_ns, after = monitor.run_queue_wait()
    assert after_ns >= before_ns
    assert after > before
