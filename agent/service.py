"""An agent's side of the control plane: carry out assignments, and keep results until the controller releases them.

It does not depend on gRPC: a client attaches a queue of outgoing messages for each stream, and passes on what it
receives.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from heyfleet import __version__
from heyfleet.agent.delivery import Delivery
from heyfleet.agent.errors import DeniedError, cause_of
from heyfleet.agent.held_run import AsyncRunner, HeldRun, newest_offers
from heyfleet.agent.host.info import host_facts
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.received import check_message
from heyfleet.agent.threaded_runner import ThreadedRunner
from heyfleet.proto.control_pb2 import Bye, FromAgent, Hello, Pong, ToAgent
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Ready, Refusal

_LEASE_CHECK_S = 0.1
_DEFAULT_LEASE_NS = 10_000_000_000  # until a controller grants another
_DRAIN_TIMEOUT_S = 5.0
_FLUSH_TIMEOUT_S = 1.0
_RUNS_HELD = 16  # as many as a controller keeps for `heyfleet collect`


def _ignore(line: str) -> None:
    """Log nothing."""


class AgentService:
    """One agent, over any number of streams. All methods belong to one event loop.

    `log` gets a line for each event that the host's owner may want to see. `new_runner`, `clock_ns` and `in_thread`
    (for file access) are replaced in tests, which run in virtual time.
    """

    def __init__(
        self,
        agent: str,
        folder: Path,
        *,
        policy: HostPolicy | None = None,
        keep_results: bool = False,
        log: Callable[[str], None] = _ignore,
        new_runner: Callable[[HostPolicy], AsyncRunner] = ThreadedRunner,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        in_thread: Callable[..., Coroutine[Any, Any, Any]] = asyncio.to_thread,
    ) -> None:
        self.agent = agent
        self.dismissal_reason = ""  # why the controller dismissed the agent, if it did
        self.left = asyncio.Event()  # set when the agent has nothing more to say
        self._folder = folder
        self._policy = policy or HostPolicy()
        self._keep_results = keep_results
        self._write_log = log
        self._new_runner = new_runner
        self._clock_ns = clock_ns
        self._delivery = Delivery(self._send, self._log, clock_ns, in_thread)
        self.heard_ns = clock_ns()  # when the controller's last message arrived
        self.lease_ns = _DEFAULT_LEASE_NS
        self._leaving = ""
        self._said_bye = False
        self._outgoing: asyncio.Queue[FromAgent] | None = None
        self._pending: HeldRun | None = None  # assigned, and not started
        self._runs: dict[str, HeldRun] = {}  # started, and not released
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    # Streams

    def hello(self) -> Hello:
        """Return the first message of a stream."""
        return Hello(
            protocol=PROTOCOL,
            version=__version__,
            agent=self.agent,
            facts=host_facts(),
            offers=newest_offers(list(self._runs.values())),
        )

    def attach(self, outgoing: asyncio.Queue[FromAgent]) -> None:
        """Send messages to this queue from now on; whoever takes one out calls task_done when it is written."""
        self._outgoing = outgoing

    def detach(self) -> None:
        """Drop messages until the next stream. A load goes on while the lease lasts."""
        self._outgoing = None

    @property
    def is_attached(self) -> bool:
        """Whether there is a stream to the controller."""
        return self._outgoing is not None

    def _send(self, message: FromAgent) -> None:
        if self._outgoing is not None and not self._said_bye:
            self._outgoing.put_nowait(message)

    # Messages of the controller

    def on_message(self, message: ToAgent) -> None:
        """Handle one message; any message renews the lease. What fails ends the run that it is about, with its cause.

        Raises DeniedError if the controller can't be served at all.
        """
        self.heard_ns = self._clock_ns()
        try:
            check_message(message, self.agent, self.heard_ns)
            self._handle(message)
        except DeniedError:
            raise
        except Exception as error:  # the agent goes on, and the controller learns of it
            kind = message.WhichOneof("message")
            reason = f"it can't carry out the {kind}: {cause_of(error)}"
            if (run := self._run(message.run_id)) is not None and kind != "assignment":
                self._fail(run, reason)
            else:
                self._log(f"refused run {message.run_id[:32]!r}: {reason}")
                self._refuse(message.run_id, reason)

    def _handle(self, message: ToAgent) -> None:
        match message.WhichOneof("message"):
            case "ping":
                ping = message.ping
                pong = Pong(sequence=ping.sequence, sent_ns=ping.sent_ns, received_ns=self.heard_ns)
                self._send(FromAgent(pong=pong))
            case "welcome":
                self.lease_ns = message.welcome.lease_ns or _DEFAULT_LEASE_NS
                for resume in message.welcome.resume_from:
                    self._spawn(self._resend(resume.run_id, resume.after_sequence))
            case "assignment":
                self._on_assignment(message.assignment)
            case "start":
                self._start(message.run_id, message.start.at_ns, message.start.seal)
            case "stop":
                self._stop(message.run_id)
            case "ack" if message.ack.refusal_reason:
                self._log(
                    f"run {message.run_id}: the controller refused snapshot {message.ack.sequence}:"
                    f" {message.ack.refusal_reason}"
                )
            case "release":
                self._release(message.run_id)
            case "dismissal":
                self.dismissal_reason = (
                    message.dismissal.reason or "the controller no longer needs this agent"
                )
                self._spawn(self.drain("dismissed", await_release=False))

    def _on_assignment(self, assignment: Assignment) -> None:
        run_id = assignment.run_id
        if self._leaving:
            self._refuse(run_id, f"it is leaving ({self._leaving})")
        elif busy := next((run for run in self._runs.values() if run.running), None):
            self._refuse(run_id, f"it is still busy with run {busy.run_id}")
        elif run_id in self._runs:
            self._refuse(run_id, f"it still holds the results of run {run_id}")
        elif self._pending is not None and self._pending.assignment == assignment:
            # The controller repeats it on a new stream. A start for the preparation that it has heard of may be on its way.
            if self._pending.ready is not None:
                self._send(FromAgent(ready=self._pending.ready, run_id=run_id))
        else:
            self._cancel_pending()
            self._forget_old_runs()
            self._pending = HeldRun(assignment, self._new_runner(self._policy), self._clock_ns())
            self._spawn(self._prepare(self._pending))

    def _forget_old_runs(self) -> None:
        """Hold no more runs than a controller asks for. Those that none released stay on the disk."""
        while len(self._runs) >= _RUNS_HELD:
            run = self._runs.pop(next(iter(self._runs)))
            self._close(run, keep=True)
            self._log(f"run {run.run_id} was never released; {_RUNS_HELD} newer ones are held")

    def _run(self, run_id: str) -> HeldRun | None:
        pending = self._pending
        return pending if pending is not None and pending.run_id == run_id else self._runs.get(run_id)

    def _fail(self, run: HeldRun, reason: str) -> None:
        """Give a run up wherever it is, and tell the controller why."""
        if run is self._pending:
            self._cancel_pending()
        elif run.failure:
            return
        else:
            run.failure = reason
            run.runner.stop()
        self._log(f"run {run.run_id}: {reason}")
        self._refuse(run.run_id, reason)

    def _refuse(self, run_id: str, reason: str) -> None:
        self._send(FromAgent(refusal=Refusal(reason=reason), run_id=run_id))

    async def _prepare(self, run: HeldRun) -> None:
        try:
            answer = await run.runner.prepare(run.assignment)
            if self._pending is run and isinstance(answer, Ready):
                answer = self._accept(run, answer)
        except Exception as error:  # whatever it is, the controller waits for an answer
            answer = Refusal(reason=f"it can't prepare the run: {cause_of(error)}")
        if self._pending is not run:  # cancelled meanwhile
            run.runner.stop()
            return
        run.since_ns = self._clock_ns()
        if isinstance(answer, Refusal):
            self._cancel_pending()
            self._refuse(run.run_id, answer.reason)
        else:
            self._send(FromAgent(ready=answer, run_id=run.run_id))

    def _accept(self, run: HeldRun, ready: Ready) -> Ready | Refusal:
        """Create the spool file."""
        try:
            run.open_spool(self._folder, self.agent, ready)
        except OSError as error:
            return Refusal(reason=f"it can't keep results in {self._folder}: {error.strerror}; set --spool")
        return ready

    def _start(self, run_id: str, at_ns: int, seal: bytes) -> None:
        run = self._pending
        if run is None or run.run_id != run_id or run.spool is None:
            return
        self._pending = None
        self._runs[run_id] = run
        run.seal = seal
        run.running = True
        run.since_ns = max(self._clock_ns(), at_ns)
        try:
            run.runner.start(at_ns)
        except Exception as error:  # such as no memory for another thread
            run.running = False
            self._fail(run, f"its load can't be started: {cause_of(error)}")
            return
        target = run.assignment.plan.target.host
        self._log(f"run {run_id}: {run.assignment.connections} connections to {target}")
        self._spawn(self._collect(run))

    def _stop(self, run_id: str) -> None:
        if self._pending is not None and self._pending.run_id == run_id:
            self._cancel_pending()
        elif (run := self._runs.get(run_id)) is not None and run.running:
            run.runner.stop()

    def _cancel_pending(self) -> None:
        run, self._pending = self._pending, None
        if run is not None:
            run.runner.stop()
            self._close(run, keep=False)

    def _close(self, run: HeldRun, *, keep: bool) -> None:
        try:
            run.close(keep=keep)
        except OSError as error:
            self._log(f"run {run.run_id}: can't delete its results: {cause_of(error)}")

    def _release(self, run_id: str) -> None:
        run = self._runs.get(run_id)
        if run is not None and not run.running:
            del self._runs[run_id]
            self._close(run, keep=self._keep_results)
        self._changed.set()

    # Results

    async def _collect(self, run: HeldRun) -> None:
        """Keep and send a run's results as they come; whatever fails ends the run."""
        try:
            await self._delivery.collect(run)
        except Exception as error:
            self._fail(run, f"its results can't be collected: {cause_of(error)}")
        finally:
            run.running = False
            self._changed.set()

    async def _resend(self, run_id: str, after_sequence: int) -> None:
        """Send again what the controller has not received of a run."""
        run = self._runs.get(run_id)
        if run is None:
            return
        try:
            loss = await self._delivery.resend(run, after_sequence)
        except Exception as error:  # a disk that fails, or no memory for all of it
            loss = f"can't read the results kept here: {cause_of(error)}"
        if run_id not in self._runs:  # released meanwhile
            return
        if run.failure:
            self._refuse(run_id, run.failure)
        elif loss:
            self._fail(run, loss)

    # Lease and end

    async def enforce_lease(self) -> None:
        """Stop the load when the controller has been silent for the lease time, and give up what takes too long.

        Runs until cancelled.
        """
        while True:
            await asyncio.sleep(_LEASE_CHECK_S)
            for run in (self._pending, *self._runs.values()):
                if run is not None and (reason := run.overdue(self._clock_ns())):
                    self._fail(run, reason)
            if self._clock_ns() - self.heard_ns <= self.lease_ns:
                continue
            self._cancel_pending()
            for run in self._runs.values():
                if run.running and not run.ended_by:
                    run.ended_by = "lease"
                    run.runner.stop()
                    self._log(
                        f"run {run.run_id}: nothing heard from the controller for {self.lease_ns / 1e9:g} s,"
                        " load stopped"
                    )

    async def drain(self, reason: str, *, await_release: bool = True) -> None:
        """Stop any load, send its results, wait until they are released, and say goodbye; 5 s at most."""
        self._leaving = self._leaving or reason
        self._cancel_pending()
        for run in self._runs.values():
            run.runner.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_TIMEOUT_S):
                while self._is_running or (await_release and self._runs and self.is_attached):
                    self._changed.clear()
                    await self._changed.wait()
        if self._said_bye:
            return
        self._send(FromAgent(bye=Bye(reason=reason)))
        self._said_bye = True
        if self._outgoing is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._outgoing.join(), _FLUSH_TIMEOUT_S)
        self.left.set()

    def close(self) -> None:
        """Stop any load without waiting for its end, and close the spool files; those of held runs are kept."""
        self._cancel_pending()
        for run in self._runs.values():
            run.runner.stop()
            self._close(run, keep=True)

    @property
    def _is_running(self) -> bool:
        return any(run.running for run in self._runs.values())

    @property
    def kept_files(self) -> list[Path]:
        """Spool files of runs that no controller has released."""
        return [run.spool.path for run in self._runs.values() if run.spool is not None]

    def _log(self, line: str) -> None:
        """Log a line, if anybody reads the log: a closed stderr must not end a lease that is being enforced."""
        with suppress(OSError, ValueError):
            self._write_log(line)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
