"""The live status of a run, as its coordinator knows it."""

from __future__ import annotations

from heyfleet.controller.fleet.agent_connection import IDLE, AgentConnection
from heyfleet.controller.fleet.agent_run import AgentRun
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus
from heyfleet.results.metrics import Metrics

_INTERVAL_S = 0.25
_AGENTS_PER_SECOND = 1000  # bounds the cost of a status in large fleets


def status_interval_s(coordinator: RunCoordinator) -> float:
    """Return how long to wait before the next status."""
    return max(_INTERVAL_S, len(coordinator.collector.agent_runs) / _AGENTS_PER_SECOND)


def run_status(coordinator: RunCoordinator) -> RunStatus:
    """Return the status of a run now."""
    collector, request = coordinator.collector, coordinator.request
    now_ns = coordinator.registry.now_ns()
    collector.recent.update(now_ns / 1e9)
    p50_ns, p99_ns = collector.recent.percentiles_ns
    stats = collector.stats
    idle = [each for each in coordinator.registry.attached if each.agent not in collector.agent_runs]
    return RunStatus(
        stage=coordinator.stage,
        agents_requested=request.agents,
        agents=[
            *(_agent_status(coordinator, agent_run) for agent_run in collector.agent_runs.values()),
            *map(_idle_status, idle),
        ],
        elapsed_ns=max(now_ns - collector.started_ns, 0) if collector.started_ns else 0,
        duration_ns=request.plan.duration_ns,
        requests=request.plan.request_count,
        responses=stats.responses.total(),
        errors=stats.errors.total(),
        in_flight=_in_flight(stats),
        rate=collector.recent.rate,
        p50_ns=p50_ns,
        p99_ns=p99_ns,
    )


def _idle_status(connection: AgentConnection) -> AgentStatus:
    return AgentStatus(agent=connection.agent, host=connection.facts.host, state=IDLE)


def _agent_status(coordinator: RunCoordinator, agent_run: AgentRun) -> AgentStatus:
    latest, stats = agent_run.latest, agent_run.stats
    completed = sum(latest.responses.values()) + sum(latest.errors.values())
    seconds = (latest.end_ns - latest.begin_ns) / 1e9
    return AgentStatus(
        agent=agent_run.connection.agent,
        host=agent_run.connection.facts.host,
        state=coordinator.collector.state(agent_run),
        note=agent_run.loss_reason,
        rate=completed / seconds if seconds > 0 and not agent_run.settled else 0.0,
        responses=stats.responses.total(),
        errors=stats.errors.total(),
        in_flight=_in_flight(stats),
    )


def _in_flight(stats: Metrics) -> int:
    return max(stats.in_flight, 0)
