"""Rates, users, stages, plan files and thresholds against real servers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heyfleet.plan.sharding import request_order

from .command import heyfleet, measure

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "report.schema.json").read_text())


def test_the_server_receives_the_rate(nginx: Any) -> None:
    before = nginx.requests()
    report = measure("--rate", "1k/s", "-z", "2s", nginx.url("/"))
    jsonschema.validate(report, SCHEMA)
    assert report["ledger"]["planned"] == 2000
    assert nginx.requests() - before == report["ledger"]["sent"]
    assert report["latency"]["count"] == report["service_time"]["count"] == report["ledger"]["responses"]
    assert report["generator"]["generator_lag"]["count"] == report["ledger"]["sent"]
    assert report["plan"]["load_model"] == "rate"


def test_random_arrivals_are_the_same_for_a_seed(nginx: Any) -> None:
    """The number of users depends on the workers that share them, so this test uses one worker."""
    planned = [
        measure(
            "--rate", "500", "--arrivals", "poisson", "--seed", seed, "-z", "1s", "-cpus", "1", nginx.url("/")
        )["ledger"]["planned"]
        for seed in ("1", "1", "2")
    ]
    assert planned[0] == planned[1] != planned[2]
    assert 400 < planned[0] < 600


def test_stages_and_warm_up(nginx: Any) -> None:
    before = nginx.requests()
    report = measure("--stages", "up=1s:0-400, 1s:400, rest=1s:0", "--warmup", "500ms", nginx.url("/"))
    jsonschema.validate(report, SCHEMA)
    assert [(stage["name"], stage["sent"]) for stage in report["stages"]] == [
        ("up", 150),
        ("2", 400),
        ("rest", 0),
    ]
    assert report["warmup"]["sent"] == 50
    assert report["ledger"]["planned"] == 550
    assert nginx.requests() - before == 600


def test_users_spawn_think_and_stay(faulty: Any) -> None:
    report = measure(
        *("--users", "20", "--spawn-rate", "20", "--think", "50ms", "-z", "2s", faulty.url("/ok?delay=50ms"))
    )
    jsonschema.validate(report, SCHEMA)
    # User j makes ten requests a second from j / 20 s on, until 2 s.
    assert report["ledger"]["sent"] == pytest.approx(
        sum(10 * (2 - user / 20) for user in range(20)), rel=0.15
    )
    assert [stage["name"] for stage in report["stages"]] == ["spawn", "all"]
    assert report["generator"]["connections_opened"] == 20


PLAN = """\
url: {url}
rate: 300
duration: 1s
slo: ["errors<1%", "max[slow]<1h"]
requests:
  - name: quick
    path: /ok
    weight: 2
  - name: slow
    path: /ok?delay=20ms
  - name: gone
    path: /status/404
    weight: 0.5
