"""An event loop whose clock jumps to the next timer, so that hours of waiting pass in milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


_START_S = 1000.0  # far from 0, so that no test confuses an instant with a duration


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop without sockets. Its time passes only when every task waits for a timer, and ends after `limit_s`.

    Signal handlers are recorded, and called by `raise_signal`.
    """

    def __init__(self, limit_s: float = 100_000.0) -> None:
        super().__init__()
        self._selector = self
        self._now_s = _START_S
        self._limit_s = _START_S + limit_s
        self._handlers: dict[int, tuple[Callable[..., object], tuple[Any, ...]]] = {}
        self.errors: list[BaseException] = []

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Record the error of a callback, or of a task that nothing waits for."""
        self.errors.append(context.get("exception") or RuntimeError(context["message"]))

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def now_ns(self) -> int:
        """Return the virtual time in nanoseconds, for code that takes a clock."""
        return round(self._now_s * 1e9)

    def select(self, timeout: float | None) -> list[Any]:
        """Let the time until the next timer pass; fail where no timer is left, or the time is up."""
        if timeout is None:
            raise RuntimeError("every task waits for something that will never happen")
        self._now_s += timeout
        if self._now_s > self._limit_s:
            raise RuntimeError(f"not finished after {self._limit_s - _START_S:g} s of virtual time")
        return []

    def add_signal_handler(
        self, sig: int, callback: Callable[[*Arguments], object], *args: *Arguments
    ) -> None:
        """Record a handler; no signal of the process is caught."""
        self._handlers[sig] = (callback, args)

    def raise_signal(self, number: int) -> None:
        """Call the handler of a signal."""
        callback, args = self._handlers[number]
        callback(*args)

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing but timers happens in this loop."""

    def _write_to_self(self) -> None:
        """Nothing waits in another thread."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time, and cancel what it has left running. Errors in callbacks are raised, too."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        try:
            result = runner.run(main)
        finally:
            if loop.errors:
                raise loop.errors[0]
        return result


def current_loop() -> VirtualLoop:
    """Return the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop
