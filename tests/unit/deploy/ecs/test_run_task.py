"""A thousand tasks on a model of RunTask: ten per call, Fargate's rate, lost responses, missing capacity."""

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
        self._clock, self._rng = clock, random.Random(seed)
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
            got = count - sum(self._rng.random() < self._short for _ in range(count))
            self._level -= got
            tasks = [{"taskArn": f"t/{self.running + number}"} for number in range(got)]
            self.running += got
            assert self.running <= self._wanted
            self._made[clientToken] = {
                "tasks": tasks,
                "failures": [{"reason": "RESOURCE:ENI"}] * (count - got),
            }
        if self._rng.random() < self._lose:
            raise ReadTimeoutError(endpoint_url="https://ecs")
        return self._made[clientToken]


def launched(
    count: int, seed: int = 1, lose: float = 0.0, short: float = 0.0
) -> tuple[TaskLauncher, Api, Clock]:
    clock = Clock()
    api = Api(clock, seed, count, lose, short)
    launcher = TaskLauncher(api, lambda text: None, clock.now, clock.sleep)
    launcher.launch(count, {})
    return launcher, api, clock


def test_a_thousand_tasks_start_at_the_documented_rate() -> None:
    launcher, api, clock = launched(1000)
    assert len({each["taskArn"] for each in launcher.started}) == api.running == 1000
    assert (launcher.failures, api.throttled) == ([], 0)
    assert 44 <= clock.now_s <= 46  # 100 at once, 900 at 20 per second


@pytest.mark.parametrize("seed", range(40))
def test_never_one_too_many_whatever_fails(seed: int) -> None:
    launcher, api, _ = launched(1000, seed, lose=0.1, short=0.02)
    assert len({each["taskArn"] for each in launcher.started}) == len(launcher.started) == api.running
    assert api.running == 1000
    assert launcher.failures == []


def test_missing_capacity_is_reported() -> None:
    launcher, api, _ = launched(15, short=1.0)
    assert (launcher.started, api.running) == ([], 0)
    assert launcher.failures == ["ecs: 15 tasks: RESOURCE:ENI"]


class TaskStates:
    """DescribeTasks: tasks run after a while, except those with the overrides numbers, which never do."""

    def __init__(self, clock: Clock, doomed: set[int], at_s: float = 20.0) -> None:
        self._clock, self._doomed, self._at_s = clock, doomed, at_s
        self._seen: dict[str, float] = {}
        self.calls = 0

    def describe(self, arns: list[str]) -> list[dict[str, Any]]:
        self.calls += 1
        known = [arn for arn in arns if arn in self._seen]  # ECS does not know a task right after its start
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
    count: int, doomed: set[int], at_s: float = 20.0, log: Callable[[str], None] = lambda text: None
) -> tuple[TaskLauncher, TaskStates, Clock]:
    clock = Clock()
    launcher = TaskLauncher(Api(clock, 1, count + 10, 0, 0), log, clock.now, clock.sleep)
    launcher.launch(count, {})
    states = TaskStates(clock, doomed, at_s)
    launcher.replace_failed(count, {}, states.describe)
    return launcher, states, clock


def test_a_task_that_never_ran_is_replaced() -> None:
    log: list[str] = []
    launcher, _, _ = settled(
        60, {7, 30, 61}, log=log.append
    )  # 61 replaces one of the others, and fails as well
    assert sorted(launcher.replaced) == ["30", "61", "7"]
    numbers = {int(each["taskArn"].rpartition("/")[2]) for each in launcher.started}
    assert len(launcher.started) == len(numbers) == 60
    assert not numbers & {7, 30, 61}
    assert launcher.failures == []
    reason = "Timeout waiting for network interface provisioning to complete."
    assert f"replacing 7, which never ran: {reason}" in log


def test_a_task_that_keeps_failing_is_not_replaced_forever() -> None:
    launcher, states, _ = settled(1, {0, 1, 2, 3})
    assert launcher.replaced == ["0", "1"]
    assert [each["taskArn"] for each in launcher.started] == ["t/2"]  # its state tells why it does not run
    assert states.calls < 20


def test_no_task_is_replaced_if_many_fail() -> None:
    launcher, _, _ = settled(40, {1, 2, 3})
    assert (launcher.replaced, launcher.failures, len(launcher.started)) == ([], [], 40)


def test_the_wait_for_tasks_is_limited() -> None:
    launcher, _, clock = settled(5, set(), at_s=10_000)
    assert (launcher.replaced, len(launcher.started)) == ([], 5)
    assert 180 <= clock.now_s <= 190


def test_one_task_is_a_task_and_two_are_tasks() -> None:
    for count, words in ((1, "starting 1 task, 0 of 1 started"), (2, "starting 2 tasks, 0 of 2 started")):
        clock, lines = Clock(), list[str]()
        TaskLauncher(Api(clock, 1, count, 0, 0), lines.append, clock.now, clock.sleep).launch(count, {})
        assert lines == [words]
