"""A set of mostly consecutive numbers, such as the sequence numbers of snapshots that have arrived."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable


class SequenceSet:
    """Numbers as ascending [first, last] pairs with gaps between them."""

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._pairs = [[first, last] for first, last in pairs]

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._pairs, [number, float("inf")]) - 1
        return index >= 0 and number <= self._pairs[index][1]

    def add(self, number: int) -> None:
        """Add a number; adding it again changes nothing."""
        if number in self:
            return
        index = bisect_right(self._pairs, [number, float("inf")])
        joins_before = index > 0 and self._pairs[index - 1][1] == number - 1
        joins_after = index < len(self._pairs) and self._pairs[index][0] == number + 1
        if joins_before and joins_after:
            self._pairs[index - 1][1] = self._pairs.pop(index)[1]
        elif joins_before:
            self._pairs[index - 1][1] = number
        elif joins_after:
            self._pairs[index][0] = number
        else:
            self._pairs.insert(index, [number, number])

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """All numbers, as [first, last] pairs."""
        return [(first, last) for first, last in self._pairs]

    @property
    def gaps(self) -> int:
        """The number of gaps before and between the numbers."""
        return len(self._pairs) - bool(self.contiguous)

    def is_continued_by(self, number: int) -> bool:
        """Whether the set is 1 to n and a number is n + 1."""
        return not self.gaps and self.contiguous == number - 1

    @property
    def contiguous(self) -> int:
        """The highest n such that 1 to n are all in the set; 0 if 1 is not."""
        return int(self._pairs[0][1]) if self._pairs and self._pairs[0][0] == 1 else 0

    def missing(self, last: int) -> int:
        """Return how many of 1 to `last` are not in the set."""
        return last - sum(min(high, last) - low + 1 for low, high in self._pairs if low <= last)
