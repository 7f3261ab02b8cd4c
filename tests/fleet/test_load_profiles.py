"""Load profiles over several agents: the agents' shares add up to the plan, to the request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..integration.command import heyfleet, measure

pytestmark = pytest.mark.timeout(120)


def test_a_rate_over_three_agents(nginx: Any) -> None:
    before = nginx.requests()
    report = measure("--local-agents", "3", "--rate", "1000", "-z", "2s", "--warmup", "1s", nginx.url("/"))
    ledger = report["ledger"]
    assert ledger["planned"] == 2000
    assert report["warmup"]["sent"] <= 1000
    # A busy machine leaves some requests unsent, and some in flight at the end, which nginx may not have seen.
    sent = report["warmup"]["sent"] + ledger["sent"]
    assert sent > 1500
    assert sent - nginx.requests() + before in range(1 + ledger["abandoned"])
    assert ledger["unsent"] == 2000 - ledger["sent"]


def test_stages_and_several_requests_over_three_agents(faulty: Any, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        f"url: {faulty.url('/')}\nstages: up=1s:0-100, 1s:100\nlocal-agents: 3\n"
        "requests:\n  - name: a\n    path: /ok\n    weight: 2\n  - name: b\n    path: /ok?b\n"
    )
    report = measure("-f", str(plan))
    assert [stage["sent"] for stage in report["stages"]] == [50, 100]
    assert [request["sent"] for request in report["requests"]] == [100, 50]


def test_users_over_agents(faulty: Any) -> None:
    """11 users that start 0.1 s apart, each with one request that takes 5 s."""
    outcome = heyfleet(
        *(
            "run",
            "--json",
            "--local-agents",
            "2",
            "--users",
            "11",
            "--spawn-rate",
            "10",
            "-z",
            "3s",
            faulty.url("/ok?delay=5s"),
        )
    )
    ledger = outcome.report["ledger"]
    assert ledger["sent"] == ledger["abandoned"] == 11


def test_a_failed_threshold_stops_a_fleet() -> None:
    outcome = heyfleet(
        *("run", "--json", "--local-agents", "2", "--rate", "50", "-z", "30s"),
        *("--abort-on", "errors>50% for 2s", "http://127.0.0.1:1/"),
    )
    assert outcome.report["stopped_by"] == "threshold"
    assert outcome.exit_code == 3
