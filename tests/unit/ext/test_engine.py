"""The engine over a simulated network: whole runs in virtual time, the same for the same seed."""

from __future__ import annotations

import struct
import threading
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heyfleet.ext import Engine, EngineSnapshot, Histogram, SimIo, SimPeer

from ...engines import make_engine

PORT = 80
REQUEST = b"GET / HTTP/1.1\r\nHost: sim\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
MESSAGES = [(REQUEST, False)]
MS = 1_000_000
S = 1000 * MS


class Run:
    """A finished run of one engine, with all that it measured added up."""

    def __init__(self, engine: Engine, network: SimIo) -> None:
        self.network = network
        self.engine = engine
        engine.start(1)
        engine.run()
        self.snapshot: EngineSnapshot = engine.snapshot()
        self.totals: dict[str, int] = engine.totals
        assert self.totals["planned"] == self.totals["sent"] + self.totals["unsent"]
        assert self.totals["sent"] == (
            self.totals["responses"] + self.totals["errors"] + self.totals["abandoned"]
        )
        assert sum(self.snapshot.responses.values()) == self.totals["responses"]
        assert sum(self.snapshot.errors.values()) == self.totals["errors"]
        assert self.snapshot.counters["sent"] == self.totals["sent"]
        assert self.snapshot.counters["abandoned"] == self.totals["abandoned"]
        assert self.histogram("latency").count == self.totals["responses"]

    def histogram(self, metric: str) -> Histogram:
        return self.snapshot.histograms.get(metric, Histogram())


def simulate(peer: SimPeer, *, seed: int = 1, **plan: Any) -> Run:
    network = SimIo({PORT: peer}, seed=seed)
    return Run(make_engine(io=network, addresses=[("127.0.0.1", PORT)], messages=MESSAGES, **plan), network)


def connection_rate(rate: float) -> dict[str, Any]:
    """A constant rate, dealt out to the connections in turn."""
    return {"model": "connection_rate", "stages": [(0, rate, rate)]}


def answering(**behaviour: Any) -> SimPeer:
    return SimPeer("answer", response=ANSWER, **behaviour)


def test_the_count_is_exact_and_so_are_the_latencies() -> None:
    run = simulate(answering(delay_ns=3 * MS), connections=50, request_count=105)
    assert run.totals["responses"] == run.totals["planned"] == 105
    assert run.snapshot.counters["body_bytes"] == 5 * 105
    assert run.snapshot.counters["bytes_received"] == len(ANSWER) * 105
    assert run.snapshot.counters["bytes_sent"] == len(REQUEST) * 105
    latency = run.histogram("latency")
    assert 3 * MS <= latency.min_ns <= latency.max_ns < 3.1 * MS
    assert run.engine.stopped_by == "count"
    assert run.network.requests_seen == 105


def test_phases_add_up_to_the_latency() -> None:
    run = simulate(answering(delay_ns=2 * MS, jitter_ns=MS, split_bytes=7), connections=3, request_count=300)
    phases = [run.histogram(metric) for metric in ("request_write", "wait", "read")]
    assert sum(phase.sum_ns for phase in phases) == run.histogram("latency").sum_ns
    assert run.histogram("read").max_ns > 0


def test_connections_are_open_before_the_start() -> None:
    run = simulate(answering(connect_delay_ns=500 * MS), connections=10, request_count=100)
    assert run.histogram("connect").count == 10
    assert run.histogram("connect").min_ns >= 500 * MS
    assert run.histogram("latency").max_ns < 500 * MS


def test_without_keep_alive_the_connect_is_part_of_the_latency() -> None:
    peer = answering(connect_delay_ns=5 * MS, delay_ns=MS)
    run = simulate(peer, connections=4, request_count=40, keep_alive=False)
    assert run.snapshot.counters["connections_opened"] == 40
    assert run.histogram("latency").min_ns >= 6 * MS
    assert run.histogram("wait").max_ns < 2 * MS


