"""--find-max: which rates are tried, and what their results mean."""

from __future__ import annotations

from typing import cast

import pytest

from heyfleet.cli.find_max import search_lines
from heyfleet.controller.find_max import CLOSE, FAILED, MAX_STEPS, PASSED, UNRELIABLE, Search, Step
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


def test_a_search_without_a_result() -> None:
    found = search(0)
    found.steps = []
    assert list(search_lines(found)) == ["", "Search:", "  no rate passed"]