"""


def test_a_plan_file_with_several_requests(faulty: Any, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(url=faulty.url("/")))
    outcome = heyfleet("run", "--json", "-f", str(path))
    report = outcome.report
    jsonschema.validate(report, SCHEMA)
    # 2 : 1 : 0.5 of 300, to the request; a 404 is a failure, unless it was expected.
    sent = {request["name"]: request["sent"] for request in report["requests"]}
    order = request_order([4, 2, 1])
    count = Counter(order[number % 7] for number in range(300))
    # A machine that stood still leaves some unsent; each of the others is where it belongs.
    unsent = report["ledger"]["unsent"]
    assert sum(sent.values()) == 300 - unsent
    for name, planned in {"quick": count[0], "slow": count[1], "gone": count[2]}.items():
        assert planned - unsent <= sent[name] <= planned
    failed = {request["name"]: request["failed"] for request in report["requests"]}
    assert failed["gone"] == report["statuses"]["404"]
    assert failed["quick"] == 0
    assert [verdict["result"] for verdict in report["thresholds"]] == ["failed", "passed"]
    assert outcome.exit_code == 5
    path.write_text(PLAN.format(url=faulty.url("/")).replace("/404", "/404\n    expect: 404"))
    assert heyfleet("run", "-f", str(path)).exit_code == 0


def test_a_threshold_that_passes_and_one_that_fails(faulty: Any) -> None:
    url = faulty.url("/ok?delay=20ms")
    met = heyfleet("run", "-n", "100", "-c", "10", "--slo", "p50>=20ms, errors<=0", url)
    assert met.exit_code == 0
    assert "passed\tp50>=20ms" in met.stdout
    failed = heyfleet("run", "-n", "100", "-c", "10", "--slo", "p50<20ms", url)
    assert failed.exit_code == 5
    assert "failed\tp50<20ms" in failed.stdout


def test_abort_on_ends_the_run() -> None:
    outcome = heyfleet(
        "run", "--json", "--rate", "50", "-z", "30s", "--abort-on", "errors>50% for 2s", "http://127.0.0.1:1/"
    )
    report = outcome.report
    jsonschema.validate(report, SCHEMA)
    assert report["stopped_by"] == "threshold"
    assert report["aborted_by"] == "errors>50% for 2s"
    assert report["total_ns"] < 20e9
    assert outcome.exit_code == 3  # no request was answered at all, which says more


def test_kernel_timestamps(nginx: Any) -> None:
    report = measure("-n", "500", "-c", "2", "--kernel-timestamps", nginx.url("/"))
    jsonschema.validate(report, SCHEMA)
    kernel = report["kernel_latency"]
    assert report["generator"]["io"] == "epoll"
    assert kernel["count"] > 450
    assert 0 < kernel["average_ns"] < report["latency"]["average_ns"]


def test_find_max(faulty: Any) -> None:
    """One connection and 20 ms an answer carry less than 50 a second."""
    outcome = heyfleet(
        *(
            "run",
            "--json",
            "--find-max",
            "errors<1%",
            "--rate",
            "16",
            "-c",
            "1",
            "-z",
            "1s",
            faulty.url("/ok?delay=20ms"),
        ),
    )
    search = json.loads(outcome.stdout)
    assert outcome.exit_code == 0
    assert 0 < search["highest_rate"] < 50  # lower than it is on a machine that is busy
    results = {step["result"] for step in search["steps"]}
    assert "passed" in results
    assert results & {"failed", "unreliable"}  # which of them, a busy machine decides
    jsonschema.validate(search["best"], SCHEMA)


def test_find_max_without_a_result(faulty: Any) -> None:
    outcome = heyfleet(
        "run", "--find-max", "max<1ms", "--rate", "2", "-z", "500ms", faulty.url("/ok?delay=20ms")
    )
    assert outcome.exit_code == 5
    assert "no rate passed" in outcome.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--rate", "-5"), "not a rate"),
        (("--rate", "0"), "above 0"),
        (("--rate", "5", "--users", "5"), "exclude each other"),
        (("--stages", "30s"), "not a stage"),
        (("--slo", "p99"), "not a threshold"),
        (("--slo", "p99[nobody]<1s"), "no stage or request"),
        (("--arrivals", "often"), "constant or poisson"),
        (("--users", "5", "-c", "5"), "exclude each other"),
        (("--find-max", "p99<1s", "--agents", "2"), "--local-agents"),
        (("--find-max", "p99<1s", "--users", "2"), "chooses the rate itself"),
        (("-f", "no-such-plan.yaml"), "can't read 'no-such-plan.yaml'"),
    ],
)
def test_bad_options_are_refused(faulty: Any, flags: tuple[str, ...], message: str) -> None:
    outcome = heyfleet("run", *flags, faulty.url("/ok"))
    assert outcome.exit_code == 2
    assert message in outcome.stderr
    assert outcome.stdout == ""


def test_a_rate_that_connections_can_hardly_carry_is_warned_about(faulty: Any) -> None:
    outcome = heyfleet("run", "--rate", "5000", "-c", "1", "-z", "300ms", faulty.url("/ok?delay=5ms"))
    assert "warning: 5000 requests/s over -c 1" in outcome.stderr
    assert "unsent" in outcome.stdout
    assert "Trust: limited" in outcome.stdout or "Trust: bad" in outcome.stdout
