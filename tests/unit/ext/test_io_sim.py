"""The simulated network: what it promises beyond the io contract."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.ext import IoProbe, ProbeEvent, SimIo, SimPeer

ADDRESS = ("127.0.0.1", 80)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
MS = 1_000_000
S = 1_000 * MS


def network(peer: SimPeer, *, slots: int = 1, seed: int = 1) -> tuple[SimIo, IoProbe]:
    """A network with one peer, and `slots` connections to it."""
    sim = SimIo({ADDRESS[1]: peer}, seed=seed)
    probe = IoProbe(sim)
    assert probe.open(slots) == 0
    for slot in range(slots):
        probe.connect(slot, ADDRESS)
    return sim, probe


def closed_loop(probe: IoProbe, slots: int, turns: int) -> list[ProbeEvent]:
    """Each slot sends again and again; one whose stream has ended connects anew."""
    events = []
    for _ in range(turns):
        for slot in range(slots):
            probe.send(slot, REQUEST)
        for event in probe.drain(MS):
            events.append(event)
            if event.op == "recv" and event.result <= 0:
                probe.close(event.slot)
                probe.connect(event.slot, ADDRESS)
        events += probe.drain(MS)
    return events


def unreliable(**more: Any) -> SimPeer:
    return SimPeer(
        "answer",
        response=RESPONSE,
        jitter_ns=300_000,
        split_bytes=7,
        reset_probability=0.1,
        close_probability=0.1,
        requests_per_connection=5,
        **more,
    )


def test_the_clock_moves_only_to_what_happens_or_to_the_deadline() -> None:
    _, probe = network(SimPeer("answer", response=RESPONSE, connect_delay_ns=3 * MS))
    start = probe.now()
    assert start > 0
    assert probe.next() is None
    probe.wait(MS)
    assert probe.now() == start + MS
    assert probe.next() is None
    probe.wait(5 * MS)
    event = probe.next()
    assert event is not None
    assert start + 3 * MS <= event.time_ns == probe.now() < start + 4 * MS


def test_same_seed_same_run() -> None:
    def run(seed: int) -> list[ProbeEvent]:
        _, probe = network(unreliable(), slots=8, seed=seed)
        probe.drain(MS)
        return closed_loop(probe, 8, 20)

    first = run(5)
    assert run(5) == first
    assert run(6) != first


def test_the_counters_are_what_the_client_sees() -> None:
    sim, probe = network(unreliable(), slots=8)
    events = probe.drain(MS)
    events += closed_loop(probe, 8, 50)
    results = [event.result for event in events if event.op == "recv"]
    assert sim.connections_seen == [event.result for event in events if event.op == "connect"].count(0)
    assert sim.resets_sent == sum(result < 0 for result in results) > 0
    assert sim.closes_sent == results.count(0) > 0
    assert sim.bytes_out == sum(result for result in results if result > 0)
    assert sim.bytes_in == sim.requests_seen * len(REQUEST)
    assert sim.requests_seen <= 8 * 50
    assert sim.answers_sent * len(RESPONSE) <= sim.bytes_out


@pytest.mark.parametrize(
    ("peer", "data", "requests"),
    [
        (SimPeer("answer", response=RESPONSE), REQUEST * 3, 3),
        (SimPeer("answer", response=RESPONSE), b"\r\n\r\n\r\n\r\n", 2),
        (SimPeer("answer", response=RESPONSE), b"\r\n\r\r\n\r\n", 1),
        (SimPeer("answer", response=RESPONSE, request_end=b"abcabd12"), b"abcabcabd12", 1),
        (SimPeer("answer", response=RESPONSE, request_end=b"\0"), b"\0x\0", 2),
        (SimPeer("answer", response=RESPONSE, request_bytes=10), b"x" * 35, 3),
    ],
)
def test_requests_are_found_however_they_are_cut(peer: SimPeer, data: bytes, requests: int) -> None:
    for step in (len(data), 1, 2):
        sim, probe = network(peer)
        probe.drain(MS)
        received = b""
        for start in range(0, len(data), step):
            probe.send(0, data[start : start + step])
            received += b"".join(event.data for event in probe.drain(MS))
        assert sim.requests_seen == sim.answers_sent == requests
        assert received == RESPONSE * requests


def test_pieces_are_small_and_whole() -> None:
    _, probe = network(SimPeer("answer", response=RESPONSE, split_bytes=3))
    probe.drain(MS)
    probe.send(0, REQUEST)
    pieces = [event.data for event in probe.drain(MS) if event.op == "recv"]
    assert b"".join(pieces) == RESPONSE
    assert {len(piece) for piece in pieces} == {1, 2, 3}


def test_what_was_under_way_at_close_is_dropped() -> None:
    sim, probe = network(SimPeer("answer", response=RESPONSE, delay_ns=MS))
    probe.drain(MS)
    probe.send(0, REQUEST)
    probe.drain(MS // 2)
    probe.close(0)
    assert probe.drain(10 * MS) == []
    assert (sim.requests_seen, sim.answers_sent, sim.stale_dropped) == (1, 0, 1)


def test_stalled_connection_takes_requests_and_stays_silent() -> None:
    sim, probe = network(SimPeer("answer", response=RESPONSE, stall_probability=1.0))
    probe.drain(MS)
    for _ in range(3):
        probe.send(0, REQUEST)
        assert [event.op for event in probe.drain(MS)] == ["send"]
    assert (sim.requests_seen, sim.bytes_out) == (3, 0)


def test_blackhole_times_out_as_linux_does() -> None:
    _, probe = network(SimPeer("blackhole"))
    start = probe.now()
    assert probe.drain(126 * S) == []
    events = probe.drain(2 * S)
    assert [(event.op, event.result, event.time_ns - start) for event in events] == [
        ("connect", -110, 127 * S)
    ]


def test_bandwidth_bounds_both_directions() -> None:
    size = 1 << 20
    _, probe = network(SimPeer("echo", bandwidth_bytes_per_s=size))
    start = probe.drain(MS)[-1].time_ns
    probe.send(0, bytes(size))
    events = probe.drain(3 * S)
    assert events[0].op == "send"
    assert events[0].time_ns - start >= S
    assert events[-1].time_ns - events[0].time_ns >= S * 9 // 10
    assert sum(len(event.data) for event in events) == size


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SimPeer("sloth"),  # type: ignore[arg-type]
        lambda: SimPeer("answer"),
        lambda: SimPeer("echo", request_end=b""),
        lambda: SimPeer("echo", request_end=b"longer than eight"),
        lambda: SimPeer("echo", delay_ns=-1),
        lambda: IoProbe(SimIo({})).connect(0, ADDRESS),
        lambda: network(SimPeer("echo"))[1].connect(1, ADDRESS),
        lambda: network(SimPeer("echo"))[1].connect(0, ("localhost", 80)),
        lambda: network(SimPeer("echo"))[1].connect(0, ("127.0.0.1", 65536)),
        lambda: network(SimPeer("echo"))[1].connect(0, ("fe80::g", 80)),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        wrong()
