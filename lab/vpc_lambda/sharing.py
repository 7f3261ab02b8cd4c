"""A limited rate and a shared speed. Neither has a clock."""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class TokenBucket:
    """A bucket of at most `capacity` tokens, full at first, that gets `rate` more per second."""

    def __init__(self, capacity: float, rate: float) -> None:
        self._capacity = self._tokens = float(capacity)
        self._rate = rate
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Take a token; return whether there was one."""
        passed_s, self._at_s = now_s - self._at_s, now_s
        self._tokens = min(self._capacity, self._tokens + passed_s * self._rate)
        # A sum of shares of a second may miss a whole token by its rounding.
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True


class SharedWork(Generic[Item]):
    """Work that is shared: up to `capacity` pieces run at full speed; more share that speed evenly (processor sharing).

    All pieces advance alike, so one sum of what each piece has received says which are done.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._got_s = 0.0
        self._at_s = 0.0
        self._pieces: list[tuple[float, int, Item]] = []
        self._number = count()

    def __len__(self) -> int:
        return len(self._pieces)

    def begin(self, now_s: float, work_s: float, item: Item) -> None:
        """Add a piece of work that takes `work_s` when it is alone."""
        self._pass(now_s)
        heapq.heappush(self._pieces, (self._got_s + work_s, next(self._number), item))

    @property
    def next_s(self) -> float | None:
        """Return when the next piece is done, if no other begins."""
        if not self._pieces:
            return None
        return self._at_s + (self._pieces[0][0] - self._got_s) / self._speed

    def finish(self, now_s: float) -> Item:
        """Remove and return the piece that is done now, at `next_s`."""
        self._pass(now_s)
        done_at_s, _, item = heapq.heappop(self._pieces)
        self._got_s = done_at_s  # exactly, whatever the divisions rounded
        return item

    @property
    def _speed(self) -> float:
        return min(1.0, self._capacity / len(self._pieces)) if self._pieces else 1.0

    def _pass(self, now_s: float) -> None:
        self._got_s += (now_s - self._at_s) * self._speed
        self._at_s = now_s
