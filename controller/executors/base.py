"""The seams of a run: what carries out a plan, what an agent is, and what brings agents up for one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from heyfleet.controller.signals import Interrupts
from heyfleet.errors import HeyfleetError
from heyfleet.proto.plan_pb2 import Assignment, Plan
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal, Snapshot
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements


class ResultsElsewhereError(HeyfleetError):
    """The load has begun, but its results can't be fetched now; the cure says where they will be."""


class Executor(Protocol):
    """Carries out plans."""

    def execute(
        self, plan: Plan, interrupts: Interrupts, on_interval: IntervalSink = ignore, /
    ) -> Measurements:
        """Run the load to its end or to the first signal. Whatever goes wrong, no load is left running.

        `on_interval` receives each second of the run. Raises InputError or CannotStartError if the run can't begin,
        Interrupted if a signal came before it began, and ResultsElsewhereError.
        """
        ...


class AgentLink(Protocol):
    """One agent with one assignment. While a method waits, Python's signal handlers can run."""

    def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Resolve the target's name, check the host's limits and open the connections; send nothing yet."""
        ...

    def start(self) -> None:
        """Begin to send load."""
        ...

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield a snapshot about once a second, and a last one when the load has ended."""
        ...

    def stop(self) -> None:
        """Stop the load at once, or prevent it. Safe at any time, also repeatedly and in a signal handler.

        `snapshots` and `done` still return what was measured.
        """
        ...

    def done(self) -> Done:
        """Return the totals, once `snapshots` is exhausted."""
        ...


class Deployment(Protocol):
    """A context manager that brings up agents for one run, and removes on exit whatever it created."""

    @property
    def agents(self) -> int:
        """The number of agents that it brings up."""
        ...

    @property
    def loopback(self) -> bool:
        """Whether the controller need listen only on this host's loopback interface."""
        ...

    @property
    def may_be_left(self) -> bool:
        """Whether, after the exit, something that it created may be left although it was to be removed."""
        ...

    def plan_lines(self, port: int, /) -> list[str]:
        """Return what `start` would create, as text."""
        ...

    def start(self, port: int, ca_pem: bytes, token: bytes, log: Callable[[str], None], /) -> None:
        """Begin to launch agents that join at this host's port, and return. `log` is called from another thread."""
        ...

    def absent_agents(self) -> list[str]:
        """Return a line `name: reason` for each agent that will never join."""
        ...

    def pending_agents(self) -> list[str]:
        """Return a line for each agent that has not joined yet, with what is known about it."""
        ...

    def stop_watching(self) -> None:
        """Stop watching, because the run has its agents."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
