"""The section of the text report on the agents of a run."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.fleet_summary import AgentLine, Fleet
from heyfleet.results.report.table import table
from heyfleet.results.units import format_time


def fleet_section(fleet: Fleet | None) -> Iterator[str]:
    """Return the lines on agents, their shares and results, the start skew and what is missing."""
    if fleet is None:
        return
    yield "Fleet:"
    yield (
        f"  Agents:\t{fleet.agents_requested} requested, {fleet.agents_joined} took part,"
        f" {fleet.agents_lost} lost"
    )
    yield from _agent_table(fleet.agents)
    if skew := fleet.start_skew:
        yield (
            f"  Start skew:\t{format_time(skew.skew_ns)}, at most {format_time(skew.max_skew_ns)}"
            f" (clock uncertainty {format_time(skew.clock_uncertainty_ns)})"
        )
    if fleet.agents_lost:
        yield f"  Missing:\t{fleet.missing_share:.1%} of the plan"


def _agent_table(agents: tuple[AgentLine, ...]) -> Iterator[str]:
    header = ("agent", "connections", "requests", "responses", "errors", "requests/s")
    rows = [
        (
            agent.agent,
            str(agent.connections),
            "-" if agent.requests is None else str(agent.requests),
            str(agent.responses),
            str(agent.errors),
            f"{agent.requests_per_second:.1f}",
        )
        for agent in agents
    ]
    return table(header, rows, [_agent_note(agent) for agent in agents])


def _agent_note(agent: AgentLine) -> str:
    if agent.last_heard_ns is None:
        return ""
    return f"  {agent.state}, last heard at {agent.last_heard_ns / 1e9:.1f} s"
