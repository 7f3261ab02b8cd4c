"""However a command ends, its local agents and what they keep end with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from heyfleet.agent.spool import read_records
from heyfleet.results.archive.reader import ArchivedRun

from .processes import HEYFLEET, Fleet, until

LOAD = ("-z", "1h", "-c", "4", "--local-agents", "2", "--json")
DEATHS = [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGKILL]
ORDERLY = {signal.SIGHUP: 129, signal.SIGINT: 130, signal.SIGTERM: 143}


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def has_snapshot(path: Path) -> bool:
    return any(record.HasField("snapshot") for record in read_records(path))


@pytest.mark.parametrize("number", DEATHS, ids=lambda number: number.name)
@pytest.mark.parametrize("moment", ["starting", "running"])
def test_agents_and_their_files_end_with_the_command(
    faulty: Any, tmp_path: Path, number: signal.Signals, moment: str
) -> None:
    state, temporary = tmp_path / "state", tmp_path / "tmp"
    temporary.mkdir()
    command = subprocess.Popen(
        [*HEYFLEET, "run", *LOAD, faulty.url("/ok?delay=20ms")],
        env={**os.environ, "TMPDIR": str(temporary), "XDG_STATE_HOME": str(state), "HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until(lambda: command.poll() is None and len(children(command.pid)) == 2)
        agents = children(command.pid)
        if moment == "running":
            until(lambda: len(list(temporary.glob("*/*.records"))) == 2)
        command.send_signal(number)
        # The agents hold stderr open, so its end is theirs.
        stdout, stderr = command.communicate(timeout=60)
    finally:
        command.kill()
        command.wait()
    until(lambda: not any(map(is_running, agents)))
    until(lambda: list(temporary.iterdir()) == [])
    assert not state.exists()
    assert "Traceback" not in stderr
    assert command.returncode == ORDERLY.get(number, -number)
    if stdout:
        assert json.loads(stdout)["ledger"]["faults"] == []


def test_results_in_a_named_spool_outlive_the_command(faulty: Any, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    command = subprocess.Popen(
        [*HEYFLEET, "run", *LOAD, "--spool", str(spool), faulty.url("/ok?delay=20ms")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        Fleet(tmp_path).until_delivering("spool", 2)
    finally:
        command.kill()
    command.communicate(timeout=60)
    assert sum(map(has_snapshot, spool.glob("*.records"))) == 2


def test_runs_that_begin_together_are_all_kept(faulty: Any, tmp_path: Path) -> None:
    flags = ("-n", "5", "-c", "1", faulty.url("/ok"))
    runs = tmp_path / "runs"
    # Each waits until all are there, so that their folders are made at the same time.
    barrier = "import sys; sys.stdin.read(); from heyfleet.cli.main import main; main(prog_name='heyfleet')"
    reader, writer = os.pipe()
    commands = [
        subprocess.Popen(
            [sys.executable, "-c", barrier, "run", *flags],
            stdin=reader,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "HEYFLEET_RUNS": str(runs)},
        )
        for _ in range(12)
    ]
    os.close(reader)
    os.close(writer)
    for command in commands:
        assert command.communicate(timeout=120)[1] == ""
        assert command.returncode == 0
    assert len(list(runs.iterdir())) == 12
    assert all(ArchivedRun(folder).complete for folder in runs.iterdir())
