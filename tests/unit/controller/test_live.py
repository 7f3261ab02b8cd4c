"""The live view: lines for logs, and a table that is removed from the terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from typing import Any

import pytest

from heyfleet.controller.live import Live, agents_to_show, headline
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus

MS = 1_000_000


def running(**more: Any) -> RunStatus:
    agents = [
        AgentStatus(agent="a1", state="running", rate=100, responses=700, in_flight=3),
        AgentStatus(agent="a2", state="away", responses=500, errors=2),
    ]
    return RunStatus(
        stage="running",
        agents_requested=2,
        agents=agents,
        elapsed_ns=7000 * MS,
        responses=1200,
        errors=2,
        in_flight=3,
        rate=171.4,
        p50_ns=2 * MS,
        p99_ns=9 * MS,
        **more,
    )


def test_the_headline_of_each_stage() -> None:
    assert headline(running(duration_ns=30_000 * MS)) == (
        "running: 7 of 30 s, 1202 requests, 171/s, 3 in flight, p50 2 ms, p99 9 ms, 2 errors, away: a2"
    )
    assert "7 s, 1202 of 5000 requests" in headline(running(requests=5000))
    waiting = RunStatus(
        stage="waiting for agents", agents_requested=3, agents=[AgentStatus(agent="a1", state="idle")]
    )
    assert headline(waiting) == "waiting for agents (1 of 3 agents)"
    queued = RunStatus(stage="queued", message="another run is in progress")
    assert headline(queued) == "queued: another run is in progress"


def test_agents_with_a_problem_are_shown_first() -> None:
    agents = [AgentStatus(agent=f"a{number}", state="running") for number in range(100)]
    agents[70].state = "lost"
    shown = agents_to_show(agents, 10)
    assert [agent.agent for agent in shown][:3] == ["a70", "a0", "a1"]
    assert len(shown) == 10
    assert agents_to_show(agents[:5], 10) == agents[:5]


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    live = Live(quiet=True)
    live.log("something")
    live.show(running())
    live.close()
    assert capsys.readouterr() == ("", "")


def test_without_a_terminal_lines_are_printed_every_few_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    now_s = [0.0]
    live = Live(quiet=False, now_s=lambda: now_s[0])
    live.log("a1 joined")
    for now_s[0] in (1.0, 4.9, 5.0, 5.1, 9.9):
        live.show(running())
    live.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "heyfleet: a1 joined"
    assert len(lines) == 2
    assert lines[1].startswith("heyfleet: running: 7 s")


SHOW = """
from heyfleet.controller.live import Live
from heyfleet.proto.control_pb2 import AgentStatus, RunStatus
live = Live(quiet=False)
live.log("a1 [joined]")
live.show(RunStatus(stage="running", elapsed_ns=1, agents=[AgentStatus(agent="a[1]", state="lost")]))
live.close()
"""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_the_table_is_erased_from_a_terminal(term: str) -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": term, "COLUMNS": "60", "LINES": "20", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], stderr=follower, env=environment, timeout=30, check=False
    )
    os.close(follower)
    output = b""
    try:
        while data := os.read(leader, 65536):
            output += data
    except OSError:
        pass
    os.close(leader)
    assert done.returncode == 0, output
    assert b"heyfleet: a1 [joined]" in output
    if term == "dumb":
        assert b"\x1b" not in output
    else:
        assert b"a[1]" in output
        assert b"lost" in output
        # The table is erased: only erase sequences and cursor movements follow it.
        assert b"a[1]" not in output.rpartition(b"\x1b[2K")[2]
