"""The agents of a run: what each did, how far apart they started, what is missing."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent as a row of a table."""

    agent: str
    host: str
    state: str
    reason: str  # why it was lost
    last_heard_ns: int | None  # since the start, if it was lost
    requests: int | None  # its share; None: no limit
    connections: int
    responses: int
    errors: int
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class StartSkew:
    """How far apart the first and the last worker of all agents started."""

    skew_ns: int
    max_skew_ns: int  # the true skew is not above this, given the uncertainty of the clocks
    clock_uncertainty_ns: int  # the largest of all agents


@dataclass(frozen=True, slots=True)
class Fleet:
    """The agents of a run."""

    agents_requested: int
    agents_joined: int
    agents_lost: int
    agents: tuple[AgentLine, ...]
    start_skew: StartSkew | None  # None: not known when they started
    missing_share: float  # of the plan: the part that lost agents have not reported
    rejections: tuple[str, ...]
    recovery_note: str


def summarize_fleet(measurements: Measurements, total_ns: int) -> Fleet:
    """Summarize the agents of a run that took `total_ns`."""
    agents = measurements.agents
    return Fleet(
        agents_requested=measurements.agents_requested,
        agents_joined=len(agents),
        agents_lost=sum(agent.state == LOST for agent in agents),
        agents=tuple(_line(agent) for agent in agents),
        start_skew=_start_skew(agents),
        missing_share=_missing_share(measurements, total_ns),
        rejections=measurements.rejections,
        recovery_note=measurements.recovery_note,
    )


def _line(agent: AgentMeasurements) -> AgentLine:
    elapsed_ns = agent.elapsed_ns
    return AgentLine(
        agent=agent.agent,
        host=agent.host,
        state=agent.state,
        reason=agent.reason,
        last_heard_ns=agent.last_heard_ns if agent.state == LOST else None,
        requests=agent.share.request_count or None,
        connections=agent.share.connections,
        responses=agent.stats.responses.total(),
        errors=agent.stats.errors.total(),
        requests_per_second=agent.stats.completed * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0,
    )


def _start_skew(agents: list[AgentMeasurements]) -> StartSkew | None:
    starts = [
        (agent.first_worker_ns, agent.last_worker_ns, agent.clock_uncertainty_ns)
        for agent in agents
        if agent.first_worker_ns is not None and agent.last_worker_ns is not None
    ]
    if not starts:
        return None
    first_ns = min(first for first, _, _ in starts)
    last_ns = max(last for _, last, _ in starts)
    if len(starts) == 1:
        max_skew_ns = last_ns - first_ns  # one clock: no uncertainty between its workers
    else:
        # Any two agents may each be off by their uncertainty; the bound is over all of them.
        earliest_ns = min(first - uncertainty for first, _, uncertainty in starts)
        max_skew_ns = max(last + uncertainty for _, last, uncertainty in starts) - earliest_ns
    return StartSkew(last_ns - first_ns, max_skew_ns, max(uncertainty for _, _, uncertainty in starts))


def _missing_share(measurements: Measurements, total_ns: int) -> float:
    """Return the share of requests if the plan counts them, otherwise of connection time."""
    lost = [agent for agent in measurements.agents if agent.state == LOST]
    plan = measurements.plan
    if plan.request_count:
        missing = sum(max(agent.share.request_count - agent.stats.counters["sent"], 0) for agent in lost)
        return missing / plan.request_count
    planned_ns = max(plan.duration_ns if not measurements.interrupted else 0, total_ns)
    if not plan.connections or not planned_ns:
        return 0.0
    silent_ns = sum(agent.share.connections * max(planned_ns - agent.stats.end_ns, 0) for agent in lost)
    return silent_ns / (plan.connections * planned_ns)
