"""Load profiles: stages, users, think times and weights."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan, warnings
from heyfleet.plan.options import RunOptions
from heyfleet.plan.stages import parse_stages, parse_think_time, parse_weight, stage_ends_ns, whole_weights
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE, USERS, Plan, Think

MS = 1_000_000
S = 1000 * MS


def plan_of(**flags: Any) -> Plan:
    return make_plan(RunOptions(url="http://localhost/", user_agent="heyfleet/0", **flags))


def levels(plan: Plan) -> list[tuple[str, int, float, float]]:
    return [(stage.name, stage.duration_ns, stage.first, stage.last) for stage in plan.stages]


def test_the_stages_of_the_guide() -> None:
    plan = plan_of(stages=parse_stages("30s:0-1000, 2m:1000, peak=10s:1k-5k/s, 30s:0"))
    assert plan.load_model == RATE
    assert levels(plan) == [
        ("1", 30 * S, 0, 1000),
        ("2", 120 * S, 1000, 1000),
        ("peak", 10 * S, 1000, 5000),
        ("4", 30 * S, 0, 0),
    ]
    assert (plan.duration_ns, plan.request_count, plan.connections) == (190 * S, 0, 1000)


def test_stages_of_users() -> None:
    plan = plan_of(stages=parse_stages("users: 10s:0-50, 1m:50"))
    assert (plan.load_model, plan.connections, plan.duration_ns) == (USERS, 50, 70 * S)


def test_users_that_spawn_over_time() -> None:
    plan = plan_of(users=1100, spawn_rate=100.0, duration_ns=30 * S)
    assert (plan.load_model, plan.connections) == (USERS, 1100)
    assert levels(plan) == [("spawn", 11 * S, 0, 1100), ("all", 0, 1100, 1100)]
    assert levels(plan_of(users=5)) == [("1", 0, 5, 5)]


def test_a_rate_for_each_connection() -> None:
    plan = plan_of(rate_per_connection=2.5, connections=4)
    assert (plan.load_model, levels(plan)) == (CONNECTION_RATE, [("1", 0, 10, 10)])


@pytest.mark.parametrize(
    ("text", "kind", "low_ns", "high_ns"),
    [
        ("1s", Think.UNIFORM, S, S),
        ("0.5s-2s", Think.UNIFORM, 500 * MS, 2 * S),
        ("exp:1s", Think.EXPONENTIAL, S, 0),
        ("0", Think.UNIFORM, 0, 0),
    ],
)
def test_think_times(text: str, kind: Think.Kind, low_ns: int, high_ns: int) -> None:
    assert parse_think_time(text) == Think(kind=kind, low_ns=low_ns, high_ns=high_ns)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a stage"),
        ("30s", "not a stage"),
        ("30:5", "for seconds write 30s"),
        ("0s:5", "longer than 0"),
        ("30s:-5", "'30s:-5' lacks a level"),
        ("30s:5-", "'30s:5-' lacks a level"),
        ("30s:many", "not a rate"),
        ("30s:0, 5s:0", "every level is 0"),
        ("a=1s:1, a=2s:2", "two stages are called 'a'"),
        ("1x=1s:1", "not a name"),
        ("users: 1s:2.5", "not a whole number"),
        ("1s:2000M", "too large"),
    ],
)
def test_bad_stages(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_stages(text)


def test_too_many_stages() -> None:
    with pytest.raises(ValueError, match="257 stages are too many"):
        parse_stages(",".join(["1s:1"] * 257))


@pytest.mark.parametrize("text", ["2s-1s", "soon", "exp:", "1"])
def test_bad_think_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"goes from more to less|not a duration"):
        parse_think_time(text)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"rate": 5.0, "users": 5}, "--rate and --users exclude each other"),
        ({"rate": 5.0, "rate_per_connection": 5.0}, "-q and --rate exclude"),
        ({"users": 5, "connections": 5}, "-c and users exclude"),
        ({"spawn_rate": 5.0}, "--spawn-rate needs --users"),
        ({"think": parse_think_time("1s")}, "--think needs --users"),
        ({"poisson": True}, "--arrivals poisson needs a rate"),
        ({"catch_up": True, "users": 3}, "--catch-up needs a rate"),
        ({"stages": parse_stages("5s:1"), "warmup_ns": 5 * S}, "--warmup 5s leaves nothing of the stages"),
        (
            {"rate_per_connection": 1e9, "connections": 50},
            "-q 1000000000 on each of 50 connections is more than 1000M/s together; use -q 20000000 at most",
        ),
        (
            {"users": 10**9, "spawn_rate": 1e-9},
            "--spawn-rate 1e-09 starts --users 1000000000 after more than 876000h",
        ),
        ({"stages": parse_stages("876000h:1,1h:1")}, "--stages take longer than 876000h together"),
        ({"kernel_timestamps": True, "io": "io_uring"}, "needs epoll"),
    ],
)
def test_flags_that_contradict_each_other(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(**flags)


def test_a_rate_that_connections_can_hardly_carry_is_warned_about() -> None:
    assert list(warnings(plan_of(rate=1000.0, connections=10))) == []
    (warning,) = warnings(plan_of(rate=50_000.0, connections=10))
    assert "each connection must respond within 0.2 ms on average" in warning


def test_the_warm_up_is_part_of_the_stages_and_precedes_a_duration() -> None:
    assert plan_of(stages=parse_stages("5s:1"), warmup_ns=2 * S).duration_ns == 3 * S
    assert plan_of(rate=5.0, duration_ns=9 * S, warmup_ns=2 * S).duration_ns == 9 * S


def test_the_ends_of_stages() -> None:
    assert stage_ends_ns(plan_of(stages=parse_stages("5s:1,5s:2"))) == [5 * S, 10 * S]
    assert stage_ends_ns(plan_of(users=10, spawn_rate=5.0, duration_ns=7 * S)) == [2 * S, 7 * S]
    assert stage_ends_ns(plan_of(users=10, spawn_rate=5.0, requests=7)) == [2 * S, 0]


def test_random_plans_get_a_new_seed() -> None:
    assert plan_of(rate=5.0).seed == 0
    assert plan_of(rate=5.0, seed=7).seed == 7
    drawn = {plan_of(rate=5.0, poisson=True).seed for _ in range(4)}
    assert len(drawn) > 1


@pytest.mark.parametrize(
    ("weights", "whole"),
    [(["1", "3"], [1, 3]), (["0.5", "0.25"], [2, 1]), (["10", "20"], [1, 2]), (["0.1", "1"], [1, 10])],
)
def test_weights_become_whole_numbers(weights: list[str], whole: list[int]) -> None:
    assert whole_weights(map(parse_weight, weights)) == whole


@pytest.mark.parametrize("text", ["0", "-1", "", "x", "1e3", "0.0"])
def test_bad_weights(text: str) -> None:
    with pytest.raises(ValueError, match="not a weight"):
        parse_weight(text)


def test_weights_that_are_too_fine() -> None:
    with pytest.raises(ValueError, match="too fine"):
        whole_weights([(1, 1), (999983, 1)])
