"""Estimating an agent's clock from pings: the true offset always lies within the stated uncertainty."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heyfleet.controller.fleet.clock_sync import SAMPLES_PER_BURST, ClockSync

DELAYS = st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**8)), min_size=1, max_size=20)


@given(st.integers(-(10**15), 10**15), DELAYS)
def test_the_true_offset_is_within_the_uncertainty(offset_ns: int, delays: list[tuple[int, int]]) -> None:
    clock = ClockSync()
    now_ns = 10**12
    for there_ns, back_ns in delays:
        clock.add_sample(now_ns, now_ns + there_ns + offset_ns, now_ns + there_ns + back_ns)
        now_ns += 10**6
    at_ns = 10**12
    assert abs(clock.to_agent_ns(at_ns) - (at_ns + offset_ns)) <= clock.uncertainty_ns(at_ns) + 1
    assert clock.to_controller_ns(clock.to_agent_ns(at_ns)) == at_ns


def test_the_shortest_round_trip_wins() -> None:
    clock = ClockSync()
    clock.add_sample(0, 5_900, 10_000)
    clock.add_sample(0, 1_050, 100)
    clock.add_sample(0, 9_000, 10_000)
    assert clock.round_trip_ns == 100
    assert clock.to_agent_ns(0) == 1_000
    assert clock.uncertainty_ns(50) == 50


def test_the_uncertainty_grows_with_time() -> None:
    clock = ClockSync()
    clock.add_sample(0, 50, 100)
    assert clock.uncertainty_ns(50 + 10_000_000_000) == 50 + 1_000_000  # 100 ppm of 10 s


def test_a_new_burst_replaces_the_best_sample() -> None:
    clock = ClockSync()
    clock.add_sample(0, 50, 100)
    assert not clock.synchronized
    for _ in range(SAMPLES_PER_BURST):
        clock.add_sample(0, 50, 100)
    assert clock.synchronized
    clock.begin_burst()
    assert not clock.synchronized
    assert clock.round_trip_ns == 100
    clock.add_sample(1_000, 2_500, 2_000)
    assert clock.round_trip_ns == 1_000
    assert clock.to_agent_ns(0) == 1_000


def test_without_a_sample_the_clocks_count_as_equal() -> None:
    clock = ClockSync()
    assert (clock.to_agent_ns(7), clock.uncertainty_ns(7), clock.round_trip_ns) == (7, 0, 0)
