"""Results on their way from a runner to the controller, by way of the spool file."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from heyfleet.agent.errors import cause_of
from heyfleet.agent.held_run import HeldRun
from heyfleet.proto.control_pb2 import FromAgent
from heyfleet.proto.stats_pb2 import Record


class Delivery:
    """Keeps results and sends them: as they come, and again where a broken stream has lost them.

    `send` takes messages for the controller, `log` lines for the host's owner; `clock_ns` and `in_thread` are those of the
    agent's service.
    """

    def __init__(
        self,
        send: Callable[[FromAgent], None],
        log: Callable[[str], None],
        clock_ns: Callable[[], int],
        in_thread: Callable[..., Coroutine[Any, Any, Any]],
    ) -> None:
        self._send = send
        self._log = log
        self._clock_ns = clock_ns
        self._in_thread = in_thread

    async def collect(self, run: HeldRun) -> None:
        """Spool and send a run's snapshots and totals as they come."""
        async for snapshot in run.runner.snapshots():
            await self._spool(run, Record(snapshot=snapshot))
            run.last_sequence = snapshot.sequence
            run.since_ns = self._clock_ns()
            self._send(FromAgent(snapshot=snapshot, run_id=run.run_id))
        done = await run.runner.done()
        if run.ended_by:
            done.stopped_by = run.ended_by
        await self._spool(run, Record(done=done))
        run.done, run.running = done, False
        self._send(FromAgent(done=done, run_id=run.run_id))
        self._log(f"run {run.run_id}: {done.sent} requests sent, ended by {done.stopped_by}")

    async def _spool(self, run: HeldRun, record: Record) -> None:
        """Append to the spool file, before the record is sent: the controller never has more than the file.

        After a write that failed the file gets nothing more, so that it has no gap.
        """
        if run.spool_fault:
            return
        try:
            await self._in_thread(run.append, record)
        except OSError as error:
            assert run.spool is not None
            run.spool_fault = cause_of(error)
            self._log(f"can't write {run.spool.path}: {run.spool_fault}; results are sent, but not kept here")

    async def resend(self, run: HeldRun, after_sequence: int) -> str:
        """Send a run's records again from the spool file, without the snapshots that the controller has.

        Return why some are lost, or "". Raises OSError and MemoryError.
        """
        last_sequence, run_id = run.last_sequence, run.run_id
        records = await self._in_thread(run.records)
        for record in records:
            if record.HasField("ready") and not after_sequence:
                self._send(FromAgent(ready=record.ready, run_id=run_id))
            elif record.HasField("snapshot") and record.snapshot.sequence > after_sequence:
                self._send(FromAgent(snapshot=record.snapshot, run_id=run_id))
        if run.done is not None:
            self._send(FromAgent(done=run.done, run_id=run_id))
        kept = max((record.snapshot.sequence for record in records), default=0)
        if max(kept, after_sequence) >= last_sequence:
            return ""
        return f"results that could not be kept here were lost with the stream: {run.spool_fault}"
