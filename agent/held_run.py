"""One run as its agent holds it: the runner, the spool file, how far it has come, and how long each step may take."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from heyfleet.agent.spool import Spool
from heyfleet.proto.control_pb2 import Offer
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST, OFFERS_AT_MOST
from heyfleet.proto.stats_pb2 import Done, Ready, Record, Refusal, Snapshot

# How long a run may stay where it is. The controller gives an agent a little longer, so that it hears the cause from here.
PREPARE_LIMIT_NS = 120_000_000_000
START_LIMIT_NS = 300_000_000_000  # from being ready to the order to start
STALL_LIMIT_NS = 60_000_000_000  # from one snapshot to the next, which is due after a second
_OFFER_BYTES_AT_MOST = MESSAGE_BYTES_AT_MOST - (1 << 19)  # the rest is for the other fields of a hello


class AsyncRunner(Protocol):
    """What the service needs of a runner; ThreadedRunner implements it."""

    async def prepare(self, assignment: Assignment) -> Ready | Refusal:
        """Open the connections, or say why that is impossible."""
        ...

    def start(self, at_ns: int) -> None:
        """Start the load at an instant of the agent's clock."""
        ...

    def stop(self) -> None:
        """End the load at once, or before it begins; may be called at any time, more than once."""
        ...

    def snapshots(self) -> AsyncIterator[Snapshot]:
        """Yield a snapshot a second, and a last one when the load has ended."""
        ...

    async def done(self) -> Done:
        """Return the totals, after the last snapshot."""
        ...


class HeldRun:
    """A run that is prepared, running, or ended and not yet released."""

    def __init__(self, assignment: Assignment, runner: AsyncRunner, since_ns: int) -> None:
        self.assignment = assignment
        self.runner = runner
        self.since_ns = since_ns  # when its latest step was made
        self.spool: Spool | None = None  # None until the run is prepared
        self.ready: Ready | None = None  # the answer to its assignment
        self.spool_fault = ""  # why its results are not kept any more
        self.failure = ""  # why the agent gave it up after the start
        self.running = False
        self.ended_by = ""  # what ended the load, if the service did
        self.seal = b""  # proves to another controller that this share was started
        self.last_sequence = 0
        self.done: Done | None = None

    @property
    def run_id(self) -> str:
        """Return the id of the run."""
        return self.assignment.run_id

    def offer(self) -> Offer:
        """Return what the controller must know of the run after a broken stream."""
        ended = self.done is not None or bool(self.failure)
        return Offer(
            assignment=self.assignment, last_sequence=self.last_sequence, ended=ended, seal=self.seal
        )

    def overdue(self, now_ns: int) -> str:
        """Return what takes too long, or ""."""
        waited_ns = now_ns - self.since_ns
        if self.running and waited_ns > STALL_LIMIT_NS:
            return f"its load gave no results for {waited_ns / 1e9:.0f} s"
        if self.spool is None and waited_ns > PREPARE_LIMIT_NS:
            return f"its connections were not ready after {waited_ns / 1e9:.0f} s; set a shorter --timeout, or a lower -c"
        if not self.running and self.done is None and not self.failure and waited_ns > START_LIMIT_NS:
            return f"no order to start came for {waited_ns / 1e9:.0f} s"
        return ""

    def open_spool(self, folder: Path, agent: str, ready: Ready) -> None:
        """Create the spool file with its first records; OSError, and ValueError for an id that is no file name."""
        self.spool = Spool(folder, self.run_id, agent)
        self.spool.append(Record(assignment=self.assignment))
        self.spool.append(Record(ready=ready))
        self.ready = ready

    def append(self, record: Record) -> None:
        """Append a record to the spool file; OSError."""
        assert self.spool is not None
        self.spool.append(record)

    def records(self) -> list[Record]:
        """Read all records of the spool file; OSError."""
        return list(self.spool.records()) if self.spool is not None else []

    def close(self, *, keep: bool) -> None:
        """Close the spool file, and delete it unless it is to be kept; OSError if it can't be deleted."""
        if self.spool is not None:
            self.spool.close(keep=keep)


def newest_offers(runs: Sequence[HeldRun]) -> list[Offer]:
    """Return offers of the newest runs that fit into one message. `runs` begin with the oldest.

    A hello that is too large would keep an agent away for good. Runs that are left out are offered when others have been
    released.
    """
    offers: list[Offer] = []
    room_bytes = _OFFER_BYTES_AT_MOST
    for run in reversed(runs):
        offer = run.offer()
        room_bytes -= offer.ByteSize() + 8  # and its tag and length
        if room_bytes < 0 or len(offers) == OFFERS_AT_MOST:
            break
        offers.append(offer)
    return offers[::-1]
