"""Rows of snapshots.csv: the counts and the latency of each snapshot of each agent."""

from __future__ import annotations

from heyfleet.proto.control_pb2 import AgentInterval
from heyfleet.text import printable

_COUNTS = ("begin_ns", "end_ns", "sent", "responses", "errors", "abandoned")
_TIMES = ("p50_ns", "p99_ns", "max_ns")  # empty if there were too few responses
HEADER = ",".join(("agent", *_COUNTS, *_TIMES))


def cells(row: AgentInterval) -> list[str | int | None]:
    """Return a row, with None for percentiles that too few responses support."""
    return [
        row.agent,
        *(getattr(row, name) for name in _COUNTS),
        *(getattr(row, name) or None for name in _TIMES),
    ]


def format_row(row: AgentInterval) -> str:
    """Return a row as a line with its newline."""
    agent, *values = cells(row)
    return (
        ",".join((printable(str(agent)), *("" if value is None else str(value) for value in values))) + "\n"
    )


def parse_row(line: str) -> AgentInterval:
    """Return the row of a line; ValueError if it is damaged."""
    agent, *cells = line.rstrip("\n").rsplit(",", len(_COUNTS) + len(_TIMES))
    values = [int(cell or 0) for cell in cells]
    return AgentInterval(agent=agent, **dict(zip((*_COUNTS, *_TIMES), values, strict=True)))
