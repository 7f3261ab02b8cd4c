"""Several encoded histograms added at once: all of them, or none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.ext import Histogram, add_encoded_all

VALUES = st.lists(st.integers(0, 4 * 10**12), max_size=50)
Part = tuple[Histogram, bytes, int, int, int, int, int]


def recorded(values_ns: list[int]) -> Histogram:
    histogram = Histogram()
    for value_ns in values_ns:
        histogram.record(value_ns)
    return histogram


def part(into: Histogram, of: Histogram) -> Part:
    return (into, of.encode(), of.count, of.sum_ns, of.min_ns, of.max_ns, of.clamped)


@given(st.lists(VALUES, max_size=6))
def test_the_sum_is_that_of_all_values(lists: list[list[int]]) -> None:
    one, other = Histogram(), Histogram()
    add_encoded_all([part(one, recorded(values)) for values in lists])
    add_encoded_all([part((one, other)[number % 2], Histogram()) for number in range(3)])
    assert one == recorded([value for values in lists for value in values])
    assert other == Histogram()


@given(st.lists(VALUES.filter(bool), min_size=1, max_size=4), st.data())
def test_one_that_is_bad_leaves_all_as_they_were(lists: list[list[int]], data: st.DataObject) -> None:
    into = [recorded([7, 7_000]) for _ in lists]
    parts = [part(histogram, recorded(values)) for histogram, values in zip(into, lists, strict=True)]
    bad = data.draw(st.integers(0, len(parts) - 1))
    histogram, payload, count, *totals = parts[bad]
    if data.draw(st.booleans()):
        parts[bad] = (histogram, payload[: data.draw(st.integers(0, len(payload) - 1))], count, *totals)  # type: ignore[assignment]
    else:
        parts[bad] = (histogram, payload, count + 1, *totals)  # type: ignore[assignment]
    with pytest.raises(ValueError, match="histogram"):
        add_encoded_all(parts)
    assert into == [recorded([7, 7_000]) for _ in lists]


def test_too_many_values_in_the_same_histogram() -> None:
    most = Histogram()
    most.record(1000, 2**62)
    into = Histogram()
    with pytest.raises(ValueError, match="at most 2\\*\\*63 - 1"):
        add_encoded_all([part(into, most)] * 2)
    assert into.count == 0
    add_encoded_all([part(into, most)])
    assert into.count == 2**62


def test_what_is_no_part() -> None:
    add_encoded_all([])
    for wrong in (
        [None],
        [(Histogram(), "text", 0, 0, 0, 0, 0)],
        [(None, Histogram().encode(), 0, 0, 0, 0, 0)],
        [(1, 2)],
    ):
        with pytest.raises((TypeError, ValueError)):
            add_encoded_all(wrong)  # type: ignore[arg-type]


@given(VALUES, VALUES)
def test_since(before: list[int], after: list[int]) -> None:
    histogram = recorded(before)
    older = histogram.copy()
    for value in after:
        histogram.record(value)
    news = histogram.since(older)
    assert news.count == len(after)
    assert [count for _, _, count in news.buckets()] == [count for _, _, count in recorded(after).buckets()]
