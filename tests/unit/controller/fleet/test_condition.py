"""Waiting until a predicate is true."""

from __future__ import annotations

import asyncio

from heyfleet.controller.fleet.condition import Condition


def test_a_true_predicate_needs_no_wait() -> None:
    assert asyncio.run(Condition().until(lambda: True, 0))


def test_a_wait_ends_with_its_timeout() -> None:
    assert not asyncio.run(Condition().until(lambda: False, 0.01))


def test_notify_wakes_all_waiting_coroutines() -> None:
    async def scenario() -> list[bool]:
        condition, values = Condition(), [False]
        waiting = [asyncio.create_task(condition.until(lambda: values[0], 10)) for _ in range(3)]
        await asyncio.sleep(0)
        condition.notify()  # the predicate is still false
        await asyncio.sleep(0)
        values[0] = True
        condition.notify()
        return await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == [True, True, True]
