"""When requests leave and users come: held against exact fractions, and exact over a whole fleet."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heyfleet.ext import ScheduleProbe
from heyfleet.plan.sharding import deal

S = 1_000_000_000
RAMP: list[tuple[int, float, float]] = [
    (30 * S, 0, 1000),
    (120 * S, 1000, 1000),
    (10 * S, 1000, 5000),
    (30 * S, 0, 0),
]
Stages = list[tuple[int, float, float]]


def due_until(stages: Stages, offset_ns: int) -> Fraction:
    """The integral of the level up to an instant, without any rounding."""
    total, begin_ns = Fraction(0), 0
    for duration_ns, first, last in stages:
        within = min(max(offset_ns - begin_ns, 0), duration_ns)
        part = Fraction(within, S)
        slope = Fraction(last - first) / Fraction(duration_ns, S)
        total += Fraction(first) * part + slope * part * part / 2
        begin_ns += duration_ns
    return total


def level_at(stages: Stages, offset_ns: int) -> Fraction:
    begin_ns = 0
    for duration_ns, first, last in stages:
        if offset_ns < begin_ns + duration_ns:
            return Fraction(first) + Fraction(last - first) * Fraction(offset_ns - begin_ns, duration_ns)
        begin_ns += duration_ns
    return Fraction(0)


def fleet_of(stages: Stages, agents: int, connections: int, **more: object) -> list[ScheduleProbe]:
    return [
        ScheduleProbe(
            stages,
            plan_connections=connections,
            first=share.first,
            stride=share.stride,
            connections=share.connections,
            **more,  # type: ignore[arg-type]
        )
        for share in deal(agents, connections, 0)
    ]


def instants(schedule: ScheduleProbe, at_most: int = 10**6) -> list[int]:
    found: list[int] = []
    while len(found) < at_most and (offset_ns := schedule.next_ns()) is not None:
        found.append(offset_ns)
    return found


def test_a_constant_rate_is_even_and_begins_at_once() -> None:
    assert instants(ScheduleProbe([(0, 4, 4)]), 5) == [0, S // 4, S // 2, 3 * S // 4, S]


def test_a_rate_for_a_time_has_as_many_requests_as_their_product() -> None:
    assert len(instants(ScheduleProbe([(10 * S, 333, 333)]))) == 3330


def test_the_same_instants_by_number_and_in_turn() -> None:
    schedule = ScheduleProbe(RAMP, plan_connections=7, first=1, stride=3, connections=2)
    assert [schedule.offset_ns(index) for index in range(2000)] == instants(schedule, 2000)


@pytest.mark.parametrize("agents", [1, 3, 7])
def test_all_agents_together_are_the_plan_at_any_instant(agents: int) -> None:
    """The issue's own ramp: to the integer, at 400 instants and at every hand-over."""
    offsets = sorted(at for schedule in fleet_of(RAMP, agents, 100) for at in instants(schedule))
    assert len(offsets) == 15_000 + 120_000 + 30_000
    for step in range(400):
        at_ns = step * 190 * S // 400 + 137
        sent = sum(at <= at_ns for at in offsets)
        # Tick k is due when the integral reaches k: k = 0 at the start.
        assert sent == min(math.floor(due_until(RAMP, at_ns)) + 1, len(offsets))
    for at_ns, due in ((30 * S, 15_000), (150 * S, 135_000), (160 * S, 165_000)):
        assert sum(at < at_ns for at in offsets) == due


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 50), st.integers(0, 50)), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(1, 40),
)
@settings(deadline=None)
def test_any_stages_on_any_fleet(seconds: list[tuple[int, int, int]], agents: int, connections: int) -> None:
    stages: Stages = [(duration * S, first, last) for duration, first, last in seconds]
    offsets = [at for schedule in fleet_of(stages, agents, connections) for at in instants(schedule)]
    whole_ns = sum(duration_ns for duration_ns, _, _ in stages)
    assert len(offsets) == math.ceil(due_until(stages, whole_ns))
    assert all(0 <= at <= whole_ns for at in offsets)
    alone = instants(ScheduleProbe(stages))
    assert sorted(offsets) == alone
    assert all(one <= other for one, other in pairwise(alone))


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=6),
    st.lists(st.integers(0, 120 * S), min_size=5, max_size=20),
)
@settings(deadline=None)
def test_users_at_any_instant(seconds: list[tuple[int, int, int]], looks: list[int]) -> None:
    """So many users as the level says, rounded up, at any instant but the very ones at which it changes."""
    stages: Stages = [(duration * S, first, last) for duration, first, last in seconds]
    whole_ns = sum(duration_ns for duration_ns, _, _ in stages)
    schedule = ScheduleProbe(stages)
    spans: list[list[tuple[int, int]]] = []
    for user in range(12):
        at_ns, mine = 0, []
        while (begin := schedule.user_begins_ns(user, at_ns)) is not None:
            end = schedule.user_ends_ns(user, begin)
            assert end is not None
            assert begin <= end <= whole_ns
            mine.append((begin, end))
            if end >= whole_ns:
                break
            at_ns = end
        spans.append(mine)
    for look_ns in looks:
        if look_ns >= whole_ns:
            continue
        there = sum(any(begin + 2 <= look_ns < end - 2 for begin, end in mine) for mine in spans)
        changing = sum(any(abs(edge - look_ns) <= 2 for span in mine for edge in span) for mine in spans)
        expected = math.ceil(level_at(stages, look_ns))
        assert expected - changing <= there <= expected + changing


def test_the_spawning_of_the_third_experiment() -> None:
    """1,100 users at 100 a second: user j comes at j / 100 s, and stays."""
    schedule = ScheduleProbe([(11 * S, 0, 1100), (0, 1100, 1100)])
    for user in (0, 1, 2, 499, 1099):
        assert schedule.user_begins_ns(user) == pytest.approx(user * S / 100, abs=2)
        assert schedule.user_ends_ns(user, user * S // 100) is None
    assert schedule.user_begins_ns(1100) is None


def test_users_of_a_fleet_are_the_users_of_the_plan() -> None:
    numbers = [
        share.first + place * share.stride for share in deal(4, 1100, 0) for place in range(share.connections)
    ]
    assert sorted(numbers) == list(range(1100))


def test_poisson_arrivals_are_a_function_of_the_seed() -> None:
    one, same, other = (ScheduleProbe([(0, 100, 100)], poisson=True, seed=seed) for seed in (1, 1, 2))
    assert instants(one, 50) == instants(same, 50) != instants(other, 50)


def test_poisson_arrivals_of_a_fleet_have_its_rate_and_its_spread() -> None:
    """Gaps of the merged process: exponential, so that their deviation is their mean; 20,000 of them."""
    offsets = sorted(
        at
        for schedule in fleet_of([(0, 1000, 1000)], 4, 10, poisson=True, seed=5)
        for at in instants(schedule, 8000)
    )[:20_000]
    gaps = [later - before for before, later in pairwise(offsets)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert mean == pytest.approx(S / 1000, rel=0.03)
    assert deviation == pytest.approx(mean, rel=0.05)


@pytest.mark.parametrize(
    "stages", [[], [(S, -1, 1)], [(0, 1, 2)], [(0, 1, 1), (S, 1, 1)], [(-S, 1, 1)], [(S, float("nan"), 1)]]
)
def test_impossible_stages(stages: Stages) -> None:
    with pytest.raises(ValueError, match="stage"):
        ScheduleProbe(stages)
