"""One run as its agent holds it: the runner, the spool file, and how far it has come."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from heyfleet.agent.spool import Spool
from heyfleet.proto.control_pb2 import Offer
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST, OFFERS_AT_MOST
from heyfleet.proto.stats_pb2 import Done, Ready, Record, Refusal, Snapshot

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

    def __init__(self, assignment: Assignment, runner: AsyncRunner) -> None:
        self.assignment = assignment
        self.runner = runner
        self.spool: Spool | None = None  # None until the run is prepared
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
        ended = self.done is not None
        return Offer(
            assignment=self.assignment, last_sequence=self.last_sequence, ended=ended, seal=self.seal
        )

    def open_spool(self, folder: Path, agent: str, ready: Ready) -> None:
        """Create the spool file with its first records; OSError."""
        self.spool = Spool(folder, self.run_id, agent)
        self.spool.append(Record(assignment=self.assignment))
        self.spool.append(Record(ready=ready))

    def append(self, record: Record) -> None:
        """Append a record to the spool file; OSError."""
        assert self.spool is not None
        self.spool.append(record)

    def records(self) -> list[Record]:
        """Read all records of the spool file; OSError."""
        return list(self.spool.records()) if self.spool is not None else []

    def close(self, *, keep: bool) -> None:
        """Close the spool file, and delete it unless it is to be kept."""
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
