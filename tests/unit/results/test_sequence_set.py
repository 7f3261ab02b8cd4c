"""Sets of sequence numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heyfleet.results.sequence_set import SequenceSet


@given(st.lists(st.integers(1, 60)))
def test_it_behaves_like_a_set(numbers: list[int]) -> None:
    ranges, truth = SequenceSet(), set(numbers)
    for number in numbers:
        ranges.add(number)
    assert [number for number in range(62) if number in ranges] == sorted(truth)
    assert sum(last - first + 1 for first, last in ranges.pairs) == len(truth)
    assert all(
        last + 1 < first for (_, last), (first, _) in zip(ranges.pairs, ranges.pairs[1:], strict=False)
    )
    for last in (0, 7, 60):
        assert ranges.missing(last) == sum(number not in truth for number in range(1, last + 1))
    assert ranges.contiguous == next(n for n in range(62) if n + 1 not in truth)
    assert SequenceSet(ranges.pairs).pairs == ranges.pairs