def test_a_duration_stops_in_time_and_abandons_what_is_in_flight() -> None:
    run = simulate(answering(delay_ns=7 * MS), connections=20, duration_ns=S)
    assert run.engine.stopped_by == "duration"
    assert S <= run.totals["elapsed_ns"] <= S + MS
    assert run.totals["abandoned"] == 20
    assert run.totals["responses"] == 20 * (1000 // 7)


def test_a_schedule_loses_no_tick_to_a_stall() -> None:
    """10 requests a second for 10 s; an answer takes 0.35 s, so that the connection is always late, later each time."""
    run = simulate(answering(delay_ns=350 * MS), connections=1, duration_ns=10 * S, **connection_rate(10))
    assert run.totals["planned"] == 100
    assert run.totals["sent"] == 29
    assert run.totals["unsent"] == 71
    # Request k is intended at 0.1 k, sent at 0.35 k: latency runs from the first, service time from the second.
    assert run.histogram("latency").max_ns == pytest.approx(27 * 250 * MS + 350 * MS, rel=0.001)
    assert run.histogram("service_time").max_ns == pytest.approx(350 * MS, rel=0.001)
    assert run.histogram("lag").max_ns == pytest.approx(28 * 250 * MS, rel=0.001)


def test_a_schedule_that_is_kept_has_no_lag() -> None:
    run = simulate(answering(delay_ns=MS), connections=8, duration_ns=3 * S, **connection_rate(8 * 25))
    assert run.totals["planned"] == run.totals["sent"] == 8 * 25 * 3
    assert run.histogram("lag").count == run.totals["sent"]
    assert run.histogram("lag").max_ns < 0.1 * MS


def test_a_schedule_with_a_count() -> None:
    run = simulate(answering(), connections=4, request_count=10, **connection_rate(4 * 2))
    assert run.totals["responses"] == 10
    assert run.totals["elapsed_ns"] == pytest.approx(9 * S / 8, rel=0.01)


@pytest.mark.parametrize(
    ("peer", "kind"),
    [
        (SimPeer("close"), "closed early"),
        (SimPeer("reset"), "reset"),
        (SimPeer("refuse"), "connect refused"),
        (SimPeer("unreachable"), "connect unreachable"),
        (SimPeer("answer", response=b"SMTP ready\r\n"), "bad response: "),
        (
            SimPeer("answer", response=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"),
            "header too large",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_peer_that_always_fails(peer: SimPeer, kind: str) -> None:
    run = simulate(peer, connections=3, request_count=30)
    assert run.totals["errors"] == 30
    assert all(name.startswith(kind) for name in run.snapshot.errors), run.snapshot.errors


@pytest.mark.parametrize(("kind", "error"), [("silent", "request timeout"), ("blackhole", "connect timeout")])
def test_timeouts(kind: Any, error: str) -> None:
    run = simulate(SimPeer(kind), connections=3, request_count=6, timeout_ns=2 * S)
    assert run.snapshot.errors == {error: 6}
    assert run.totals["elapsed_ns"] == pytest.approx(4 * S, rel=0.01)


def test_a_duration_ends_a_run_without_answers() -> None:
    run = simulate(SimPeer("silent"), connections=3, duration_ns=S)
    assert run.totals["abandoned"] == run.totals["sent"] == 3


def test_failing_connects_do_not_keep_the_loop_from_its_clock() -> None:
    run = simulate(SimPeer("refuse", connect_delay_ns=1), connections=2, duration_ns=MS)
    assert run.engine.stopped_by == "duration"
    assert run.totals["errors"] > 0


def test_bytes_behind_an_answer_cost_the_connection() -> None:
    run = simulate(SimPeer("answer", response=ANSWER + b"more"), connections=2, request_count=20)
    assert run.totals["responses"] == 20
    assert run.snapshot.counters["unsolicited_responses"] == 20
    assert run.snapshot.counters["connections_opened"] >= 20


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    connections=st.integers(1, 20),
    requests=st.integers(1, 200),
    split=st.integers(0, 40),
)
def test_nothing_is_lost_whatever_the_network_does(
    seed: int, connections: int, requests: int, split: int
) -> None:
    peer = answering(
        jitter_ns=5 * MS, split_bytes=split, reset_probability=0.1, close_probability=0.1, stall_probability=0.05,
        requests_per_connection=7,
    )  # fmt: skip
    run = simulate(peer, seed=seed, connections=connections, request_count=requests, timeout_ns=50 * MS)
    assert run.totals["sent"] == requests
    assert run.totals["abandoned"] == 0
    assert run.totals["responses"] <= run.network.answers_sent


def test_the_same_seed_is_the_same_run() -> None:
    def once() -> tuple[dict[str, int], Histogram, dict[str, int]]:
        peer = answering(jitter_ns=5 * MS, split_bytes=9, reset_probability=0.2)
        run = simulate(peer, seed=7, connections=5, request_count=200)
        totals = {name: value for name, value in run.totals.items() if name not in ("cpu_ns", "wall_ns")}
        return totals, run.histogram("latency"), run.snapshot.errors

    assert once() == once()


def test_snapshots_during_a_run_add_up_to_its_totals() -> None:
    network = SimIo({PORT: answering(delay_ns=MS)})
    engine = make_engine(
        io=network, addresses=[("127.0.0.1", PORT)], messages=MESSAGES, connections=10, request_count=300_000
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    engine.start(1)
    snapshots = []
    while not engine.finished:
        snapshots.append(engine.snapshot())
    thread.join()
    snapshots.append(engine.snapshot())
    responses: Counter[int] = Counter()
    latency = Histogram()
    for snapshot in snapshots:
        responses.update(snapshot.responses)
        if "latency" in snapshot.histograms:
            latency.add(snapshot.histograms["latency"])
    assert responses == {200: 300_000}
    assert latency.count == 300_000
    assert sum(snapshot.counters["sent"] for snapshot in snapshots) == 300_000
    assert len(snapshots) > 2


def test_a_stop_ends_a_run_at_once() -> None:
    network = SimIo({PORT: answering(delay_ns=MS)})
    engine = make_engine(
        io=network, addresses=[("127.0.0.1", PORT)], messages=MESSAGES, connections=10, duration_ns=10**15
    )
    thread = threading.Thread(target=engine.run)
    thread.start()
    engine.start(1)
    while engine.snapshot().counters["sent"] == 0:
        pass
    engine.stop()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert engine.stopped_by == "signal"
    totals = engine.totals
    assert totals["sent"] == totals["responses"] + totals["abandoned"] == totals["planned"]


def test_the_trace_keeps_what_fits_and_counts_the_rest() -> None:
    network = SimIo({PORT: answering(delay_ns=MS)})
    engine = make_engine(
        io=network,
        addresses=[("127.0.0.1", PORT)],
        messages=MESSAGES,
        connections=2,
        request_count=30,
        trace_rows=20,
    )
    engine.start(1)
    engine.run()
    packed, dropped = engine.trace()
    rows = list(struct.iter_unpack("<7q2i", packed))
    assert len(rows) == 20
    assert dropped == 10
    for offset_ns, latency_ns, connect_ns, _, write_ns, wait_ns, read_ns, status, _ in rows:
        assert (status, connect_ns) == (200, 0)
        assert offset_ns >= 0
        assert write_ns + wait_ns + read_ns == latency_ns


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"connections": 0, "request_count": 1}, "at least one connection"),
        ({"connections": 1}, "a number of requests or a duration"),
        ({"connections": 1, "request_count": 1, "timeout_ns": -1}, "can't be negative"),
        ({"connections": 1, "request_count": 1, "model": "rate", "stages": [(0, -1, -1)]}, "levels from 0"),
        ({"connections": 1, "request_count": 1, "io": "kqueue"}, "io must be"),
    ],
)
def test_arguments_that_make_no_sense(bad: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_engine(**{"io": "epoll", "addresses": [("127.0.0.1", 1)], "messages": MESSAGES, **bad})
