"""The live view of a run on a fleet: a table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from heyfleet import console
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus
from heyfleet.results.units import format_time
from heyfleet.text import plural, printable

if TYPE_CHECKING:  # imported on use, since many runs show nothing
    from rich.console import Group
    from rich.live import Live as RichLive

_LINE_INTERVAL_S = 5.0
_REDRAWS_A_SECOND = 4
_LINES_AROUND_AGENTS = 6
_MIN_AGENTS_SHOWN = 3
_AWAY_AGENTS_NAMED = 3
_NORMAL_STATES = {"running", "idle", "ready", "done"}


class Live:
    """Shows the status of a run on stderr. `close` removes the table. `now_s` is the clock between two lines."""

    def __init__(self, *, quiet: bool, now_s: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._now_s = now_s
        self._table: RichLive | None = None
        self._last_line_s = now_s()
        self._last_line = ""
        if not quiet and console.is_terminal():
            from rich.console import Console
            from rich.live import Live as RichLive

            self._table = RichLive(
                console=Console(stderr=True),
                refresh_per_second=_REDRAWS_A_SECOND,
                transient=True,
                auto_refresh=False,
            )
            self._table.start()

    def log(self, line: str) -> None:
        """Print a line that stays, above the table."""
        if self._quiet:
            return
        if self._table is not None:
            self._table.console.print(
                f"heyfleet: {printable(line)}", markup=False, highlight=False, soft_wrap=True
            )
        else:
            console.info(line)

    def show(self, status: RunStatus) -> None:
        """Redraw the table, or print a line if the last one is some seconds old."""
        if self._table is not None:
            self._table.update(_draw(status, self._table.console.height), refresh=True)
        elif not self._quiet and self._now_s() - self._last_line_s >= _LINE_INTERVAL_S:
            self._last_line_s = self._now_s()
            if (line := headline(status)) != self._last_line:
                self._last_line = line
                console.info(line)

    def close(self) -> None:
        """Remove the table and show nothing more."""
        if self._table is not None:
            self._table.stop()
            self._table = None


def headline(status: RunStatus) -> str:
    """Return the status of a run in one line."""
    if status.stage in ("running", "collecting") and status.elapsed_ns:
        return f"{status.stage}: {_progress(status)}"
    if status.stage == "running":
        return f"starting {plural(len(status.agents), 'agent')}"
    line = f"{status.stage}: {status.message}" if status.message else status.stage
    if not status.agents_requested:
        return line
    joined = sum(agent.state in ("idle", "ready") for agent in status.agents)
    return f"{line} ({joined} of {plural(status.agents_requested, 'agent')})"


def _progress(status: RunStatus) -> str:
    elapsed_s, duration_s = status.elapsed_ns / 1e9, status.duration_ns / 1e9
    completed = status.responses + status.errors
    fields = [
        f"{min(elapsed_s, duration_s):.0f} of {duration_s:.0f} s" if duration_s else f"{elapsed_s:.0f} s",
        f"{completed} of {status.requests} requests" if status.requests else f"{completed} requests",
    ]
    if status.rate:
        fields.append(f"{status.rate:.0f}/s")
    fields.append(f"{status.in_flight} in flight")
    if status.p50_ns:
        fields.append(f"p50 {format_time(status.p50_ns)}")
    if status.p99_ns:
        fields.append(f"p99 {format_time(status.p99_ns)}")
    fields.append(f"{status.errors} errors")
    if away := [agent.agent for agent in status.agents if agent.state in ("away", "lost")]:
        more = " ..." if len(away) > _AWAY_AGENTS_NAMED else ""
        fields.append(f"away: {', '.join(away[:_AWAY_AGENTS_NAMED])}{more}")
    return ", ".join(fields)


def _draw(status: RunStatus, height: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("agent", "state", "requests/s", "responses", "errors", "in flight"):
        table.add_column(title, justify="left" if title in ("agent", "state") else "right", no_wrap=True)
    agents = agents_to_show(status.agents, max(height - _LINES_AROUND_AGENTS, _MIN_AGENTS_SHOWN))
    for agent in agents:
        style = "" if agent.state in _NORMAL_STATES else "bold red"
        numbers = (f"{agent.rate:.0f}", str(agent.responses), str(agent.errors), str(agent.in_flight))
        table.add_row(Text(printable(agent.agent)), Text(printable(agent.state), style=style), *numbers)
    summary = Text(printable(headline(status)), style="bold", no_wrap=True, overflow="ellipsis")
    hidden = len(status.agents) - len(agents)
    return Group(summary, *([table] if agents else []), *([Text(f"and {hidden} more")] if hidden else []))


def agents_to_show(agents: Sequence[AgentStatus], limit: int) -> list[AgentStatus]:
    """Return at most `limit` agents: those with a problem first, otherwise in their order."""
    if len(agents) <= limit:
        return list(agents)
    return sorted(agents, key=lambda agent: agent.state in _NORMAL_STATES)[:limit]
