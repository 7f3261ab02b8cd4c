"""A run from its options to report and exit code, with an agent that plays snapshots back."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.cli.run_report import run_and_report
from heyfleet.controller.executors.local import LocalExecutor
from heyfleet.plan.options import RunOptions
from heyfleet.proto.stats_pb2 import Refusal

Streams = pytest.CaptureFixture[str]


def flags(**rest: Any) -> RunOptions:
    return RunOptions(**{"url": "http://localhost/", "user_agent": "heyfleet/0", **rest})


def sending(signum: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), signum)


def test_a_run_step_by_step(kit: Any, capsys: Streams) -> None:
    agent = kit.agent(kit.normal_run())
    assert run_and_report(flags(requests=200, connections=2), LocalExecutor(agent)) == 0
    out, err = capsys.readouterr()
    assert agent.calls == ["prepare", "start", "done"]
    assert (agent.assignment.request_count, agent.assignment.connections) == (200, 2)
    assert "  [200]\t200 responses\n" in out
    assert err == ""


def test_a_repeated_snapshot_is_ignored(kit: Any, capsys: Streams) -> None:
    first, second = kit.normal_run()
    agent = kit.agent([first, first, second], kit.done([first, second]))
    assert run_and_report(flags(), LocalExecutor(agent)) == 0
    assert "  [200]\t200 responses\n" in capsys.readouterr().out


def test_an_agent_that_refuses(kit: Any, capsys: Streams) -> None:
    agent = kit.agent([], answer=Refusal(reason="50 open files allowed; the largest -c is 20"))
    assert run_and_report(flags(), LocalExecutor(agent)) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", "heyfleet: 50 open files allowed; the largest -c is 20\n")
    assert "start" not in agent.calls


def test_bad_input_reaches_no_agent(kit: Any, capsys: Streams) -> None:
    agent = kit.agent([])
    assert run_and_report(flags(url="localhost"), LocalExecutor(agent)) == 2
    assert capsys.readouterr().err.startswith("heyfleet: URL 'localhost' has no scheme")
    assert agent.calls == []


@pytest.mark.parametrize(
    ("requests", "snapshot"),
    [
        (200, {"errors": {"connect refused": 200}}),
        (50, {"abandoned": 50}),
        (2, {"errors": {"reset": 1}, "abandoned": 1}),
    ],
)
def test_no_response_at_all(kit: Any, capsys: Streams, requests: int, snapshot: dict[str, Any]) -> None:
    assert (
        run_and_report(
            flags(requests=requests, connections=1), LocalExecutor(kit.agent([kit.snapshot(**snapshot)]))
        )
        == 3
    )
    out = capsys.readouterr().out
    assert "Ledger:" in out
    assert "NaN" not in out


def test_status_500_is_a_response(kit: Any, capsys: Streams) -> None:
    assert (
        run_and_report(
            flags(requests=1, connections=1),
            LocalExecutor(kit.agent([kit.snapshot(latencies_ns=[1000], status=500)])),
        )
        == 0
    )


def test_a_report_that_does_not_add_up(kit: Any, capsys: Streams) -> None:
    snapshots = kit.normal_run()
    assert run_and_report(flags(), LocalExecutor(kit.agent(snapshots[1:], kit.done(snapshots)))) == 1
    out = capsys.readouterr().out
    assert "not reliable: responses: the snapshots add up to 100, the agent's total is 200" in out
    assert "not reliable: 1 of 2 snapshots did not arrive" in out


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_load_and_prints_the_report(
    kit: Any, capsys: Streams, signum: int, code: int
) -> None:
    agent = kit.agent(kit.normal_run()[:1], in_snapshots=sending(signum))
    agent.last = kit.done(agent.played, unsent=100, stopped_by="signal")
    before = signal.getsignal(signum)
    assert run_and_report(flags(), LocalExecutor(agent)) == code
    assert agent.calls == ["prepare", "start", "stop", "done"]
    assert "interrupted: the report covers the run until then" in capsys.readouterr().out
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_start(kit: Any, capsys: Streams, signum: int, code: int) -> None:
    agent = kit.agent([], in_prepare=sending(signum))
    assert run_and_report(flags(), LocalExecutor(agent)) == code
    assert agent.calls == ["prepare", "stop"]
    assert capsys.readouterr() == ("", "heyfleet: interrupted before the start; nothing was sent\n")


def test_a_fault_of_the_agent_stops_the_load(kit: Any) -> None:
    def fail() -> None:
        raise RuntimeError("broken")

    agent = kit.agent(kit.normal_run(), in_snapshots=fail)
    with pytest.raises(RuntimeError, match="broken"):
        run_and_report(flags(), LocalExecutor(agent))
    assert agent.calls == ["prepare", "start", "stop"]


def test_json(kit: Any, capsys: Streams) -> None:
    assert run_and_report(flags(output="json"), LocalExecutor(kit.agent(kit.normal_run()))) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["ledger"]["responses"] == 200
    assert err == ""


def test_csv_prints_errors_and_notes_to_stderr(kit: Any, capsys: Streams) -> None:
    snapshot = kit.snapshot(latencies_ns=[1000], errors={"reset": 2}, trace=bytes(64))
    agent = kit.agent([snapshot], kit.done([snapshot], trace_dropped=7))
    assert run_and_report(flags(output="csv", requests=3, connections=3), LocalExecutor(agent)) == 0
    out, err = capsys.readouterr()
    assert agent.assignment.trace_rows == 3
    assert len(out.splitlines()) == 2
    assert err.splitlines() == [
        "heyfleet: errors, which have no rows: 2 reset",
        "heyfleet: the rows are incomplete: 7 responses did not fit in the trace",
    ]


def test_progress_on_a_terminal_only(kit: Any, capsys: Streams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert run_and_report(flags(), LocalExecutor(kit.agent(kit.normal_run()))) == 0
    err = capsys.readouterr().err
    assert "opening 50 connections to localhost:" in err
    assert "1 s   100 requests   100/s   0 errors" in err
    assert "2 s   200 requests   100/s   0 errors" in err
    assert err.endswith("\r\x1b[K")
