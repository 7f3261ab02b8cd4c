"""The rate limits of AWS's APIs, observed on our side so that a large launch is not throttled in the middle."""

from __future__ import annotations

import time
from collections.abc import Callable

_ROUNDING = 1e-6


class TokenBucket:
    """A token bucket: a burst at once, and a steady rate after it."""

    def __init__(
        self,
        burst: float,
        rate_per_s: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._burst = burst
        self._rate_per_s = rate_per_s
        self._now = now
        self._sleep = sleep
        self._level = burst
        self._updated_s = now()

    def take(self, count: float) -> None:
        """Wait until the bucket holds `count` tokens, which must not exceed the burst, and take them."""
        while True:
            now_s = self._now()
            self._level = min(self._burst, self._level + (now_s - self._updated_s) * self._rate_per_s)
            self._updated_s = now_s
            if self._level >= count - _ROUNDING:  # a deficit of mere rounding would never be made up
                self._level -= count
                return
            self._sleep((count - self._level) / self._rate_per_s)
