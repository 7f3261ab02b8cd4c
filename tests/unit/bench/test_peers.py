"""Command lines of load generators, and the counts read from their output."""

from __future__ import annotations

import json

import pytest

from bench.errors import BenchError
from bench.peers import PEERS, BareLoop, Hey, Heyfleet, Peer, Wrk

URL = "http://127.0.0.1:8080/"

WRK = """Running 4s test @ http://127.0.0.1:8080/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   470.10us  100.00us   9.00ms   91.00%
    Req/Sec   138.00k     2.00k  140.00k    80.00%
  552000 requests in 4.00s, 85.00MB read
"""
HEY = """
Summary:
  Total:\t4.0010 secs
  Requests/sec:\t46000.0000

Status code distribution:
  [200]\t{} responses
  [503]\t5 responses
"""


def test_names_are_unique() -> None:
    names = [peer.name for peer in PEERS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_gets_the_same_load(peer: Peer) -> None:
    words = peer.command(URL, 123, 4)
    assert any(word in ("123", "-c123") for word in words)
    assert any(word in ("4", "4s", "-d4s") for word in words)
    assert any("8080" in word for word in words)


def test_every_peer_has_one_thread() -> None:
    assert "-t1" in Wrk().command(URL, 1, 1)
    assert Hey().command(URL, 1, 1)[-3:-1] == ["-cpus", "1"]
    assert Hey().env["GOMAXPROCS"] == "1"
    assert "-cpus 1 --io epoll" in " ".join(Heyfleet("epoll").command(URL, 1, 1))


def test_wrk_reports_requests() -> None:
    assert Wrk().reported(WRK) == 552_000


def test_wrk_without_a_count_is_an_error() -> None:
    with pytest.raises(BenchError, match="no number"):
        Wrk().reported("unable to connect")


def test_hey_reports_responses_by_status() -> None:
    assert Hey().reported(HEY.format(184_000)) == 184_005


def test_hey_has_no_count_beyond_a_million() -> None:
    assert Hey().reported(HEY.format(999_995)) is None


def test_heyfleet_reports_responses_in_its_ledger() -> None:
    assert Heyfleet("epoll").reported(json.dumps({"ledger": {"responses": 77, "sent": 80}})) == 77


def test_the_bare_loop_has_two_backends() -> None:
    assert BareLoop("epoll").command(URL, 5, 1)[1:] == ["-e", "-c", "5", "-z", "1", "8080"]
    assert BareLoop("io_uring").command(URL, 5, 1)[1:] == ["-c", "5", "-z", "1", "8080"]
    assert BareLoop("io_uring").reported("1234\n") == 1234


def test_the_error_of_a_missing_tool_names_its_package() -> None:
    class Absent(Wrk):
        package = "wrk-of-debian"
        executable = "no-such-load-generator"

    with pytest.raises(BenchError, match="install Debian's package wrk-of-debian"):
        Absent().prepare()
