"""Open loops, users, warm-up and several requests, in virtual time: what is sent, when, and what is measured of it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from heyfleet.ext import EngineSnapshot, Histogram, SimIo, SimPeer
from heyfleet.plan.sharding import request_order

from ...engines import make_engine

PORT = 80
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
MESSAGES = [(b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n", False)]
MS = 1_000_000
S = 1000 * MS


def simulate(peer: SimPeer | None = None, **plan: Any) -> tuple[dict[str, int], EngineSnapshot, SimIo]:
    network = SimIo({PORT: peer or SimPeer("answer", response=ANSWER, delay_ns=MS)})
    engine = make_engine(io=network, addresses=[("127.0.0.1", PORT)], **{"messages": MESSAGES, **plan})
    engine.start(1)
    engine.run()
    totals, snapshot = engine.totals, engine.snapshot()
    assert totals["planned"] == totals["sent"] + totals["unsent"]
    assert totals["sent"] == totals["responses"] + totals["errors"] + totals["abandoned"]
    assert totals["sent"] == snapshot.counters["sent"]
    return totals, snapshot, network


def rate(level: float, **more: Any) -> dict[str, Any]:
    return {"model": "rate", "stages": [(0, level, level)], **more}


def histogram(snapshot: EngineSnapshot, metric: str) -> Histogram:
    return snapshot.histograms.get(metric, Histogram())


def test_a_rate_that_can_be_kept_is_kept() -> None:
    totals, snapshot, network = simulate(connections=100, duration_ns=10 * S, **rate(500))
    assert totals["planned"] == totals["responses"] + totals["abandoned"] == network.requests_seen == 5000
    assert histogram(snapshot, "lag").max_ns < 0.1 * MS
    assert histogram(snapshot, "generator_lag").count == 5000


def test_connections_are_opened_as_they_are_needed() -> None:
    _, snapshot, _ = simulate(connections=1000, duration_ns=2 * S, **rate(500))
    assert (
        snapshot.counters["connections_opened"] == 11
    )  # ahead of the start: what answers of 20 ms would need, and one
    slow = SimPeer("answer", response=ANSWER, delay_ns=100 * MS)
    _, snapshot, _ = simulate(slow, connections=1000, duration_ns=2 * S, **rate(500))
    assert 50 <= snapshot.counters["connections_opened"] <= 60


def test_requests_without_a_free_connection_wait_and_the_rest_is_unsent() -> None:
    """One connection, 100 ms an answer, 20/s: request k leaves at 0.1 k, was due at 0.05 k."""
    slow = SimPeer("answer", response=ANSWER, delay_ns=100 * MS)
    totals, snapshot, _ = simulate(slow, connections=1, duration_ns=10 * S, **rate(20))
    assert (totals["planned"], totals["dropped"]) == (200, 0)
    assert totals["sent"] == pytest.approx(100, abs=1)
    assert histogram(snapshot, "lag").max_ns == pytest.approx(5 * S, rel=0.02)
    assert histogram(snapshot, "latency").max_ns == pytest.approx(5 * S, rel=0.03)
    assert histogram(snapshot, "service_time").max_ns == pytest.approx(100 * MS, rel=0.01)
    # None of it is the generator's own fault.
    assert histogram(snapshot, "generator_lag").max_ns < 0.1 * MS


def test_a_stage_of_nothing_sends_nothing() -> None:
    stages = [(S, 100, 100), (3 * S, 0, 0), (S, 100, 100)]
    totals, snapshot, _ = simulate(connections=50, duration_ns=5 * S, model="rate", stages=stages)
    assert totals["planned"] == 200
    assert {key: breakdown.counters["sent"] for key, breakdown in snapshot.breakdowns.items()} == {
        (0, 0): 100,
        (2, 0): 100,
    }


def test_parts_add_up_to_the_whole() -> None:
    stages = [(S, 0, 200), (2 * S, 200, 200)]
    messages = [*MESSAGES, (b"HEAD / HTTP/1.1\r\nHost: sim\r\n\r\n", False)]
    totals, snapshot, _ = simulate(
        connections=50, duration_ns=3 * S, model="rate", stages=stages, messages=messages, order=[0, 0, 1]
    )
    assert totals["planned"] == 500
    assert sum(breakdown.counters["sent"] for breakdown in snapshot.breakdowns.values()) == 500
    assert (
        sum((Counter(breakdown.responses) for breakdown in snapshot.breakdowns.values()), Counter())
        == snapshot.responses
    )
    latency = Histogram()
    for breakdown in snapshot.breakdowns.values():
        latency.add(breakdown.histograms["latency"])
    assert latency.encode() == histogram(snapshot, "latency").encode()
    by_request = Counter({1: 0})
    for (_, request), breakdown in snapshot.breakdowns.items():
        by_request[request] += breakdown.counters["sent"]
    assert by_request == {0: 334, 1: 166}


def test_a_mix_goes_evenly_and_each_as_often_as_its_weight() -> None:
    assert request_order([3, 1]) == [0, 0, 1, 0]
    assert Counter(request_order([5, 2, 7])) == {0: 5, 1: 2, 2: 7}
    assert request_order([1]) == [0]


def test_the_warm_up_is_sent_and_kept_apart() -> None:
    totals, snapshot, network = simulate(connections=50, duration_ns=3 * S, warmup_ns=S, **rate(100))
    assert totals["planned"] == snapshot.counters["sent"] == 300
    assert snapshot.warmup is not None
    assert snapshot.warmup.counters["sent"] == sum(snapshot.warmup.responses.values()) == 100
    assert network.requests_seen == 400
    assert histogram(snapshot, "latency").count == sum(snapshot.responses.values())
    assert totals["elapsed_ns"] == pytest.approx(3 * S, rel=0.01)


def test_a_count_begins_after_the_warm_up() -> None:
    totals, snapshot, _ = simulate(connections=4, request_count=100, warmup_ns=S)
    assert totals["responses"] == 100
    assert snapshot.warmup is not None
    assert snapshot.warmup.counters["sent"] == pytest.approx(4 * 1000, rel=0.05)


def users(stages: list[tuple[int, float, float]], **more: Any) -> dict[str, Any]:
    return {"model": "users", "stages": stages, **more}


def test_users_come_one_after_the_other() -> None:
    """10 users at 10 a second, an answer takes 1 s: user j sends at j / 10 s, and again every second."""
    slow = SimPeer("answer", response=ANSWER, delay_ns=S)
    totals, _, _ = simulate(slow, connections=10, duration_ns=3 * S, **users([(S, 0, 10), (0, 10, 10)]))
    # In the first second 10, then each of them once a second; those due at the very end may just not be sent.
    assert totals["sent"] == pytest.approx(30, abs=1)


def test_users_go_when_their_stage_ends() -> None:
    stages: list[tuple[int, float, float]] = [(2 * S, 10, 10), (2 * S, 5, 5), (S, 0, 0)]
    _, snapshot, _ = simulate(
        SimPeer("answer", response=ANSWER, delay_ns=100 * MS),
        connections=10,
        duration_ns=5 * S,
        **users(stages),
    )
    sent = {stage: breakdown.counters["sent"] for (stage, _), breakdown in snapshot.breakdowns.items()}
    assert sent[0] == pytest.approx(200, abs=10)
    assert sent[1] == pytest.approx(100, abs=6)
    assert 2 not in sent


@pytest.mark.parametrize(
    ("think", "each_s"),
    [
        (("uniform", 100 * MS, 100 * MS), 0.1),
        (("uniform", 0, 200 * MS), 0.1),
        (("exponential", 100 * MS, 0), 0.1),
    ],
)
def test_thinking_slows_users_down(think: tuple[str, int, int], each_s: float) -> None:
    totals, _, _ = simulate(connections=20, duration_ns=30 * S, **users([(0, 20, 20)], think=think, seed=3))
    assert totals["sent"] == pytest.approx(20 * 30 / (each_s + 0.001), rel=0.05)


def test_thinking_is_a_function_of_the_seed() -> None:
    plan = {"connections": 5, "duration_ns": 5 * S, **users([(0, 5, 5)], think=("exponential", 50 * MS, 0))}
    one, same, other = (simulate(seed=seed, **plan)[0]["sent"] for seed in (1, 1, 2))
    assert one == same != other


def test_failing_users_do_not_stop_the_run() -> None:
    totals, _, _ = simulate(SimPeer("refuse"), connections=5, request_count=50, **users([(0, 5, 5)]))
    assert totals["errors"] == 50


def test_a_dropped_connection_is_opened_again() -> None:
    peer = SimPeer("answer", response=ANSWER, delay_ns=MS, requests_per_connection=3)
    totals, snapshot, _ = simulate(peer, connections=10, request_count=300, **rate(100))
    assert totals["responses"] == 300
    assert snapshot.counters["connections_opened"] == 100


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"model": "bursts"}, "load model must be"),
        ({"model": "rate"}, "needs a stage"),
        ({"model": "users", "stages": [(0, 1, 1)], "think": ("uniform", 5, 1)}, "think time"),
        ({"order": [1]}, "by their index"),
        ({"order": []}, "by their index"),
        ({"messages": [(b"", False)]}, "a request"),
        ({"warmup_ns": -1}, "negative"),
        ({"io": "io_uring", "kernel_timestamps": True}, "epoll"),
    ],
)
def test_arguments_that_make_no_sense(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_engine(
            **{
                "io": "epoll",
                "addresses": [("127.0.0.1", 1)],
                "messages": MESSAGES,
                "connections": 1,
                "request_count": 1,
                **bad,
            }
        )
