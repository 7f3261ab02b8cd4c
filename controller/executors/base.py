"""The seam between a controller and an agent, wherever that agent runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal, Snapshot


class AgentLink(Protocol):
    """One agent and one assignment: prepare, start, snapshots, done; stop at any time.

    A wait inside any of these lets Python's signal handlers run.
    """

    def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Resolve the name, check the limits of the host, open the connections; send nothing yet."""
        ...

    def start(self) -> None:
        """Begin to send load."""
        ...

    def snapshots(self) -> Iterator[Snapshot]:
        """About one each second; the last one when the load has ended."""
        ...

    def stop(self) -> None:
        """End the load at once, or before it begins; safe in a signal handler, at any time, more than once.

        `snapshots` and `done` then still tell what was done.
        """
        ...

    def done(self) -> Done:
        """The totals; to be asked for when `snapshots` is exhausted."""
        ...
