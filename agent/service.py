"""Carries out what a controller asks for, and holds what was measured until the controller lets go of it. Knows no gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from heyfleet import __version__
from heyfleet.agent.host.info import facts
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.runner import Runner
from heyfleet.agent.spool import Spool
from heyfleet.proto.control_pb2 import Bye, FromAgent, Hello, Offer, Pong, ToAgent
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Done, Ready, Record, Refusal, Snapshot

_LEASE_LOOK_S = 0.1
_LEASE_NS = 10_000_000_000  # until a controller names another


class HeldRun:
    """One run of this agent: prepared, running, or over and not yet released."""

    def __init__(self, assignment: Assignment, local: Runner) -> None:
        self.assignment = assignment
        self.local = local
        self.spool: Spool | None = None  # from the start on
        self.running = False
        self.ended_by = ""  # what ended the load, if not its plan
        self.last_sequence = 0
        self.done: Done | None = None

    @property
    def run_id(self) -> str:
        """Of its assignment."""
        return self.assignment.run_id


class AgentService:
    """One agent, over as many streams as it takes. All methods belong to one event loop."""

    def __init__(
        self,
        agent: str,
        folder: Path,
        *,
        owner: HostPolicy | None = None,
        keep_results: bool = False,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.agent = agent
        self.dismissed = ""
        self.heard_ns = time.monotonic_ns()
        self._folder = folder
        self._owner = owner or HostPolicy()
        self._keep = keep_results
        self._say = say
        self._lease_ns = _LEASE_NS
        self._send: Callable[[FromAgent], None] | None = None
        self._pending: HeldRun | None = None
        self._held: dict[str, HeldRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    # Streams

    def hello(self) -> Hello:
        """The first message of a stream."""
        offers = [
            Offer(assignment=held.assignment, last_sequence=held.last_sequence, ended=held.done is not None)
            for held in self._held.values()
        ]
        return Hello(protocol=PROTOCOL, version=__version__, agent=self.agent, facts=facts(), offers=offers)

    def attached(self, send: Callable[[FromAgent], None]) -> None:
        """From here on there is a controller to talk to."""
        self._send = send

    def detached(self) -> None:
        """There is none for now. The load goes on as long as the lease holds."""
        self._send = None

    def _tell(self, message: FromAgent) -> None:
        if self._send is not None:
            self._send(message)

    # What the controller says

    def on_message(self, message: ToAgent) -> None:
        """Any message renews the lease."""
        self.heard_ns = time.monotonic_ns()
        match message.WhichOneof("message"):
            case "ping":
                pong = Pong(
                    sequence=message.ping.sequence, sent_ns=message.ping.sent_ns, received_ns=self.heard_ns
                )
                self._tell(FromAgent(pong=pong))
            case "welcome":
                self._lease_ns = message.welcome.lease_ns or _LEASE_NS
                for wanted in message.welcome.resume_from:
                    self._task(self._send_again(wanted.run_id, wanted.after_sequence))
            case "assignment":
                self._assigned(message.assignment)
            case "start":
                self._start(message.run_id, message.start.at_ns)
            case "stop":
                self._stop(message.run_id)
            case "ack" if message.ack.refusal_reason:
                self._say(
                    f"run {message.run_id}: the controller refused snapshot {message.ack.sequence}:"
                    f" {message.ack.refusal_reason}"
                )
            case "release":
                self._release(message.run_id)
            case "dismissal":
                self.dismissed = message.dismissal.reason or "the controller needs it no more"

    def _assigned(self, assignment: Assignment) -> None:
        if busy := next((held for held in self._held.values() if held.running), None):
            self._refuse(assignment.run_id, f"it is still busy with run {busy.run_id}")
            return
        self._drop_pending()
        if reason := self._owner.refusal(assignment):
            self._refuse(assignment.run_id, reason)
            return
        self._pending = HeldRun(assignment, Runner(self._owner))
        self._task(self._prepare(self._pending))

    def _refuse(self, run_id: str, reason: str) -> None:
        self._tell(FromAgent(refusal=Refusal(reason=reason), run_id=run_id))

    async def _prepare(self, held: HeldRun) -> None:
        try:
            answer = await asyncio.to_thread(held.local.prepare, held.assignment)
        except (OSError, ValueError, MemoryError) as error:
            answer = Refusal(reason=f"it can't prepare: {error or type(error).__name__}")
        if self._pending is not held:
            held.local.stop()
            return
        if isinstance(answer, Ready) and (
            reason := self._owner.refusal_of(held.assignment, list(answer.addresses))
        ):
            answer = Refusal(reason=reason)
        if isinstance(answer, Refusal):
            self._drop_pending()
            self._refuse(held.run_id, answer.reason)
            return
        try:
            held.spool = Spool(self._folder, held.run_id, self.agent)
            held.spool.append(Record(assignment=held.assignment))
            held.spool.append(Record(ready=answer))
        except OSError as error:
            self._drop_pending()
            self._refuse(
                held.run_id, f"it can't keep results in {self._folder}: {error.strerror}; set --spool"
            )
            return
        self._tell(FromAgent(ready=answer, run_id=held.run_id))

    def _start(self, run_id: str, at_ns: int) -> None:
        held = self._pending
        if held is None or held.run_id != run_id or held.spool is None:
            return
        self._pending = None
        self._held[run_id] = held
        held.running = True
        held.local.start(at_ns)
        self._say(
            f"run {run_id}: {held.assignment.connections} connections to {held.assignment.plan.target.host}"
        )
        self._task(self._carry_out(held))

    def _stop(self, run_id: str) -> None:
        if self._pending is not None and self._pending.run_id == run_id:
            self._drop_pending()
        elif (held := self._held.get(run_id)) is not None and held.running:
            held.local.stop()

    def _drop_pending(self) -> None:
        held, self._pending = self._pending, None
        if held is not None:
            held.local.stop()
            if held.spool is not None:
                held.spool.close(keep=False)

    def _release(self, run_id: str) -> None:
        held = self._held.get(run_id)
        if held is not None and not held.running:
            del self._held[run_id]
            assert held.spool is not None
            held.spool.close(keep=self._keep)
        self._changed.set()

    # The load

    async def _carry_out(self, held: HeldRun) -> None:
        loop = asyncio.get_running_loop()

        def snapshots() -> None:
            for snapshot in held.local.snapshots():
                self._keep_record(held, Record(snapshot=snapshot))
                loop.call_soon_threadsafe(self._on_snapshot, held, snapshot)

        await asyncio.to_thread(snapshots)
        done = held.local.done()
        if held.ended_by:
            done.stopped_by = held.ended_by
        self._keep_record(held, Record(done=done))
        held.done, held.running = done, False
        self._tell(FromAgent(done=done, run_id=held.run_id))
        self._say(f"run {held.run_id}: {done.sent} requests sent, ended by {done.stopped_by}")
        self._changed.set()

    def _keep_record(self, held: HeldRun, record: Record) -> None:
        """Before it is sent: what the controller has is then never more than what is kept."""
        assert held.spool is not None
        try:
            held.spool.append(record)
        except OSError as error:
            self._say(f"can't write {held.spool.path}: {error.strerror}; results are sent, but not kept here")

    def _on_snapshot(self, held: HeldRun, snapshot: Snapshot) -> None:
        held.last_sequence = snapshot.sequence
        self._tell(FromAgent(snapshot=snapshot, run_id=held.run_id))

    async def _send_again(self, run_id: str, after_sequence: int) -> None:
        held = self._held.get(run_id)
        if held is None or held.spool is None:
            return
        for record in await asyncio.to_thread(lambda: list(held.spool.records()) if held.spool else []):
            if record.HasField("ready") and not after_sequence:
                self._tell(FromAgent(ready=record.ready, run_id=run_id))
            elif record.HasField("snapshot") and record.snapshot.sequence > after_sequence:
                self._tell(FromAgent(snapshot=record.snapshot, run_id=run_id))
        if held.done is not None:
            self._tell(FromAgent(done=held.done, run_id=run_id))

    async def watch_lease(self) -> None:
        """Stop the load of a controller that is heard no more, until cancelled."""
        while True:
            await asyncio.sleep(_LEASE_LOOK_S)
            if time.monotonic_ns() - self.heard_ns <= self._lease_ns:
                continue
            self._drop_pending()
            for held in self._held.values():
                if held.running and not held.ended_by:
                    held.ended_by = "lease"
                    held.local.stop()
                    lease_s = self._lease_ns / 1e9
                    self._say(
                        f"run {held.run_id}: nothing heard from the controller for {lease_s:g} s, load stopped"
                    )

    async def drain(self, reason: str, timeout_s: float) -> None:
        """End any load, hand over what was measured, and wait for its release; then say goodbye."""
        self._drop_pending()
        for held in self._held.values():
            held.local.stop()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while (self._running or (self._held and self._send)) and (left_s := deadline_s - loop.time()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left_s)
            except TimeoutError:
                break
        self._tell(FromAgent(bye=Bye(reason=reason)))

    @property
    def _running(self) -> bool:
        return any(held.running for held in self._held.values())

    @property
    def kept(self) -> list[Path]:
        """Files of runs that no controller has released."""
        return [held.spool.path for held in self._held.values() if held.spool]

    def _task(self, work: object) -> None:
        task = asyncio.ensure_future(work)  # type: ignore[call-overload]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
