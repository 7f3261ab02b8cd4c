"""Agents whose disk is full, before a run or in the middle of it. A limit on the size of files stands for the disk."""

from __future__ import annotations

from typing import Any

import pytest

from .processes import Fleet, adds_up

SLOW = "/ok?delay=2ms"


def prefix(file_bytes: int) -> tuple[str, ...]:
    return ("prlimit", f"--fsize={file_bytes}")


@pytest.mark.parametrize("file_bytes", [8, 100])
def test_a_disk_that_is_full_before_the_run_is_a_refusal(fleet: Fleet, faulty: Any, file_bytes: int) -> None:
    arguments = ("--json", "--no-archive", "-n", "100", "-c", "4", "--local-agents", "2", faulty.url(SLOW))
    run = fleet.start("run", *arguments, prefix=prefix(file_bytes))
    assert run.end() == 2
    assert "it can't keep results in" in run.stderr
    assert "File too large" in run.stderr


def test_an_agent_without_any_folder_for_its_results_says_what_to_do(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(fleet.folder / "file" / "state"))
    (fleet.folder / "file").write_text("")
    agent = fleet.start("agent", "--join", f"unix:{fleet.folder}/socket", prefix=prefix(0))
    assert agent.end() == 2
    assert "no folder can be written for the results" in agent.stderr
    assert "--spool" in agent.stderr


def test_a_disk_that_fills_during_the_run_costs_no_result(fleet: Fleet, faulty: Any) -> None:
    spool = fleet.folder / "spool"
    arguments = (
        "--json",
        "--no-archive",
        "-z",
        "3s",
        "-c",
        "4",
        "--local-agents",
        "2",
        "--spool",
        str(spool),
    )
    run = fleet.start("run", *arguments, faulty.url(SLOW), prefix=prefix(2500))
    assert run.end() == 0, run.stderr
    adds_up(run.report)
    assert run.report["fleet"]["agents_lost"] == 0
    sizes = [path.stat().st_size for path in spool.iterdir()]
    assert len(sizes) == 2
    assert all(0 < size <= 2500 for size in sizes)
