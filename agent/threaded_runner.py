"""A runner for an event loop: what blocks in Runner is done in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.runner import Runner
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.stats_pb2 import Done, Ready, Refusal, Snapshot


class ThreadedRunner:
    """Runs one assignment; the methods are those of Runner, which documents them."""

    def __init__(self, policy: HostPolicy) -> None:
        self._runner = Runner(policy)

    async def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Prepare in a thread."""
        return await asyncio.to_thread(self._runner.prepare, assignment)

    def start(self, at_ns: int) -> None:
        """Start the load at an instant of CLOCK_MONOTONIC."""
        self._runner.start(at_ns)

    def stop(self) -> None:
        """End the load at once."""
        self._runner.stop()

    async def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield a snapshot a second, and a last one when the load has ended."""
        snapshots = self._runner.snapshots()
        while (snapshot := await asyncio.to_thread(next, snapshots, None)) is not None:
            yield snapshot

    async def done(self) -> Done:
        """Return the totals, after the last snapshot."""
        return await asyncio.to_thread(self._runner.done)
