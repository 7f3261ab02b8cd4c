"""What was measured as one message, for an operator elsewhere, and back."""

from __future__ import annotations

from heyfleet.proto.control_pb2 import AgentResult, RunResult
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats


def to_message(measured: Measurements) -> RunResult:
    """Everything; of each agent its histograms only where they were kept."""
    return RunResult(
        run_id=measured.run_id,
        plan=measured.plan,
        merged=measured.stats.to_snapshot(),
        agents=[_part_to_message(part) for part in measured.parts],
        agents_requested=measured.agents_requested,
        turned_away=measured.turned_away,
        trace=measured.trace,
        interrupted=measured.interrupted,
        aborted=measured.aborted,
        recovered=measured.recovered,
    )


def _part_to_message(part: AgentMeasurements) -> AgentResult:
    share = Assignment()
    share.CopyFrom(part.share)
    share.ClearField("plan")
    started = part.first_worker_ns is not None
    return AgentResult(
        agent=part.agent,
        host=part.host,
        state=part.state,
        reason=part.reason,
        last_heard_ns=part.last_heard_ns,
        share=share,
        ready=part.ready,
        done=part.done,
        sums=part.stats.to_snapshot(part.agent),
        sequences=[number for pair in part.stats.sequences(part.agent) for number in pair],
        clock_uncertainty_ns=part.clock_uncertainty_ns,
        first_worker_ns=part.first_worker_ns if started else None,
        last_worker_ns=part.last_worker_ns if started else None,
        started=started,
        faults=part.faults,
    )


def from_message(message: RunResult) -> Measurements:
    """The same as it was before `to_message`."""
    return Measurements(
        run_id=message.run_id,
        plan=message.plan,
        stats=Stats.of_sums(message.merged, {}),
        parts=[_part_from_message(part) for part in message.agents],
        agents_requested=message.agents_requested,
        turned_away=tuple(message.turned_away),
        trace=message.trace,
        interrupted=message.interrupted,
        aborted=message.aborted,
        recovered=message.recovered,
    )


def _part_from_message(part: AgentResult) -> AgentMeasurements:
    numbers = list(part.sequences)
    sequences = {part.agent: list(zip(numbers[::2], numbers[1::2], strict=True))}
    return AgentMeasurements(
        agent=part.agent,
        host=part.host,
        state=part.state,
        reason=part.reason,
        last_heard_ns=part.last_heard_ns,
        share=part.share,
        ready=part.ready,
        done=part.done if part.HasField("done") else None,
        stats=Stats.of_sums(part.sums, sequences),
        clock_uncertainty_ns=part.clock_uncertainty_ns,
        first_worker_ns=part.first_worker_ns if part.started else None,
        last_worker_ns=part.last_worker_ns if part.started else None,
        faults=tuple(part.faults),
    )
