"""A thousand tasks against a model of RunTask: ten a call, Fargate's rate, answers that are lost, tasks without room."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from heyfleet.deploy.ecs.launching import Launching

from ..ec2.test_launching import Clock


class Api:
    """RunTask as AWS documents it."""

    def __init__(self, clock: Clock, seed: int, wanted: int, lose: float, short: float) -> None:
        self._clock, self._chance = clock, random.Random(seed)
        self._wanted, self._lose, self._short = wanted, lose, short
        self._level, self._at_s = 100.0, 0.0
        self._made: dict[str, dict[str, Any]] = {}
        self.running = self.throttled = 0

    def run_task(self, *, count: int, clientToken: str) -> dict[str, Any]:
        assert count <= 10
        self._level = min(100, self._level + 20 * (self._clock.now_s - self._at_s))
        self._at_s = self._clock.now_s
        if clientToken not in self._made:
            if self._level < count - 1e-6:
                self.throttled += 1
                raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "no"}}, "RunTask")
            got = count - sum(self._chance.random() < self._short for _ in range(count))
            self._level -= got
            tasks = [{"taskArn": f"t/{self.running + number}"} for number in range(got)]
            self.running += got
            assert self.running <= self._wanted
            self._made[clientToken] = {
                "tasks": tasks,
                "failures": [{"reason": "RESOURCE:ENI"}] * (count - got),
            }
        if self._chance.random() < self._lose:
            raise ReadTimeoutError(endpoint_url="https://ecs")
        return self._made[clientToken]


def launched(
    count: int, seed: int = 1, lose: float = 0.0, short: float = 0.0
) -> tuple[Launching, Api, Clock]:
    clock = Clock()
    api = Api(clock, seed, count, lose, short)
    launching = Launching(api, lambda text: None, clock.now, clock.sleep)
    launching.launch(count, {})
    return launching, api, clock


def test_a_thousand_at_the_documented_rate() -> None:
    launching, api, clock = launched(1000)
    assert len({each["taskArn"] for each in launching.started}) == api.running == 1000
    assert (launching.failures, api.throttled) == ([], 0)
    assert 44 <= clock.now_s <= 46  # 100 at once, 900 at 20 a second


@pytest.mark.parametrize("seed", range(40))
def test_never_one_more_whatever_is_lost_or_short(seed: int) -> None:
    launching, api, _ = launched(1000, seed, lose=0.1, short=0.02)
    assert len({each["taskArn"] for each in launching.started}) == len(launching.started) == api.running
    assert api.running == 1000
    assert launching.failures == []


def test_where_there_is_no_room_at_all_it_says_so() -> None:
    launching, api, _ = launched(15, short=1.0)
    assert (launching.started, api.running) == ([], 0)
    assert launching.failures == ["ecs: 15 tasks: RESOURCE:ENI"]
