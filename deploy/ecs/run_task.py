"""RunTask until there are as many tasks as were ordered: ten at a time, never one too many."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import in_words, patiently
from heyfleet.deploy.aws.rate_limit import Bucket
from heyfleet.deploy.provider import Say

BATCH = 10  # what one call takes
_ROUNDS = 5  # of asking again for tasks for which there was no room
_FIRST_PAUSE_S = 1.0
_STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")
_LOOK_EVERY_S = 3.0
_START_WITHIN_S = 180.0
# Now and then a task gets no network interface, or its registry does not answer. Where many fail, or the same one thrice, it is
# the image's name or the role, and another try would only cost time.
_REPLACEMENTS = 2


class TaskLauncher:
    """One order's way to its tasks."""

    def __init__(
        self,
        client: Any,
        say: Say,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._say = say
        self._sleep = sleep
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
        self._tasks = Bucket(100, 20, now, sleep)
        self.started: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self.replaced: list[str] = []

    def launch(self, count: int, request: dict[str, Any]) -> None:
        """So many tasks like this; `started` and `failures` say what became of it."""
        for round_ in range(_ROUNDS):
            short = Counter[str]()
            wanted = count - len(self.started)
            while wanted > 0:
                size = min(BATCH, wanted)
                wanted -= size
                self._say(f"asking for {size} tasks, {len(self.started)} of {count} started")
                got, why = self._batch(size, request)
                if isinstance(why, Exception):
                    self.failures.append(f"ecs: {in_words(why)}")
                    return
                self.started += got
                short.update(why)
            if len(self.started) >= count or round_ == _ROUNDS - 1:
                break
            self._sleep(_FIRST_PAUSE_S * 2**round_)
        self.failures += [f"ecs: {times} tasks: {reason}" for reason, times in short.items()]

    def replace(
        self, count: int, request: dict[str, Any], describe: Callable[[list[str]], list[dict[str, Any]]]
    ) -> None:
        """Wait until they run, and ask anew for a few that stopped before, whose ids are `replaced` then."""
        for _ in range(_REPLACEMENTS):
            if len(self.started) < count:
                return
            lost = self._never_ran(describe)
            if not lost or len(lost) > max(1, count // 20):
                return
            self.started = [each for each in self.started if each["taskArn"] not in lost]
            for arn, reason in lost.items():
                self.replaced.append(arn.rpartition("/")[2])
                self._say(f"{self.replaced[-1]} never ran, and is replaced: {reason}")
            self.launch(count, request)

    def _never_ran(self, describe: Callable[[list[str]], list[dict[str, Any]]]) -> dict[str, str]:
        """By ARN, why. Those of which nothing is known after a while may still come."""
        arns = [each["taskArn"] for each in self.started]
        waited_s = 0.0
        while True:
            tasks = describe(arns)  # a task may be unknown for a moment
            coming = len(arns) - sum(each["lastStatus"] not in _STARTING for each in tasks)
            if not coming or waited_s >= _START_WITHIN_S:
                break
            self._say(f"waiting until {coming} tasks run")
            self._sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
        failed = [
            each
            for each in tasks
            if each["lastStatus"] == "STOPPED" and each.get("stopCode") == "TaskFailedToStart"
        ]
        return {each["taskArn"]: each.get("stoppedReason", "it never started") for each in failed}

    def _batch(
        self, size: int, request: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[str] | ClientError | BotoCoreError]:
        """At most so many, and the reasons for those that are missing. The token makes every repetition the same request."""
        token = uuid.uuid4().hex
        self._tasks.take(size)
        try:
            made = patiently(
                lambda: self._client.run_task(count=size, clientToken=token, **request), self._sleep
            )
        except (ClientError, BotoCoreError) as error:
            return [], error
        reasons = [
            " ".join(filter(None, (each.get("reason"), each.get("detail")))) for each in made["failures"]
        ]
        return list(made["tasks"]), reasons
