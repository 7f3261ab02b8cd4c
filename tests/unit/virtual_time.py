"""An event loop whose time jumps to the next timer, so that hours of waiting take milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

_START_S = 1000.0  # far from 0, so that no test confuses an instant with a duration


class StuckError(Exception):
    """All coroutines wait, and no timer is left to wake one."""


class _JumpingSelector(selectors.BaseSelector):
    """Reports no I/O. Instead of waiting it moves the loop's clock."""

    def __init__(self) -> None:
        self.now_s = _START_S
        self._keys: dict[Any, selectors.SelectorKey] = {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StuckError
        self.now_s += max(timeout, 0.0)
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, -1, events, data)
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys[fileobj]


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs timers in order without waiting. It raises StuckError instead of waiting for ever."""

    def __init__(self) -> None:
        self._jumping_selector = _JumpingSelector()
        super().__init__(self._jumping_selector)
        self.errors: list[BaseException] = []

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Remember the error of a callback or task that nobody waits for."""
        self.errors.append(context.get("exception") or RuntimeError(context["message"]))

    def time(self) -> float:
        """Return virtual seconds."""
        return self._jumping_selector.now_s

    def now_ns(self) -> int:
        """Return virtual nanoseconds."""
        return round(self._jumping_selector.now_s * 1e9)


def virtual_loop() -> VirtualTimeLoop:
    """Return the running loop, which must be virtual."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, as asyncio.run does in real time. Errors in callbacks are raised, too."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualTimeLoop)
        try:
            result = runner.run(main)
        finally:
            if loop.errors:
                raise loop.errors[0]
        return result
