"""Waiting until something is so, among coroutines of one loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Condition:
    """Whoever changes what others wait for calls `notify`."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let all who wait look again."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)

    async def until(self, holds: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until `holds()`, at most so long; whether it does."""
        loop = asyncio.get_running_loop()
        deadline_s = None if timeout_s is None else loop.time() + timeout_s
        while not holds():
            left_s = None if deadline_s is None else deadline_s - loop.time()
            if left_s is not None and left_s <= 0:
                return False
            future = loop.create_future()
            self._waiting.add(future)
            try:
                await asyncio.wait_for(future, left_s)
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(future)
        return True
