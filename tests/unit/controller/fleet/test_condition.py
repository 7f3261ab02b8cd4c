"""Waiting for something to become so."""

from __future__ import annotations

import asyncio

from heyfleet.controller.fleet.condition import Condition


def test_what_holds_is_not_waited_for() -> None:
    assert asyncio.run(Condition().until(lambda: True, 0))


def test_what_never_holds_ends_with_the_time() -> None:
    assert not asyncio.run(Condition().until(lambda: False, 0.01))


def test_all_who_wait_are_told() -> None:
    async def scenario() -> list[bool]:
        changes, there = Condition(), [False]
        waiting = [asyncio.create_task(changes.until(lambda: there[0], 10)) for _ in range(3)]
        await asyncio.sleep(0)
        changes.notify()  # nothing has become so yet
        await asyncio.sleep(0)
        there[0] = True
        changes.notify()
        return await asyncio.gather(*waiting)

    assert asyncio.run(scenario()) == [True, True, True]
