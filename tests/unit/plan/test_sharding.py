"""Dealing connections and requests out to workers."""

from hypothesis import given
from hypothesis import strategies as st

from heyfleet.plan.sharding import deal


@given(workers=st.integers(1, 64), connections=st.integers(1, 5000), requests=st.integers(0, 10**9))
def test_shares_add_up_to_the_plan(workers: int, connections: int, requests: int) -> None:
    shares = deal(workers, connections, requests)
    used = min(connections, requests) if requests else connections
    numbers = [share.first + turn * share.stride for share in shares for turn in range(share.connections)]
    assert sorted(numbers) == list(range(used))
    assert sum(share.request_count for share in shares) == requests
    assert len(shares) == min(workers, used)


@given(workers=st.integers(1, 16), connections=st.integers(1, 500), requests=st.integers(1, 10**6))
def test_shares_are_even(workers: int, connections: int, requests: int) -> None:
    shares = deal(workers, connections, requests)
    counts = [share.connections for share in shares]
    assert max(counts) - min(counts) <= 1
    assert all(share.request_count >= share.connections for share in shares)


def test_one_hundred_and_five_requests_on_fifty_connections() -> None:
    assert [(share.connections, share.request_count) for share in deal(2, 50, 105)] == [(25, 53), (25, 52)]
