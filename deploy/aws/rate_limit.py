"""Documented rates of AWS's APIs, kept on our side, so that large fleets are not throttled in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable


class Bucket:
    """So many at once, and so many a second after that."""

    def __init__(
        self,
        size: float,
        a_second: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._size = size
        self._a_second = a_second
        self._now = now
        self._sleep = sleep
        self._level = size
        self._at_s = now()

    def take(self, count: float) -> None:
        """Wait until there are so many, at most what it holds, and take them."""
        while True:
            at_s = self._now()
            self._level = min(self._size, self._level + (at_s - self._at_s) * self._a_second)
            self._at_s = at_s
            if self._level >= count - 1e-6:  # what is left of it by rounding would be waited for without end
                self._level -= count
                return
            self._sleep((count - self._level) / self._a_second)
