"""What a host tells of itself while it makes load."""

from __future__ import annotations

import socket
import threading
import time

from heyfleet.agent.host import monitor
from heyfleet.agent.host.monitor import HostMonitor


def test_the_clock_of_any_host_that_we_can_use_is_finer_than_a_microsecond() -> None:
    assert 0 < monitor.clock_resolution_ns() < 1_000_000


def test_counters_are_differences() -> None:
    looking = HostMonitor()
    looking.begin()
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2]) as client,
    ):
        accepted, _ = server.accept()
        for _ in range(20):
            client.sendall(b"x")
            accepted.recv(1)
        accepted.close()
        state = looking.end(sources=2)
    assert 20 <= state.tcp_sent < 1_000_000
    assert state.cores >= 1
    assert state.fds_used >= 3
    assert state.ports >= 2
    assert state.fds_allowed > 0
    assert state.steal_ns >= 0


def test_a_thread_that_has_to_share_a_core_has_waited() -> None:
    """The kernel's own count of this thread never goes back, and says so for each thread by itself."""
    before_ns, before = monitor.run_queue_wait()
    other = threading.Thread(target=lambda: sum(range(10**6)))
    other.start()
    time.sleep(0.01)
    other.join()
    after_ns, after = monitor.run_queue_wait()
    assert after_ns >= before_ns
    assert after > before
