"""--find-max: which rates are tried, and what their results mean."""

from __future__ import annotations

from typing import cast

import pytest

from heyfleet.cli.find_max import search_lines
from heyfleet.controller.find_max import CLOSE, FAILED, MAX_STEPS, PASSED, UNRELIABLE, Search, Step, find_max
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import InputError
from heyfleet.plan.keywords import options_from_values
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.measurements import Measurements
from heyfleet.results.summary import Summary


def search(limit: float, first: float = 100.0, *, unlucky: tuple[int, ...] = ()) -> Search:
    """A service that passes below its limit, except in the tries with these numbers."""
    tries = 0

    def try_rate(rate: float) -> Step:
        nonlocal tries
        tries += 1
        result = PASSED if rate <= limit and tries not in unlucky else FAILED
        return Step(rate, result, "", cast("Summary", None))

    found = Search(first, try_rate)
    found.run()
    return found


@pytest.mark.parametrize("limit", [2, 77, 100, 5000, 123_456])
def test_the_limit_is_found_from_both_sides(limit: float) -> None:
    found = search(limit)
    assert limit / CLOSE <= found.passed_rate <= limit < found.failed_rate
    assert found.best is not None
    assert found.best.rate == found.passed_rate
    assert len(found.steps) < MAX_STEPS


def test_one_failure_is_tried_again() -> None:
    assert search(1000, unlucky=(2,)).passed_rate > 1000 / CLOSE


def test_no_rate_passes() -> None:
    found = search(0)
    assert (found.passed_rate, found.best) == (0, None)
    assert {step.result for step in found.steps} == {FAILED}


def test_a_search_without_a_limit_ends() -> None:
    found = search(float("inf"))
    assert len(found.steps) <= MAX_STEPS
    assert not found.failed_rate


def test_an_unreliable_step_does_not_pass() -> None:
    def try_rate(rate: float) -> Step:
        return Step(
            rate, PASSED if rate < 300 else UNRELIABLE, "a worker was 99% busy", cast("Summary", None)
        )

    found = Search(100, try_rate)
    found.run()
    assert found.passed_rate < 300 <= found.failed_rate


def test_a_search_ends_where_the_generator_is_never_reliable() -> None:
    def try_rate(rate: float) -> Step:
        return Step(rate, UNRELIABLE, "a worker waited for a CPU", cast("Summary", None))

    found = Search(800, try_rate)
    found.run()
    assert [step.rate for step in found.steps] == [800, 800, 400, 400, 200, 200]
    assert found.limited_by_generator


def test_no_rate_below_the_lowest_is_tried() -> None:
    tried: list[float] = []

    def try_rate(rate: float) -> Step:
        tried.append(rate)
        return Step(rate, FAILED, "", cast("Summary", None))

    found = Search(100, try_rate, lowest_rate=20)
    found.run()
    assert set(tried) == {100, 50, 25}
    assert "  no rate passed; the lowest that was tried is 25 requests/s" in search_lines(found)


@pytest.mark.parametrize(
    ("rate", "slo", "duration_s", "message"),
    [
        (0.5, "errors<1%", 5, "--rate 0.5/s: --find-max tries rates from 1/s on; begin with a higher rate"),
        (
            0.5,
            "p99<1s",
            5,
            "--rate 0.5/s: a step of --find-max would take 4m to have the responses that its percentiles need;"
            " begin with 2/s or more, or allow steps of that length with -z",
        ),
        (1, "p99.9<1s", 600, "would take 20m to have"),
    ],
)
def test_a_first_rate_that_needs_endless_steps_is_refused(
    rate: float, slo: str, duration_s: int, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        durations_s({"rate": rate, "duration": duration_s}, slo)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("values", "slo", "first_rate", "first_s"),
    [
        ({}, "errors<1%", 100, 5),
        ({}, "p99<1s", 100, 5),
        ({}, "p99.9<1s", 100, 12),
        ({}, "p99.99<1s", 200, 60),
        ({"rate": 2}, "p99<1s", 2, 60),
        ({"rate": 1, "duration": 120}, "p99<1s", 1, 120),
    ],
)
def test_a_step_is_as_long_as_its_percentiles_need_and_no_longer_than_a_minute(
    values: dict[str, object], slo: str, first_rate: float, first_s: float
) -> None:
    assert durations_s(values, slo) == (first_rate, first_s)


def durations_s(values: dict[str, object], slo: str) -> tuple[float, float]:
    """Return the rate of a search's first step, and how long it is to take."""
    plans: list[Plan] = []

    class FirstPlan:
        def execute(self, plan: Plan, interrupts: Interrupts, on_interval: object = None, /) -> Measurements:
            plans.append(plan)
            raise Interrupted

    with Interrupts() as interrupts:
        find_max(
            options_from_values(values, "http://localhost/"), (slo,), FirstPlan, interrupts, lambda _: None
        )
    return plans[0].stages[0].first, plans[0].duration_ns / 1e9


def test_a_search_without_a_result() -> None:
    found = search(0)
    found.steps = []
    assert list(search_lines(found)) == ["", "Search:", "  no rate passed"]
