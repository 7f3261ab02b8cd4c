"""A set of numbers that mostly follow each other, such as the sequences of snapshots that have come."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class SequenceSet:
    """Numbers as [first, last] pairs, ascending, with a gap between each two."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._pairs = [[first, last] for first, last in pairs]

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._pairs, [number, float("inf")]) - 1
        return at >= 0 and number <= self._pairs[at][1]

    def add(self, number: int) -> None:
        """Put a number in; once more is harmless."""
        if number in self:
            return
        at = bisect_right(self._pairs, [number, float("inf")])
        joins_before = at > 0 and self._pairs[at - 1][1] == number - 1
        joins_after = at < len(self._pairs) and self._pairs[at][0] == number + 1
        if joins_before and joins_after:
            self._pairs[at - 1][1] = self._pairs.pop(at)[1]
        elif joins_before:
            self._pairs[at - 1][1] = number
        elif joins_after:
            self._pairs[at][0] = number
        else:
            self._pairs.insert(at, [number, number])

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All of them."""
        return [(first, last) for first, last in self._pairs]

    @property
    def contiguous(self) -> int:
        """The highest n of which all from 1 to n are in; 0 if 1 is not."""
        return int(self._pairs[0][1]) if self._pairs and self._pairs[0][0] == 1 else 0

    def missing(self, last: int) -> int:
        """How many of 1 to `last` are not in."""
        return last - sum(min(high, last) - low + 1 for low, high in self._pairs if low <= last)
