"""Thresholds: their texts, their results, and when they end a run."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.controller.abort import AbortWatch
from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.stages import parse_stages
from heyfleet.plan.thresholds import parse_threshold, parse_thresholds
from heyfleet.proto.plan_pb2 import Plan, Request, StatusRange
from heyfleet.proto.stats_pb2 import Breakdown
from heyfleet.results.stats import Stats
from heyfleet.results.thresholds import FAILED, INCONCLUSIVE, PASSED, judge, scope_of, stage_seconds

MS = 1_000_000
S = 1000 * MS


def plan_of(**flags: Any) -> Plan:
    return make_plan(RunOptions(url="http://localhost/", user_agent="heyfleet/0", **flags))


@pytest.mark.parametrize(
    ("text", "metric", "limit", "share"),
    [
        ("p99<250ms", "p", 250 * MS, False),
        ("p99.9 <= 1.5s", "p", 1500 * MS, False),
        ("max<2s", "max", 2 * S, False),
        ("mean<=3us", "mean", 3000, False),
        ("errors<0.1%", "errors", 0.001, True),
        ("errors<=5", "errors", 5, False),
        ("unsent<1%", "unsent", 0.01, True),
        ("rate>=4950", "rate", 4950, False),
        ("rate>=5k/s", "rate", 5000, False),
        ("p50[log in]<1s", "p", S, False),
    ],
)
def test_texts(text: str, metric: str, limit: float, share: bool) -> None:
    threshold = parse_threshold(text)
    assert (threshold.metric, threshold.share) == (metric, share)
    assert threshold.limit == pytest.approx(limit)


def test_a_list_is_split_at_commas() -> None:
    assert parse_thresholds("p99<250ms, errors<0.1%,rate>=4950") == ("p99<250ms", "errors<0.1%", "rate>=4950")
    assert parse_threshold("errors>50% for 5s").span_ns == 5 * S


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p99", "not a threshold"),
        ("p99<250", "for seconds write 250s"),
        ("p100<1s", "between p0 and p100"),
        ("p0<1s", "between p0 and p100"),
        ("speed<1", "is unknown"),
        ("errors<many", "not a number"),
        ("errors<-1", "not a number"),
        ("rate>=fast", "not a rate"),
        ("p99==1s", "not a threshold"),
        ("errors>50% for long", "not a duration"),
    ],
)
def test_bad_texts(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_thresholds(text)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"slo": ("p99[login]<1s",)}, "no stage or request 'login'; known are GET /"),
        ({"slo": ("errors>50% for 5s",)}, "'for' works in --abort-on only"),
        ({"abort_on": ("unsent>1%",)}, "counted at the end of the run"),
    ],
)
def test_thresholds_that_do_not_fit_the_plan(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        plan_of(**flags)


def test_thresholds_pass_or_fail(kit: Any) -> None:
    stats = Stats()
    for snapshot in kit.normal_run():  # 200 responses in 2 s, 1.01 to 3 ms
        stats.add(snapshot)
    scope = scope_of("", stats, plan_of(), 2 * S)

    def result(text: str) -> str:
        return judge(parse_threshold(text), scope).result

    assert result("p99<3ms") == PASSED
    assert result("p99<2.9ms") == FAILED
    assert result("max<=3ms") == PASSED
    assert result("min>1ms") == PASSED
    assert result("rate>=100") == PASSED
    assert result("rate>100") == FAILED
    assert result("errors<=0") == PASSED
    assert result("errors<=0%") == PASSED
    verdict = judge(parse_threshold("p99.9<1h"), scope)
    assert verdict.result == INCONCLUSIVE
    assert verdict.explanation == "needs 1000 responses, got 200"
    assert judge(parse_threshold("p99<3ms"), scope).explanation.endswith(" ms")


def test_unexpected_statuses_are_failures(kit: Any) -> None:
    stats = Stats()
    stats.add(kit.snapshot(latencies_ns=[MS] * 90, errors={"reset": 10}))
    stats.add(kit.snapshot(2, latencies_ns=[MS] * 100, status=503))
    assert scope_of("", stats, plan_of(), S).failed == 110
    plan = plan_of()
    plan.requests[0].expected.append(StatusRange(first=503, last=503))
    assert scope_of("", stats, plan, S).failed == 100


def test_percentiles_without_responses_are_inconclusive(kit: Any) -> None:
    stats = Stats()
    stats.add(kit.snapshot(errors={"reset": 10}))
    assert judge(parse_threshold("p99<1s"), scope_of("", stats, plan_of(), S)).result == INCONCLUSIVE


def staged(kit: Any) -> tuple[Plan, Stats]:
    """Two stages and two requests: the second stage and the second request are slow."""
    plan = plan_of(stages=parse_stages("up=10s:0-100, top=20s:100"))
    plan.requests.append(Request(name="login", weight=1, method="POST", request_target="/login"))
    stats = Stats()
    for number, (stage, request, value_ns) in enumerate(
        [(0, 0, MS), (0, 1, 2 * MS), (1, 0, 3 * MS), (1, 1, 4 * MS)], 1
    ):
        snapshot = kit.snapshot(number, latencies_ns=[value_ns] * 100)
        breakdown = Breakdown(stage=stage, request=request)
        breakdown.metrics.CopyFrom(kit.snapshot(latencies_ns=[value_ns] * 100))
        snapshot.breakdowns.append(breakdown)
        stats.add(snapshot)
    return plan, stats


def test_scopes_are_stages_and_requests(kit: Any) -> None:
    plan, stats = staged(kit)
    for text, passes in (
        ("max[up]<=2ms", True),
        ("min[top]>=3ms", True),
        ("max[login]<=4ms", True),
        ("min[login]>=2ms", True),
        ("min[GET /]>=2ms", False),
        ("rate[top]>=10", True),
        ("rate[up]>=21", False),
    ):
        threshold = parse_threshold(text)
        assert judge(threshold, scope_of(threshold.scope, stats, plan, 30 * S)).result == (
            PASSED if passes else FAILED
        ), text


def test_stage_seconds_exclude_the_warmup() -> None:
    plan = plan_of(stages=parse_stages("up=10s:0-100, top=20s:100"), warmup_ns=4 * S)
    assert plan.duration_ns == 26 * S
    assert [stage_seconds(plan, stage, 26 * S) for stage in (0, 1)] == [6, 20]
    assert [stage_seconds(plan, stage, 9 * S) for stage in (0, 1)] == [6, 3]
    assert [stage_seconds(plan, stage, 2 * S) for stage in (0, 1)] == [2, 0]


class AbortedRun:
    """A run under --abort-on, second by second."""

    def __init__(self, kit: Any, *texts: str) -> None:
        self._kit = kit
        self._stats = Stats()
        self._watch = AbortWatch(plan_of(abort_on=texts), self._stats)
        self._second = 0

    def second(self, responses: int, errors: int, latency_ns: int = MS) -> str:
        self._second += 1
        self._stats.add(
            self._kit.snapshot(
                self._second,
                latencies_ns=[latency_ns] * responses,
                errors={"reset": errors} if errors else {},
            )
        )
        return self._watch.check(100.0 + self._second)


def test_abort_after_the_span_of_the_threshold(kit: Any) -> None:
    run = AbortedRun(kit, "errors>50% for 3s")
    assert [run.second(10, 90), run.second(10, 90)] == ["", ""]
    assert run.second(10, 90) == "errors>50% for 3s"


def test_a_good_second_restarts_the_span(kit: Any) -> None:
    run = AbortedRun(kit, "errors>50% for 3s")
    outcomes = [run.second(*each) for each in ((10, 90), (10, 90), (90, 10), (10, 90), (10, 90))]
    assert outcomes == [""] * 5
    assert run.second(0, 5)


def test_a_second_without_completed_requests_changes_nothing(kit: Any) -> None:
    run = AbortedRun(kit, "errors>50% for 3s")
    assert [run.second(*each) for each in ((10, 90), (0, 0))] == ["", ""]
    assert run.second(10, 90)


def test_each_second_is_judged_on_its_own(kit: Any) -> None:
    """A thousand fast responses do not hide that the service is slow now."""
    run = AbortedRun(kit, "p99>500ms for 1s")
    assert run.second(1000, 0) == ""
    assert run.second(100, 0, 600 * MS)
