"""Runs on fleets of real processes: the report is the union of the agents' results, whatever happens to some of them."""

from __future__ import annotations

import json
import re
import signal
import time
from typing import Any

import pytest

from .processes import Fleet, adds_up

SLOW = "/ok?delay=2ms"


def test_exactly_the_requests_of_the_plan(fleet: Fleet, faulty: Any) -> None:
    run = fleet.start("run", "--json", "-n", "10007", "-c", "64", "--local-agents", "3", faulty.url(SLOW))
    assert run.end() == 0
    report = run.report
    adds_up(report)
    assert report["ledger"]["responses"] == report["latency"]["count"] == 10007
    assert [agent["requests"] for agent in report["fleet"]["agents"]] == [3440, 3284, 3283]
    assert [agent["connections"] for agent in report["fleet"]["agents"]] == [22, 21, 21]
    start = report["fleet"]["start_skew"]
    assert start["skew_ns"] <= start["max_skew_ns"]


def test_the_report_is_the_union(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(4, "-z", "2500ms", "-c", "40", faulty.url(SLOW))
    agents = fleet.agents(4)
    assert run.end() == 0
    assert [agent.end() for agent in agents] == [0, 0, 0, 0]
    report = run.report
    adds_up(report)
    archives = fleet.archives()
    assert (len(archives.paths), archives.dones) == (4, 4)
    archives.check(report)
    assert report["fleet"]["agents_lost"] == 0


def test_the_stated_start_skew_is_never_below_the_true_one(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(3, "-z", "1s", "-c", "6", faulty.url(SLOW))
    fleet.agents(3)
    assert run.end() == 0
    # On one host all agents read the same clock, so their instants can be compared.
    began = [
        (record.snapshot.first_worker_ns, record.snapshot.last_worker_ns)
        for path in fleet.archives().paths
        for record in read(path)
        if record.HasField("snapshot")
    ]
    true_ns = max(last for _, last in began) - min(first for first, _ in began)
    start = run.report["fleet"]["start_skew"]
    assert start["max_skew_ns"] >= true_ns
    assert abs(start["skew_ns"] - true_ns) <= 2 * start["clock_uncertainty_ns"]


def read(path: Any) -> Any:
    from heyfleet.agent.spool import read_records

    return read_records(path)


def test_one_of_four_is_killed(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(4, "-z", "5s", "-c", "40", "--lost-timeout", "1s", faulty.url(SLOW))
    agents = fleet.agents(4)
    fleet.until_delivering("spool-a2", 1, snapshots=2)
    agents[1].signal(signal.SIGKILL)
    assert run.end() == 4
    report = run.report
    adds_up(report)
    fleet.delivered_archives(report).check(report)
    lost = [agent for agent in report["fleet"]["agents"] if agent["state"] == "lost"]
    assert len(lost) == report["fleet"]["agents_lost"] == 1
    assert lost[0]["agent"].startswith("a2-")
    assert 1e9 < lost[0]["last_heard_ns"] < 5e9
    assert 0 < report["fleet"]["missing_share"] < 0.25
    assert report["ledger"]["lost"] > 0
    assert any("a2-" in note and "was lost" in note for note in report["notes"])


def test_a_killed_local_agent_is_noticed_at_once(fleet: Fleet, faulty: Any) -> None:
    flags = ("--local-agents", "2", "-n", "1000000", "-c", "8", "--json")
    run = fleet.start(
        "run", *flags, "--spool", str(fleet.folder / "spool-local"), faulty.url("/ok?delay=50ms")
    )
    fleet.until_delivering("spool-local", 2)
    victim = int(_children(run.process.pid)[0])
    import os

    os.kill(victim, signal.SIGKILL)
    run.signal(signal.SIGINT)
    assert run.end() == 130
    report = run.report
    adds_up(report)
    fleet.delivered_archives(report).check(report)
    assert report["fleet"]["agents_lost"] == 1
    assert report["ledger"]["missing"] > 0
    assert any("killed by signal 9" in note for note in report["notes"])


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_an_agent_that_is_paused_for_a_while_continues(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(3, "-z", "9s", "-c", "12", faulty.url(SLOW))
    agents = fleet.agents(3)
    fleet.until_delivering("spool-a*", 3)
    agents[0].signal(signal.SIGSTOP)
    time.sleep(5)
    agents[0].signal(signal.SIGCONT)
    assert run.end() == 0
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert report["fleet"]["agents_lost"] == 0
    assert report["latency"]["slowest_ns"] > 4_000_000_000  # the pause is part of the latencies


def test_ctrl_c_reports_what_was_done(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(2, "-z", "60s", "-c", "8", faulty.url(SLOW))
    agents = fleet.agents(2)
    fleet.until_delivering("spool-a*", 2)
    run.signal(signal.SIGINT)
    assert run.end() == 130
    assert [agent.end() for agent in agents] == [0, 0]
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert report["stopped_by"] == "signal"
    assert report["fleet"]["agents_lost"] == 0
    assert 1e9 < report["total_ns"] < 60e9


def test_ctrl_c_before_the_start(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(2, "-n", "10", "-c", "2", faulty.url("/ok?label=before-the-start"))
    agent = fleet.agent("a1")
    run.wait_for(r"a1-\w+ .*joined")
    run.signal(signal.SIGINT)
    assert run.end() == 130
    assert "nothing was sent" in run.stderr
    assert agent.end() == 0
    assert "before-the-start" not in str(faulty.stats())


def test_a_terminated_agent_delivers_its_results_first(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(2, "-z", "5s", "-c", "8", faulty.url(SLOW))
    agents = fleet.agents(2)
    fleet.until_delivering("spool-a*", 2)
    agents[0].signal(signal.SIGTERM)
    assert run.end() == 0
    assert [agent.end() for agent in agents] == [143, 0]
    report = run.report
    adds_up(report)
    fleet.archives().check(report)
    assert fleet.archives().dones == 2


def test_a_rejected_agent_is_told_why(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(1, "-n", "10", "-c", "1", "--join-timeout", "60s", faulty.url("/ok"))
    join = fleet.folder / "join"
    token = (join / "join.token").read_text()
    wrong = fleet.folder / "wrong.token"
    wrong.write_text(token.replace("secret: ", "secret: x", 1))
    wrong.chmod(0o600)
    where = ("--join", f"127.0.0.1:{fleet.port}")
    bad = fleet.start(
        "agent", *where, "--ca", str(join / "ca.pem"), "--token-file", str(wrong), "--name", "bad"
    )
    assert bad.end() == 2
    assert "the secret of the token is wrong" in bad.stderr
    assert fleet.agent("good").end() == 0
    assert run.end() == 0
    assert any("bad at 127.0.0.1" in line and "wrong" in line for line in run.report["fleet"]["rejections"])


@pytest.mark.parametrize("way", ["reused", "expired", "other CA", "other token"])
def test_tokens_and_authorities(fleet: Fleet, way: str) -> None:
    def ca(*arguments: str) -> None:
        assert fleet.start("ca", *arguments).end() == 0

    ours, join = str(fleet.folder / "ours"), fleet.folder / "join"
    join.mkdir()
    ca("init", ours)
    ca(
        "token",
        ours,
        "--uses",
        "1",
        "--valid",
        "1s" if way == "expired" else "10m",
        "--output",
        str(join / "join.token"),
    )
    (join / "ca.pem").write_bytes((fleet.folder / "ours" / "ca.pem").read_bytes())
    controller = fleet.start("controller", "--listen", "127.0.0.1:0", "--credentials", ours)
    fleet.port = int(controller.wait_for(r"listening on 127.0.0.1:(\d+)")[1])
    if way == "reused":
        first = fleet.agent("first")
        controller.wait_for(r"first-\w+ .*joined")
        message = "for 1 agent and has no uses left"
    elif way == "expired":
        (entry,) = json.loads((fleet.folder / "ours" / "tokens.json").read_text())
        time.sleep(max(entry["expires_s"] - time.time(), 0.0))
        message = "the token expired at"
    else:
        theirs = str(fleet.folder / "theirs")
        ca("init", theirs)
        (join / "ca.pem").write_bytes((fleet.folder / "theirs" / "ca.pem").read_bytes())
        message = "do not belong together"
        if way == "other CA":
            ca("token", theirs, "--output", str(join / "join.token"))
            message = "certificate of another CA"
    late = fleet.agent("late")
    assert late.end() == 2
    late.wait_for(message)
    if way == "reused":
        controller.wait_for(
            r"rejected late at 127.0.0.1:\d+: the token was issued for 1 agent and has no uses left"
        )
        assert first.process.poll() is None


def test_too_few_agents(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(3, "-n", "10", "-c", "3", "--join-timeout", "2s", faulty.url("/ok"))
    fleet.agents(2)
    assert run.end() == 2
    assert re.search(r"[0-2] of 3 agents joined within 2 s; wait longer with --join-timeout", run.stderr)


def test_enough_agents(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(
        3, "-n", "100", "-c", "10", "--join-timeout", "8s", "--min-agents", "2", faulty.url("/ok")
    )
    fleet.agents(2)
    assert run.end() == 0
    report = run.report
    adds_up(report)
    assert (report["fleet"]["agents_requested"], report["fleet"]["agents_joined"]) == (3, 2)
    assert report["ledger"]["responses"] == 100


def test_an_agent_that_comes_too_late_takes_no_part(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(1, "-z", "4s", "-c", "4", faulty.url(SLOW))
    first = fleet.agent("first")
    first.wait_for(r"run \w+: 4 connections")
    token = fleet.folder / "join" / "join.token"
    late = fleet.agent("late")
    assert late.end() == 2, token
    late.wait_for("has no uses left")
    assert run.end() == 0
    report = run.report
    adds_up(report)
    assert report["fleet"]["agents_joined"] == 1


def test_an_agent_refuses_targets_that_its_policy_does_not_allow(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(1, "-z", "4s", "-c", "4", faulty.url(SLOW))
    agent = fleet.agent("a1", "--allow-target", "*.example.com", "--allow-target", "10.0.0.0/8")
    assert run.end() == 2
    assert "does not allow 127.0.0.1" in run.stderr
    assert agent.end() == 0


def test_a_run_by_count_ends_by_the_longest_duration_of_an_agent(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(1, "-n", "1000000000", "-c", "4", faulty.url(SLOW))
    agent = fleet.agent("a1", "--max-duration", "1s")
    assert run.end() == 0
    report = run.report
    adds_up(report)
    assert report["stopped_by"] == "limit"
    assert report["ledger"]["unsent"] > 0
    assert any("--max-duration" in note for note in report["notes"])
    assert "ended by limit" in agent.stderr
    assert agent.end() == 0


def test_a_schedule_beyond_the_longest_duration_is_refused(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(1, "-n", "400", "--rate", "50", faulty.url(SLOW))
    agent = fleet.agent("a1", "--max-duration", "2s")
    assert run.end() == 2
    assert "does not allow 7.98 s of load, only 2 s (--max-duration)" in run.stderr
    assert agent.end() == 0


def test_redirects_stay_below_the_highest_rate_of_an_agent(fleet: Fleet, faulty: Any) -> None:
    run = fleet.run(
        1, "-z", "2s", "--rate", "20", "-c", "20", faulty.url("/ok?status=302&header=Location:%20/ok")
    )
    fleet.agent("a1", "--max-rate", "20")
    assert run.end() == 0
    report = run.report
    adds_up(report)
    assert report["counters"]["rate_limited"] > 0
    assert any("--max-rate" in reason for reason in report["trust"]["reasons"])
