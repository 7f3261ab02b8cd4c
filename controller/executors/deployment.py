"""The seam to whoever brings agents up for one run: deploy has it, and this side knows nothing of how."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self


class Deployment(Protocol):
    """A context that removes, at its end, what was made."""

    @property
    def agents(self) -> int:
        """How many it brings up."""
        ...

    @property
    def loopback(self) -> bool:
        """Whether the controller need only listen on this host's loopback."""
        ...

    def plan_lines(self, port: int) -> list[str]:
        """What `start` would make, for people; nothing is done for it."""
        ...

    def start(self, port: int, ca_pem: bytes, token: bytes, say: Callable[[str], None]) -> None:
        """Begin to bring up agents that join at this port here; it goes on beside. `say` is called from another thread."""
        ...

    def absent(self) -> list[str]:
        """Who will certainly not join, a line `name: reason` each."""
        ...

    def awaited(self) -> list[str]:
        """Who has not come yet, with what is known of the reason, a line each."""
        ...

    def joined(self) -> None:
        """The run has its agents; no more need be watched."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
