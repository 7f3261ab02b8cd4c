from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.lab.vpc_lambda.sharing import SharedWork, TokenBucket


def test_a_bucket_is_full_at_first_and_then_gives_its_rate() -> None:
    bucket = TokenBucket(3, 2)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(0.5), bucket.take(0.5)] == [True, False]
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]  # no more than it holds


def test_thirds_of_a_second_add_up_to_whole_tokens() -> None:
    bucket = TokenBucket(1, 3)
    assert all(bucket.take(number / 3) for number in range(1000))


def finished(work: SharedWork[str]) -> dict[str, float]:
    found = {}
    while (at_s := work.next_s) is not None:
        found[work.finish(at_s)] = at_s
    return found


def test_few_pieces_go_at_full_speed() -> None:
    work: SharedWork[str] = SharedWork(2)
    work.begin(0.0, 1.0, "a")
    work.begin(0.5, 1.0, "b")
    assert finished(work) == {"a": 1.0, "b": 1.5}


def test_more_share_the_speed() -> None:
    work: SharedWork[str] = SharedWork(1)
    work.begin(0.0, 1.0, "a")
    work.begin(0.5, 1.0, "b")  # a has half of its second; from now on each gets half
    assert finished(work) == pytest.approx({"a": 1.5, "b": 2.0})


@given(
    st.integers(1, 5),
    st.lists(st.tuples(st.floats(0, 10), st.floats(0.01, 5)), min_size=1, max_size=30),
)
def test_no_work_is_lost_or_done_twice(capacity: int, pieces: list[tuple[float, float]]) -> None:
    """Held against a simulation by small steps of the same definition."""
    work: SharedWork[int] = SharedWork(capacity)
    ends: dict[int, float] = {}

    def until(now_s: float) -> None:
        while (at_s := work.next_s) is not None and at_s <= now_s:
            ends[work.finish(at_s)] = at_s

    order = sorted(range(len(pieces)), key=lambda number: pieces[number][0])
    for number in order:
        until(pieces[number][0])
        work.begin(*pieces[number], number)
    until(1e9)
    assert sorted(ends) == sorted(order)
    # Between two events all speeds are constant, so that their sums over these stretches are exact.
    instants = sorted({*(begin for begin, _ in pieces), *ends.values()})
    for number, (begin_s, needed_s) in enumerate(pieces):
        got_s = 0.0
        for left_s, right_s in itertools.pairwise(instants):
            there = [each for each, end_s in ends.items() if pieces[each][0] <= left_s and end_s >= right_s]
            if begin_s <= left_s and ends[number] >= right_s:
                got_s += (right_s - left_s) * min(1.0, capacity / len(there))
        assert got_s == pytest.approx(needed_s, abs=1e-6)
