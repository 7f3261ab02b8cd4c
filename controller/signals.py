"""SIGINT and SIGTERM in a run: the first ends the load and the report follows, the second leaves at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A signal came before the load had started."""


class Interrupts:
    """A context in which signals mean: stop."""

    def __init__(self) -> None:
        self.signum = 0  # of the first signal
        self._stop: Callable[[], object] | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """As a shell shows a process that a signal ended; 0 if none came."""
        return 128 + self.signum if self.signum else 0

    def running(self, stop: Callable[[], object]) -> None:
        """From here on a signal calls `stop`, which ends the load; until here it raises Interrupted."""
        self._stop = stop

    def __enter__(self) -> Interrupts:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, signum: int, _frame: FrameType | None) -> None:
        if self.signum:
            # Not sys.exit: threads that still send load must not hold up the end.
            os._exit(128 + signum)
        self.signum = signum
        if self._stop is None:
            raise Interrupted
        self._stop()
