"""SIGINT, SIGTERM and SIGHUP during a run: the first signal stops the load and the report follows, the second exits at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from heyfleet.surroundings import end_signals


class Interrupted(KeyboardInterrupt):
    """A signal arrived before the load had started."""


def _load_has_ended() -> None:
    """Stop nothing."""


class Interrupts:
    """A context manager within which a signal stops the load. `signum` is the first signal, or 0."""

    def __init__(self) -> None:
        self.signum = 0
        self._stop: Callable[[], object] | None = None
        self._previous_handlers: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """The exit code that shells give to a process ended by the signal; 0 without a signal."""
        return 128 + self.signum if self.signum else 0

    @contextmanager
    def stop_with(self, stop: Callable[[], object]) -> Iterator[None]:
        """Call `stop` on a signal within the context, or at once if there was one.

        Before the first such context, a signal raises Interrupted; after one, the load has ended, and nothing is called.
        """
        self._stop = stop
        if self.signum:
            stop()
        try:
            yield
        finally:
            self._stop = _load_has_ended

    def __enter__(self) -> Interrupts:
        for number in end_signals():
            self._previous_handlers[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous_handlers.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum:
            # sys.exit would wait for threads that still send load.
            os._exit(128 + signum)
        self.signum = signum
        if self._stop is None:
            raise Interrupted
        self._stop()
