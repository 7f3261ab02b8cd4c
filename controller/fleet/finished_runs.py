"""The latest runs of a long-running controller, kept for `heyfleet collect`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from heyfleet.controller.fleet.agent_connection import DONE, AgentConnection
from heyfleet.controller.fleet.collector import Collector
from heyfleet.controller.fleet.receipt import compact
from heyfleet.proto.control_pb2 import FromAgent, Offer
from heyfleet.results.measurements import Measurements

_RUNS_KEPT = 16


class FinishedRun:
    """A run that is over for its operator, or whose operator is unknown. Agents may still deliver results of it.

    `recovery_note` says how the results arrived, for the report. `last_measurements` is what the coordinator knew at the end,
    or None for a run that an earlier controller began.
    """

    def __init__(
        self,
        collector: Collector,
        agents_requested: int,
        recovery_note: str,
        last_measurements: Measurements | None = None,
    ) -> None:
        self.collector = collector
        self.recovery_note = recovery_note
        self._agents_requested = agents_requested
        self._last_measurements = last_measurements
        self._still_running: set[str] = set()  # agents that are attaching and still send load

    @property
    def is_recovered(self) -> bool:
        """Whether an earlier controller began it, so that its shares are known from the agents alone."""
        return self._last_measurements is None

    def has_share(self, agent: str) -> bool:
        """Whether results of an agent are expected."""
        return agent in self.collector.agent_runs

    def resume_after(self, connection: AgentConnection, offer: Offer) -> int:
        """Expect the rest of an agent's results; return the sequence number after which they are needed."""
        agent_run = self.collector.agent_runs[connection.agent]
        agent_run.connection = connection
        if agent_run.state != DONE and not agent_run.discredited:
            agent_run.state = ""
        if not offer.ended:
            self._still_running.add(connection.agent)
        return self.collector.contiguous(connection.agent)

    def on_attach(self, connection: AgentConnection) -> None:
        """Stop a load that no operator watches any more."""
        if connection.agent in self._still_running:
            self._still_running.discard(connection.agent)
            connection.stop(self.collector.run_id)

    def on_message(self, connection: AgentConnection, message: FromAgent) -> None:
        """Handle a message about this run."""
        match message.WhichOneof("message"):
            case "snapshot":
                self.collector.on_snapshot(connection, message.snapshot)
            case "done":
                self.collector.on_done(connection, message.done)
            case "refusal" if (agent_run := self.collector.agent_runs.get(connection.agent)) is not None:
                if agent_run.state != DONE:
                    self.collector.lose(agent_run, message.refusal.reason, gave_up=True)
            case "ready" if agent_run := self.collector.agent_runs.get(connection.agent):
                if not agent_run.settled:
                    agent_run.ready = compact(message.ready)

    def on_invalid_message(self, connection: AgentConnection, reason: str) -> None:
        """Expect nothing more of an agent that has sent something impossible about this run."""
        agent_run = self.collector.agent_runs.get(connection.agent)
        if agent_run is not None and not agent_run.settled:
            self.collector.discredit(agent_run, reason)

    def measurements(self) -> Measurements:
        """Return everything that has arrived so far."""
        for agent_run in self.collector.agent_runs.values():
            if not agent_run.settled:
                agent_run.loss_reason = "not all of its results have arrived yet; collect again later"
        measurements = self.collector.measurements(agents_requested=self._agents_requested)
        if self._last_measurements is not None:
            measurements.rejections = self._last_measurements.rejections
            measurements.interrupted = self._last_measurements.interrupted
            measurements.aborted_by = self._last_measurements.aborted_by
        measurements.recovery_note = self.recovery_note
        return measurements

    def release(self) -> None:
        """Let agents delete the results that have all arrived."""
        self.collector.release()


class FinishedRuns:
    """The latest finished runs, by id; older ones are forgotten.

    Runs of this controller and runs that were recovered from agents do not take each other's place.
    """

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._runs: dict[str, FinishedRun] = {}

    def __iter__(self) -> Iterator[FinishedRun]:
        return iter(self._runs.values())

    @property
    def ids(self) -> list[str]:
        """The ids of the runs, oldest first."""
        return list(self._runs)

    def get(self, run_id: str) -> FinishedRun | None:
        """Return a run, or None if it is not known."""
        return self._runs.get(run_id)

    def add(self, run: FinishedRun) -> None:
        """Keep a run, and forget the oldest of its kind if there are too many."""
        self._runs[run.collector.run_id] = run
        kind = [run_id for run_id, each in self._runs.items() if each.is_recovered == run.is_recovered]
        for oldest in kind[:-_RUNS_KEPT]:
            self._log(f"run {oldest} is forgotten, because {_RUNS_KEPT} newer ones are kept")
            del self._runs[oldest]
