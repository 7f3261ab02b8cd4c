"""How a run on a fleet goes on, while it goes on: a table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from heyfleet.controller import terminal
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live as RichLive

_LINE_INTERVAL_S = 5.0
_REDRAWS_A_SECOND = 4
_LINES_BESIDE_AGENTS = 6
_CALM = {"running", "idle", "ready", "done"}  # states that need nobody's eye


class Live:
    """Shows views on stderr. `close` leaves nothing of a table behind."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._table: RichLive | None = None
        self._line_s = time.monotonic()
        self._line = ""
        if not quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from rich.console import Console
            from rich.live import Live as RichLive

            self._table = RichLive(
                console=Console(stderr=True),
                refresh_per_second=_REDRAWS_A_SECOND,
                transient=True,
                auto_refresh=False,
            )
            self._table.start()

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._quiet:
            return
        if self._table is not None:
            self._table.console.print(f"heyfleet: {text}", markup=False, highlight=False, soft_wrap=True)
        else:
            terminal.say(text)

    def show(self, view: RunStatus) -> None:
        """What is so now; a line of it only now and then."""
        if self._table is not None:
            self._table.update(_drawn(view, self._table.console.height), refresh=True)
        elif not self._quiet and time.monotonic() - self._line_s >= _LINE_INTERVAL_S:
            self._line_s = time.monotonic()
            if (line := headline(view)) != self._line:
                self._line = line
                terminal.say(line)

    def close(self) -> None:
        """Show no more."""
        if self._table is not None:
            self._table.stop()
            self._table = None


def headline(view: RunStatus) -> str:
    """The run in one line."""
    if view.stage in ("running", "collecting") and view.elapsed_ns:
        return f"{view.stage}: {_progress(view)}"
    if view.stage == "running":
        return f"starting {len(view.agents)} agents"
    ready = sum(agent.state in ("idle", "ready") for agent in view.agents)
    words = f"{view.stage}: {view.message}" if view.message else view.stage
    return f"{words} ({ready} of {view.agents_requested} agents)" if view.agents_requested else words


def _progress(view: RunStatus) -> str:
    elapsed_s, whole_s = view.elapsed_ns / 1e9, view.duration_ns / 1e9
    ended = view.responses + view.errors
    words = [f"{min(elapsed_s, whole_s):.0f} of {whole_s:.0f} s" if whole_s else f"{elapsed_s:.0f} s"]
    words.append(f"{ended} of {view.requests} requests" if view.requests else f"{ended} requests")
    if view.rate:
        words.append(f"{view.rate:.0f}/s")
    words.append(f"{view.in_flight} in flight")
    if view.p50_ns:
        words.append(f"p50 {view.p50_ns / 1e6:.1f} ms, p99 {view.p99_ns / 1e6:.1f} ms")
    words.append(f"{view.errors} errors")
    away = [agent.agent for agent in view.agents if agent.state in ("away", "lost")]
    if away:
        words.append(f"away: {', '.join(away[:3])}{' ...' if len(away) > 3 else ''}")
    return ", ".join(words)


def _drawn(view: RunStatus, height: int) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("agent", "state", "requests/s", "responses", "errors", "in flight"):
        table.add_column(title, justify="left" if title in ("agent", "state") else "right", no_wrap=True)
    shown = chosen(list(view.agents), max(height - _LINES_BESIDE_AGENTS, 3))
    for agent in shown:
        numbers = (f"{agent.rate:.0f}", str(agent.responses), str(agent.errors), str(agent.in_flight))
        table.add_row(
            Text(agent.agent), Text(agent.state, style="" if agent.state in _CALM else "bold red"), *numbers
        )
    parts = [Text(headline(view), style="bold", no_wrap=True, overflow="ellipsis")]
    left = len(view.agents) - len(shown)
    return Group(*parts, *([table] if shown else []), *([Text(f"and {left} more")] if left else []))


def chosen(agents: list[AgentStatus], at_most: int) -> list[AgentStatus]:
    """Those that fit: first the ones that something is wrong with, then the others, in their order."""
    if len(agents) <= at_most:
        return agents
    return sorted(agents, key=lambda agent: agent.state in _CALM)[:at_most]
