"""The runner against a server that accepts connections and never says a word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from heyfleet.agent.runner import Runner
from heyfleet.proto.plan_pb2 import HTTP_1_1, HTTP_2, HttpVersion, Target, Tls

from ... import plans


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Return the port of a server that only accepts."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("io", ["io_uring", "epoll"])
@pytest.mark.parametrize("http", [HTTP_1_1, HTTP_2])
def test_a_preparation_without_a_time_limit_can_be_stopped(
    silent_port: int, http: HttpVersion, io: str
) -> None:
    plan = plans.plan(
        target=Target(scheme="https", host="127.0.0.1", port=silent_port),
        tls=Tls(name="127.0.0.1", insecure=True),
        timeout_ns=0,
        http=http,
        io=io,
    )
    runner = Runner()
    preparing = threading.Thread(target=runner.prepare, args=(plans.whole(plan),), daemon=True)
    preparing.start()
    preparing.join(0.3)
    assert preparing.is_alive()
    runner.stop()
    preparing.join(60)
    assert not preparing.is_alive()
