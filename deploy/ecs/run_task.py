"""RunTask until the requested number has started: ten at a time, and never one too many."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from heyfleet.deploy.aws.errors import deploy_error
from heyfleet.deploy.aws.launcher import Launcher
from heyfleet.deploy.aws.rate_limit import TokenBucket
from heyfleet.deploy.provider import Log
from heyfleet.text import brief, plural

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


class TaskLauncher(Launcher):
    """The launch of one fleet's tasks."""

    def __init__(
        self,
        client: Any,
        log: Log,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(client, log, now, sleep)
        # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
        self._bucket = TokenBucket(100, 20, now, sleep)
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
                self._log(f"starting {plural(size, 'task')}, {len(self.started)} of {count} started")
                self._bucket.take(size)

                def start(token: str, size: int = size) -> Any:
                    return self._client.run_task(count=size, clientToken=token, **parameters)

                response, error = self._call(start)
                if error is not None:
                    self.failures.append(f"ecs: {deploy_error(error)}")
                    return
                self.started += response["tasks"]
                reasons.update(
                    " ".join(filter(None, (each.get("reason"), each.get("detail"))))
                    for each in response["failures"]
                )
            if len(self.started) >= count or round_ == _ROUNDS - 1:
                break
            self._sleep(_FIRST_PAUSE_S * 2**round_)
        self.failures += [
            f"ecs: {plural(times, 'task')}: {brief(reason)}" for reason, times in reasons.items()
        ]

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
            self._log(f"waiting for {plural(starting, 'task')} to run")
            self._sleep(_POLL_S)
            waited_s += _POLL_S
        failed = [
            each
            for each in tasks
            if each["lastStatus"] == "STOPPED" and each.get("stopCode") == "TaskFailedToStart"
        ]
        return {each["taskArn"]: each.get("stoppedReason", "it never started") for each in failed}
