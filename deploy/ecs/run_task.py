"""RunTask until the requested number has started: ten at a time, and never one too many."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import deploy_error, retry
from heyfleet.deploy.aws.rate_limit import TokenBucket
from heyfleet.deploy.provider import Log

BATCH = 10  # the most that one call starts
_ROUNDS = 5  # of asking again for tasks that found no capacity
_FIRST_PAUSE_S = 1.0
_STARTING = ("PROVISIONING", "PENDING", "ACTIVATING")
_POLL_S = 3.0
_RUNNING_WITHIN_S = 180.0
# A single task may get no network interface, or no response from its registry. If many fail, or replacements fail as well,
# the image's name or the role is wrong, and further attempts would only cost time.
_REPLACEMENT_ROUNDS = 2
_REPLACED_SHARE = 20  # at most one task in 20

Describe = Callable[[list[str]], list[dict[str, Any]]]


class TaskLauncher:
    """The launch of one fleet's tasks."""

    def __init__(
        self,
        client: Any,
        log: Log,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._log = log
        self._sleep = sleep
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
        self._bucket = TokenBucket(100, 20, now, sleep)
        self.started: list[dict[str, Any]] = []
        """The tasks as ECS describes them."""
        self.failures: list[str] = []
        self.replaced: list[str] = []
        """Ids of tasks that never ran and that others took the place of."""

    def launch(self, count: int, parameters: dict[str, Any]) -> None:
        """Start tasks until there are `count`; `started` and `failures` have the outcome."""
        for round_ in range(_ROUNDS):
            reasons = Counter[str]()
            missing = count - len(self.started)
            while missing > 0:
                size = min(BATCH, missing)
                missing -= size
                self._log(f"starting {size} tasks, {len(self.started)} of {count} started")
                started, problem = self._run_batch(size, parameters)
                if isinstance(problem, Exception):
                    self.failures.append(f"ecs: {deploy_error(problem)}")
                    return
                self.started += started
                reasons.update(problem)
            if len(self.started) >= count or round_ == _ROUNDS - 1:
                break
            self._sleep(_FIRST_PAUSE_S * 2**round_)
        self.failures += [f"ecs: {times} tasks: {reason}" for reason, times in reasons.items()]

    def replace_failed(self, count: int, parameters: dict[str, Any], describe: Describe) -> None:
        """Wait until the tasks run, and start others for a few that stopped before they ran."""
        for _ in range(_REPLACEMENT_ROUNDS):
            if len(self.started) < count:
                return
            failed = self._failed_to_start(describe)
            if not failed or len(failed) > max(1, count // _REPLACED_SHARE):
                return
            self.started = [each for each in self.started if each["taskArn"] not in failed]
            for arn, reason in failed.items():
                self.replaced.append(arn.rpartition("/")[2])
                self._log(f"replacing {self.replaced[-1]}, which never ran: {reason}")
            self.launch(count, parameters)

    def _failed_to_start(self, describe: Describe) -> dict[str, str]:
        """Return reasons by ARN. A task whose state stays unknown is not among them, because it may still run."""
        arns = [each["taskArn"] for each in self.started]
        waited_s = 0.0
        while True:
            tasks = describe(arns)  # may lack a task for a moment
            starting = len(arns) - sum(each["lastStatus"] not in _STARTING for each in tasks)
            if not starting or waited_s >= _RUNNING_WITHIN_S:
                break
            self._log(f"waiting for {starting} tasks to run")
            self._sleep(_POLL_S)
            waited_s += _POLL_S
        failed = [
            each
            for each in tasks
            if each["lastStatus"] == "STOPPED" and each.get("stopCode") == "TaskFailedToStart"
        ]
        return {each["taskArn"]: each.get("stoppedReason", "it never started") for each in failed}

    def _run_batch(
        self, size: int, parameters: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], list[str] | ClientError | BotoCoreError]:
        """Start at most `size` tasks, and return why others are missing.

        The client token makes a repeated call return the same tasks.
        """
        token = uuid.uuid4().hex
        self._bucket.take(size)
        try:
            response = retry(
                lambda: self._client.run_task(count=size, clientToken=token, **parameters), self._sleep
            )
        except (ClientError, BotoCoreError) as error:
            return [], error
        reasons = [
            " ".join(filter(None, (each.get("reason"), each.get("detail")))) for each in response["failures"]
        ]
        return list(response["tasks"]), reasons
