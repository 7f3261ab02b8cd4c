"""The live view of a run, made from what its conductor knows."""

from __future__ import annotations

import time

from heyfleet.controller.fleet.agent_connection import IDLE, AgentConnection
from heyfleet.controller.fleet.collector import AgentRun
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus

_INTERVAL_S = 0.25


def interval_s(conductor: RunCoordinator) -> float:
    """How long to wait until the next view: longer for a fleet so large that a view of it costs something."""
    return max(_INTERVAL_S, len(conductor.gathering.parts) / 1000)


def view(conductor: RunCoordinator, message: str = "") -> RunStatus:
    """How the run stands now."""
    gathering, request = conductor.gathering, conductor.request
    parts = gathering.parts
    idle = [session for session in conductor.fleet.attached if session.agent not in parts]
    elapsed_ns = time.monotonic_ns() - gathering.started_ns if gathering.started_ns else 0
    gathering.recent.look(time.monotonic())
    p50_ns, p99_ns = gathering.recent.percentiles_ns
    totals = gathering.stats
    responses, errors = totals.responses.total(), totals.errors.total()
    return RunStatus(
        stage=conductor.stage,
        message=message,
        agents_requested=request.agents,
        agents=[*(_of_part(conductor, part) for part in parts.values()), *map(_of_idle, idle)],
        elapsed_ns=max(elapsed_ns, 0),
        duration_ns=request.plan.duration_ns,
        requests=request.plan.request_count,
        responses=responses,
        errors=errors,
        in_flight=max(totals.totals["sent"] - responses - errors - totals.totals["abandoned"], 0),
        rate=gathering.recent.rate,
        p50_ns=p50_ns,
        p99_ns=p99_ns,
    )


def _of_idle(session: AgentConnection) -> AgentStatus:
    return AgentStatus(agent=session.agent, host=session.facts.host, state=IDLE)


def _of_part(conductor: RunCoordinator, part: AgentRun) -> AgentStatus:
    latest, stats = part.latest, part.stats
    ended = sum(latest.responses.values()) + sum(latest.errors.values())
    seconds = (latest.end_ns - latest.begin_ns) / 1e9
    responses, errors = stats.responses.total(), stats.errors.total()
    return AgentStatus(
        agent=part.session.agent,
        host=part.session.facts.host,
        state=conductor.gathering.state(part),
        note=part.reason,
        rate=ended / seconds if seconds > 0 and not part.settled else 0.0,
        responses=responses,
        errors=errors,
        in_flight=max(stats.totals["sent"] - responses - errors - stats.totals["abandoned"], 0),
    )
