"""--find-max: which rates are tried, and what is made of what they give."""

from __future__ import annotations

from typing import Any, cast

import pytest

from heyfleet.controller.find_max import CLOSE, FAILED, HELD, REFUSED, STEPS_AT_MOST, Search, Step
from heyfleet.results.summary import Summary


def search(limit: float, first: float = 100.0, *, unlucky: tuple[int, ...] = ()) -> Search:
    """A service that holds below its limit, but for the tries with these numbers."""
    tries = 0

    def try_rate(rate: float) -> Step:
        nonlocal tries
        tries += 1
        outcome = HELD if rate <= limit and tries not in unlucky else FAILED
        return Step(rate, outcome, "", cast("Summary", None))

    found = Search(first, try_rate)
    found.run()
    return found


@pytest.mark.parametrize("limit", [2, 77, 100, 5000, 123_456])
def test_the_limit_is_found_from_below_and_from_above(limit: float) -> None:
    found = search(limit)
    assert limit / CLOSE <= found.held <= limit < found.failed
    assert found.best is not None
    assert found.best.rate == found.held
    assert len(found.steps) < STEPS_AT_MOST


def test_one_bad_try_is_not_believed() -> None:
    assert search(1000, unlucky=(2,)).held > 1000 / CLOSE


def test_nothing_holds() -> None:
    found = search(0)
    assert (found.held, found.best) == (0, None)
    assert {step.outcome for step in found.steps} == {FAILED}


def test_a_rate_without_a_limit_ends_too() -> None:
    found = search(float("inf"))
    assert len(found.steps) <= STEPS_AT_MOST
    assert not found.failed


def test_a_step_that_is_not_trusted_has_not_held() -> None:
    def try_rate(rate: float) -> Step:
        return Step(rate, HELD if rate < 300 else REFUSED, "a worker was 99% busy", cast("Summary", None))

    found = Search(100, try_rate)
    found.run()
    assert found.held < 300 <= found.failed


def test_the_steps_are_told(capsys: Any) -> None:
    from heyfleet.controller.find_max import lines

    found = search(0)
    found.steps = []
    assert list(lines(found)) == ["", "Search:", "  no rate held"]
