"""A limited rate and a shared speed, for simulations: both take the time as an argument."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TokenBucket:
    """Holds at most `capacity` tokens, is full at first, and gains `rate` tokens a second."""

    def __init__(self, capacity: float, rate: float) -> None:
        self._capacity = self._tokens = float(capacity)
        self._rate = rate
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Take a token; return whether there was one."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        self._tokens = min(self._capacity, self._tokens + passed_s * self._rate)
        # Rounding may leave a sum of fractions just below a whole token.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


class SharedWork(Generic[Item]):
    """Up to `capacity` pieces of work run at full speed; more share that speed evenly (processor sharing).

    Since all pieces get the same speed, one running total of the work that each got says when each is finished.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._total_s = 0.0
        self._at_s = 0.0
        self._pieces: list[tuple[float, int, Item]] = []
        self._number = count()

    def __len__(self) -> int:
        return len(self._pieces)

    def begin(self, now_s: float, work_s: float, item: Item) -> None:
        """Add a piece of work that takes `work_s` at full speed."""
        self._advance(now_s)
        heapq.heappush(self._pieces, (self._total_s + work_s, next(self._number), item))

    @property
    def next_s(self) -> float | None:
        """Return when the next piece finishes if no other begins; None without any."""
        if not self._pieces:
            return None
        return self._at_s + (self._pieces[0][0] - self._total_s) / self._speed

    def finish(self, now_s: float) -> Item:
        """Remove and return the piece that finishes now, at `next_s`."""
        self._advance(now_s)
        end_s, _, item = heapq.heappop(self._pieces)
        self._total_s = end_s  # exact, in spite of rounding in the divisions
        return item

    @property
    def _speed(self) -> float:
        return min(1.0, self._capacity / len(self._pieces)) if self._pieces else 1.0

    def _advance(self, now_s: float) -> None:
        self._total_s += (now_s - self._at_s) * self._speed
        self._at_s = now_s
