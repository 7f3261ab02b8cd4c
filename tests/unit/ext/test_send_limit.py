"""The highest rate that a host's owner allows, at the server: whatever wants to send, and however often."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.ext import Engine, EngineSnapshot, SimIo, SimPeer, http2_request

from ...engines import make_engine
from ...http2_peer import Http2Peer, reset

PORT = 80
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"
REFUSED_STREAM = 7
MS = 1_000_000
S = 1000 * MS
BURST_S = 0.1


def rate(per_s: float) -> dict[str, Any]:
    return {"model": "rate", "stages": [(0, per_s, per_s)]}


def simulate(peer: SimPeer, **plan: Any) -> tuple[SimIo, Engine, EngineSnapshot]:
    network = SimIo({PORT: peer})
    engine = make_engine(
        **{"io": network, "addresses": [("127.0.0.1", PORT)], "messages": [(GET, False, True)], **plan}
    )
    engine.start(1)
    engine.run()
    return network, engine, engine.snapshot()


def follow(message: int, status: int, location: bytes) -> tuple[int, bytes, bool, bool, int]:
    return message + 1, GET, False, True, 0


def answering(response: bytes = ANSWER, **more: Any) -> SimPeer:
    return SimPeer("answer", response=response, delay_ns=MS, **more)


@pytest.mark.parametrize("keep_alive", [True, False])
def test_redirects_keep_it(keep_alive: bool) -> None:
    network, engine, snapshot = simulate(
        answering(REDIRECT),
        connections=50,
        duration_ns=10 * S,
        follower=follow,
        keep_alive=keep_alive,
        sends_per_s_at_most=20.0,
        **rate(20),
    )
    assert 190 <= network.requests_seen <= 201
    assert snapshot.counters["rate_limited"] > 100
    assert snapshot.counters["redirects"] > 100
    assert engine.totals["sent"] < 200  # redirects take their part of the rate


def test_requests_of_a_closed_loop_keep_it() -> None:
    network, _, snapshot = simulate(answering(), connections=50, duration_ns=5 * S, sends_per_s_at_most=100.0)
    assert 490 <= network.requests_seen <= 501
    assert snapshot.counters["rate_limited"] >= network.requests_seen - 1


def test_a_count_is_complete_under_it() -> None:
    network, engine, snapshot = simulate(
        answering(), connections=5, request_count=100, sends_per_s_at_most=100.0
    )
    assert network.requests_seen == 100
    assert snapshot.responses == {200: 100}
    assert engine.totals["elapsed_ns"] >= 990 * MS


def test_a_body_that_waited_for_consent_is_no_request_of_its_own() -> None:
    network, engine, snapshot = simulate(
        SimPeer("answer", response=ANSWER, request_end=b"\r\n\r\nhi", delay_ns=MS),
        messages=[(POST, False)],
        connections=40,
        request_count=40,
        sends_per_s_at_most=20.0,
    )
    assert snapshot.responses == {200: 40}
    assert network.requests_seen == 40
    # A second of waiting for the consent that never comes, after the last head.
    assert engine.totals["elapsed_ns"] == pytest.approx((39 / 20 + 1) * S, rel=0.01)


def test_a_plan_within_it_is_not_touched() -> None:
    network, _, snapshot = simulate(
        answering(), connections=10, duration_ns=10 * S, sends_per_s_at_most=100.0, **rate(100)
    )
    assert network.requests_seen in (999, 1000)
    assert snapshot.counters["rate_limited"] == 0
    assert snapshot.histograms["latency"].max_ns < 2 * MS


def test_after_a_pause_a_tenth_of_a_second_may_be_sent_at_once() -> None:
    """Nothing for a second, then far more than is allowed for one."""
    stages = [(S, 1.0, 1.0), (S, 10_000.0, 10_000.0)]
    network, _, _ = simulate(
        answering(),
        connections=500,
        duration_ns=2 * S,
        sends_per_s_at_most=100.0,
        model="rate",
        stages=stages,
    )
    assert 108 <= network.requests_seen <= 1 + 100 * (1 + BURST_S) + 1


def test_a_request_that_waits_moves_when_its_connection_ends() -> None:
    network, engine, snapshot = simulate(
        answering(requests_per_connection=1),
        connections=4,
        request_count=40,
        sends_per_s_at_most=20.0,
        follower=follow,
    )
    assert network.requests_seen == 40
    assert snapshot.responses == {200: 40}
    assert engine.totals["elapsed_ns"] >= 39 / 20 * S


def test_a_server_that_ends_every_connection_is_not_connected_to_without_end() -> None:
    network, engine, snapshot = simulate(
        SimPeer("close", connect_delay_ns=MS),
        connections=20,
        duration_ns=5 * S,
        sends_per_s_at_most=10.0,
        **rate(50),
    )
    assert set(snapshot.errors) == {"closed early"}
    assert network.requests_seen <= 51
    assert snapshot.counters["connections_opened"] <= 11 * engine.totals["sent"] + 20


def test_what_waits_can_time_out() -> None:
    network, _, snapshot = simulate(
        answering(),
        connections=50,
        request_count=50,
        timeout_ns=500 * MS,
        sends_per_s_at_most=10.0,
    )
    assert snapshot.errors == {"request timeout": 50 - network.requests_seen}
    assert 5 <= network.requests_seen <= 7


def test_requests_that_a_server_refuses_over_http2_keep_it() -> None:
    fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
    with Http2Peer(lambda _, stream: reset(stream, REFUSED_STREAM)) as peer:
        engine = make_engine(
            io="epoll",
            addresses=[("127.0.0.1", peer.port)],
            messages=[(http2_request(fields, b"", False), False, True)],
            connections=5,
            streams=4,
            http2=True,
            duration_ns=2 * S,
            sends_per_s_at_most=20.0,
            **rate(20),
        )
        engine.start(1)
        engine.run()
        requests = sum(connection.requests for connection in peer.connections)
    assert engine.snapshot().counters["retries"] > 10
    assert requests <= 20 * engine.totals["wall_ns"] / S + 1 + 20 * BURST_S


def test_it_and_the_load_have_no_negative_limits() -> None:
    with pytest.raises(ValueError, match="can't be negative"):
        simulate(answering(), connections=1, request_count=1, sends_per_s_at_most=-1.0)
    with pytest.raises(ValueError, match="can't be negative"):
        simulate(answering(), connections=1, request_count=1, run_ns_at_most=-1)


@pytest.mark.parametrize("warmup_ns", [0, S])
def test_a_limit_on_the_run_ends_one_that_would_end_by_its_count(warmup_ns: int) -> None:
    network, engine, _ = simulate(
        answering(),
        connections=4,
        request_count=400,
        warmup_ns=warmup_ns,
        run_ns_at_most=2 * S,
        **rate(50),
    )
    assert engine.stopped_by == "limit"
    assert 99 <= network.requests_seen <= 101
    assert engine.totals["unsent"] == 400 - engine.totals["sent"]


def test_a_limit_that_a_run_keeps_is_not_its_end() -> None:
    limits = {"connections": 1, "run_ns_at_most": 2 * S, **rate(50)}
    assert simulate(answering(), duration_ns=2 * S, **limits)[1].stopped_by == "duration"
    assert simulate(answering(), request_count=50, **limits)[1].stopped_by == "count"


@pytest.mark.parametrize("single", [True, False])
def test_a_single_connection_is_closed_for_the_one_that_a_redirect_opens(single: bool) -> None:
    """Four sockets for four connections: without `single`, the other origin's find no descriptor."""
    other = b"HTTP/1.1 302 Found\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n"
    network = SimIo({PORT: answering(other), 81: answering()}, open_max=4)
    origins: list[int] = []

    def follow_to_other(message: int, status: int, location: bytes) -> tuple[int, bytes, bool, bool, int]:
        origins.append(engine.add_origin([("127.0.0.1", 81)], None))
        return 1, GET, False, True, origins[-1]

    engine = make_engine(
        io=network,
        addresses=[("127.0.0.1", PORT)],
        messages=[(GET, False, True)],
        connections=4,
        single=single,
        request_count=40,
        follower=follow_to_other,
    )
    engine.start(1)
    engine.run()
    snapshot = engine.snapshot()
    assert origins == [1]
    assert (snapshot.responses == {200: 40}) == single
    assert (snapshot.errors == {}) == single
