"""Waiting until a predicate is true."""

from __future__ import annotations

import asyncio

import pytest

from heyfleet.controller.fleet.condition import Condition

from ....virtual_time import current_loop, run


def test_a_true_predicate_needs_no_wait() -> None:
    assert run(Condition().until(lambda: True, 0))


def test_a_wait_ends_with_its_timeout() -> None:
    async def scenario() -> float:
        started_s = current_loop().time()
        assert not await Condition().until(lambda: False, 7)
        return current_loop().time() - started_s

    assert run(scenario()) == pytest.approx(7)


def test_a_wait_is_not_prolonged_by_changes() -> None:
    async def scenario() -> float:
        condition, started_s = Condition(), current_loop().time()
        waiting = asyncio.ensure_future(condition.until(lambda: False, 7))
        for _ in range(20):
            await asyncio.sleep(0.5)
            condition.notify()
        assert not await waiting
        return current_loop().time() - started_s

    assert run(scenario()) == pytest.approx(10)


def test_notify_wakes_all_waiting_coroutines() -> None:
    async def scenario() -> tuple[list[bool], float]:
        condition, values, started_s = Condition(), [False], current_loop().time()
        waiting = [asyncio.create_task(condition.until(lambda: values[0], 10)) for _ in range(3)]
        await asyncio.sleep(1)
        condition.notify()  # the predicate is still false
        await asyncio.sleep(1)
        values[0] = True
        condition.notify()
        return await asyncio.gather(*waiting), current_loop().time() - started_s

    results, elapsed_s = run(scenario())
    assert results == [True, True, True]
    assert elapsed_s == pytest.approx(2)
