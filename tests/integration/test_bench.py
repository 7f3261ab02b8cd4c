"""Benchmarks count requests of a real nginx correctly; nothing here depends on speed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bench.errors import BenchError
from bench.figures import count_mismatch
from bench.measure import run_counted
from bench.memory import rss_bytes
from bench.peers import BareLoop, Heyfleet, Peer
from bench.target import Nginx


@pytest.fixture(scope="module")
def core() -> int:
    return min(os.sched_getaffinity(0))


@pytest.fixture(scope="module")
def target(core: int) -> Iterator[Nginx]:
    with Nginx(core) as server:
        yield server


@pytest.mark.parametrize("peer", [BareLoop("epoll"), Heyfleet("epoll")], ids=lambda peer: peer.name)
def test_a_generator_and_the_server_agree(peer: Peer, target: Nginx, core: int) -> None:
    peer.prepare()
    run = run_counted(peer.command(target.url, 8, 1), core, peer.env, target.wait_idle)
    assert run.requests > 8
    assert run.cpu_s > 0
    assert count_mismatch(peer, run, 8) is None


def test_the_bare_loop_on_io_uring(target: Nginx, core: int) -> None:
    peer = BareLoop("io_uring")
    peer.prepare()
    try:
        run = run_counted(peer.command(target.url, 8, 1), core, peer.env, target.wait_idle)
    except BenchError as error:
        if "io_uring_setup: " not in str(error):
            raise
        pytest.skip("io_uring is not allowed here")
    assert count_mismatch(peer, run, 8) is None


def test_the_status_excludes_its_own_requests(target: Nginx) -> None:
    before = target.wait_idle()
    assert target.status() == (0, before)
    assert target.wait_idle() == before


def test_a_stopped_server_is_an_error(core: int) -> None:
    with Nginx(core) as gone:
        url = gone.url
    peer = BareLoop("epoll")
    peer.prepare()
    with pytest.raises(BenchError, match="connect: Connection refused"):
        run_counted(peer.command(url, 1, 1), core, peer.env, lambda: 0)


def test_memory_is_read_while_connections_are_open(target: Nginx, core: int) -> None:
    """The value lies between the size of any Python process and that of a machine."""
    assert 5_000_000 < rss_bytes(target, 20, core) < 1_000_000_000
    assert target.wait_idle() > 20
