"""A thousand tasks against a model of RunTask: ten a call, Fargate's rate, answers that are lost, tasks without room."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from heyfleet.deploy.ecs.run_task import TaskLauncher

from ..clock import Clock


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
) -> tuple[TaskLauncher, Api, Clock]:
    clock = Clock()
    api = Api(clock, seed, count, lose, short)
    launching = TaskLauncher(api, lambda text: None, clock.now, clock.sleep)
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


class Fates:
    """What DescribeTasks says: of each task by its number when it runs, or that it never will."""

    def __init__(self, clock: Clock, doomed: set[int], at_s: float = 20.0) -> None:
        self._clock, self._doomed, self._at_s = clock, doomed, at_s
        self._seen: dict[str, float] = {}
        self.asked = 0

    def describe(self, arns: list[str]) -> list[dict[str, Any]]:
        self.asked += 1
        known = [arn for arn in arns if arn in self._seen]  # one that has only just been started is not
        self._seen = {arn: self._seen.get(arn, self._clock.now_s) for arn in arns}
        return [self._of(arn) for arn in known]

    def _of(self, arn: str) -> dict[str, Any]:
        if self._clock.now_s - self._seen[arn] < self._at_s:
            return {"taskArn": arn, "lastStatus": "PROVISIONING"}
        if int(arn.rpartition("/")[2]) in self._doomed:
            reason = "Timeout waiting for network interface provisioning to complete."
            return {
                "taskArn": arn,
                "lastStatus": "STOPPED",
                "stopCode": "TaskFailedToStart",
                "stoppedReason": reason,
            }
        return {"taskArn": arn, "lastStatus": "RUNNING"}


def settled(
    count: int, doomed: set[int], at_s: float = 20.0, say: Callable[[str], None] = lambda text: None
) -> tuple[TaskLauncher, Fates, Clock]:
    clock = Clock()
    launching = TaskLauncher(Api(clock, 1, count + 10, 0, 0), say, clock.now, clock.sleep)
    launching.launch(count, {})
    fates = Fates(clock, doomed, at_s)
    launching.replace_failed(count, {}, fates.describe)
    return launching, fates, clock


def test_a_task_that_never_ran_is_replaced() -> None:
    said: list[str] = []
    launching, _, _ = settled(
        60, {7, 30, 61}, say=said.append
    )  # the 61 stands in for one of the others, and fails as well
    assert sorted(launching.replaced) == ["30", "61", "7"]
    numbers = {int(each["taskArn"].rpartition("/")[2]) for each in launching.started}
    assert len(launching.started) == len(numbers) == 60
    assert not numbers & {7, 30, 61}
    assert launching.failures == []
    reason = "Timeout waiting for network interface provisioning to complete."
    assert f"replacing 7, which never ran: {reason}" in said


def test_a_task_that_fails_again_and_again_is_let_be() -> None:
    launching, fates, _ = settled(1, {0, 1, 2, 3})
    assert launching.replaced == ["0", "1"]
    assert [each["taskArn"] for each in launching.started] == [
        "t/2"
    ]  # whoever looks finds why it is not there
    assert fates.asked < 20


def test_where_many_fail_none_is_replaced() -> None:
    launching, _, _ = settled(40, {1, 2, 3})
    assert (launching.replaced, launching.failures, len(launching.started)) == ([], [], 40)


def test_it_does_not_wait_for_ever() -> None:
    launching, _, clock = settled(5, set(), at_s=10_000)
    assert (launching.replaced, len(launching.started)) == ([], 5)
    assert 180 <= clock.now_s <= 190
