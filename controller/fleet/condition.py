"""A condition variable for the coroutines of one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Condition:
    """Wakes waiting coroutines so that they test their predicates again. All methods belong to one event loop."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Wake all waiting coroutines. Call it after each change that a predicate may depend on."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, predicate: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until the predicate is true and return True, or return False after `timeout_s` on the loop's clock."""
        loop = asyncio.get_running_loop()
        deadline_s = None if timeout_s is None else loop.time() + timeout_s
        while not predicate():
            remaining_s = None if deadline_s is None else deadline_s - loop.time()
            if remaining_s is not None and remaining_s <= 0:
                return False
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, remaining_s)
            except TimeoutError:
                pass
            finally:
                self._waiters.discard(waiter)
        return True
