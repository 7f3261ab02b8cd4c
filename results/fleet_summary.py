"""What a report says of the fleet itself."""

from __future__ import annotations

from dataclasses import dataclass

from heyfleet.results.measurements import LOST, AgentMeasurements, Measurements


@dataclass(frozen=True, slots=True)
class AgentLine:
    """One agent in a table."""

    agent: str
    host: str
    state: str
    reason: str  # of a loss
    last_heard_ns: int | None  # since the start; of a loss
    requests: int | None  # its share; None: not limited
    connections: int
    responses: int
    errors: int
    requests_per_second: float


@dataclass(frozen=True, slots=True)
class StartSkew:
    """How far apart the agents' workers began, and how far that could be wrong."""

    skew_ns: int
    at_most_ns: int  # the true skew is not above this
    clock_uncertainty_ns: int  # the largest of an agent


@dataclass(frozen=True, slots=True)
class Fleet:
    """The agents of a run."""

    asked: int
    joined: int
    lost: int
    agents: tuple[AgentLine, ...]
    start: StartSkew | None  # None: it is not known when they began
    missing_share: float  # of the plan: what the lost agents had of it, beyond what they told
    turned_away: tuple[str, ...]
    recovered: str


def of_fleet(measured: Measurements, total_ns: int) -> Fleet:
    """From all parts of a run that took `total_ns`."""
    parts = measured.parts
    return Fleet(
        asked=measured.agents_requested,
        joined=len(parts),
        lost=sum(part.state == LOST for part in parts),
        agents=tuple(_line(part) for part in parts),
        start=_start_skew(parts),
        missing_share=_missing_share(measured, total_ns),
        turned_away=measured.turned_away,
        recovered=measured.recovered,
    )


def _line(part: AgentMeasurements) -> AgentLine:
    responses, errors = part.stats.responses.total(), part.stats.errors.total()
    elapsed_ns = part.done.elapsed_ns if part.done else part.stats.end_ns
    return AgentLine(
        agent=part.agent,
        host=part.host,
        state=part.state,
        reason=part.reason,
        last_heard_ns=part.last_heard_ns if part.state == LOST else None,
        requests=part.share.request_count or None,
        connections=part.share.connections,
        responses=responses,
        errors=errors,
        requests_per_second=(responses + errors) * 1e9 / elapsed_ns if elapsed_ns > 0 else 0.0,
    )


def _start_skew(parts: list[AgentMeasurements]) -> StartSkew | None:
    began = [
        (part.first_worker_ns, part.last_worker_ns, part.clock_uncertainty_ns)
        for part in parts
        if part.first_worker_ns is not None and part.last_worker_ns is not None
    ]
    if not began:
        return None
    first_ns = min(first for first, _, _ in began)
    last_ns = max(last for _, last, _ in began)
    if len(began) == 1:
        at_most_ns = last_ns - first_ns  # one clock: no uncertainty between its workers
    else:
        # Any two agents may each be off by their uncertainty; the bound is over all of them.
        earliest_ns = min(first - off for first, _, off in began)
        at_most_ns = max(last + off for _, last, off in began) - earliest_ns
    return StartSkew(last_ns - first_ns, at_most_ns, max(off for _, _, off in began))


def _missing_share(measured: Measurements, total_ns: int) -> float:
    """Of the requests, where they are counted; else of the connections, for the time that they were not heard of."""
    lost = [part for part in measured.parts if part.state == LOST]
    plan = measured.plan
    if plan.request_count:
        missing = sum(max(part.share.request_count - part.stats.totals["sent"], 0) for part in lost)
        return missing / plan.request_count
    planned_ns = max(plan.duration_ns if not measured.interrupted else 0, total_ns)
    if not plan.connections or not planned_ns:
        return 0.0
    silent = sum(part.share.connections * max(planned_ns - part.stats.end_ns, 0) for part in lost)
    return silent / (plan.connections * planned_ns)
