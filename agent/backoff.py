"""Waiting between attempts to reach the controller: longer each time, up to a time limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from heyfleet.agent.errors import UnreachableError
from heyfleet.durations import format_duration

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
# The first few attempts fail silently: the controller may just be starting.
_QUIET_S = 4 * _FIRST_WAIT_S


class Backoff:
    """Doubles the wait after each failure and gives up after `timeout_s`; `log` gets a line when it begins to matter."""

    def __init__(
        self,
        timeout_s: float,
        log: Callable[[str], None],
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._timeout_s = timeout_s
        self._log = log
        self._clock_ns = clock_ns
        self.reset()

    def reset(self) -> None:
        """Start over, since the controller has answered."""
        self._began_ns = self._clock_ns()
        self._wait_s = _FIRST_WAIT_S
        self._logged = False

    async def wait(self, address: str, error: UnreachableError) -> None:
        """Wait before the next attempt; raise `error` if the time limit has passed."""
        if self._clock_ns() - self._began_ns >= self._timeout_s * 1e9:
            raise error
        if not self._logged and self._wait_s > _QUIET_S:
            self._logged = True
            limit = format_duration(round(self._timeout_s * 1e9))
            self._log(f"the controller at {address} can't be reached ({error}); trying for {limit}")
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
