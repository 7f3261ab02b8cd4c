"""Measurements as one message, for archives and for operators on other hosts."""

from __future__ import annotations

from heyfleet.proto.control_pb2 import AgentResult, RunResult
from heyfleet.proto.plan_pb2 import Assignment
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.stats import Stats


def to_message(measurements: Measurements) -> RunResult:
    """Return all measurements; those of single agents have histograms only if they were requested."""
    return RunResult(
        run_id=measurements.run_id,
        plan=measurements.plan,
        merged=measurements.stats.to_snapshot(),
        agents=[_agent_to_message(agent) for agent in measurements.agents],
        agents_requested=measurements.agents_requested,
        rejections=measurements.rejections,
        trace=measurements.trace,
        interrupted=measurements.interrupted,
        aborted_by=measurements.aborted_by,
        recovery_note=measurements.recovery_note,
    )


def _agent_to_message(agent: AgentMeasurements) -> AgentResult:
    share = Assignment()
    share.CopyFrom(agent.share)
    share.ClearField("plan")
    started = agent.first_worker_ns is not None
    return AgentResult(
        agent=agent.agent,
        host=agent.host,
        state=agent.state,
        reason=agent.reason,
        last_heard_ns=agent.last_heard_ns,
        share=share,
        ready=agent.ready,
        done=agent.done,
        sums=agent.stats.to_snapshot(agent.agent),
        sequences=[number for pair in agent.stats.sequences(agent.agent) for number in pair],
        clock_uncertainty_ns=agent.clock_uncertainty_ns,
        first_worker_ns=agent.first_worker_ns if started else None,
        last_worker_ns=agent.last_worker_ns if started else None,
        started=started,
        faults=agent.faults,
    )


def from_message(message: RunResult) -> Measurements:
    """Return the measurements that `to_message` made a message of; InvalidSnapshotError if it is damaged."""
    return Measurements(
        run_id=message.run_id,
        plan=message.plan,
        stats=Stats.from_snapshot(message.merged, {}),
        agents=[_agent_from_message(agent) for agent in message.agents],
        agents_requested=message.agents_requested,
        rejections=tuple(message.rejections),
        trace=message.trace,
        interrupted=message.interrupted,
        aborted_by=message.aborted_by,
        recovery_note=message.recovery_note,
    )


def _agent_from_message(message: AgentResult) -> AgentMeasurements:
    numbers = list(message.sequences)
    sequences = {message.agent: list(zip(numbers[::2], numbers[1::2], strict=True))}
    return AgentMeasurements(
        agent=message.agent,
        host=message.host,
        state=message.state,
        reason=message.reason,
        last_heard_ns=message.last_heard_ns,
        share=message.share,
        ready=message.ready,
        done=message.done if message.HasField("done") else None,
        stats=Stats.from_snapshot(message.sums, sequences),
        clock_uncertainty_ns=message.clock_uncertainty_ns,
        first_worker_ns=message.first_worker_ns if message.started else None,
        last_worker_ns=message.last_worker_ns if message.started else None,
        faults=tuple(message.faults),
    )
