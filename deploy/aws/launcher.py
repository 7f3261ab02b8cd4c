"""What the launch of EC2's instances and of ECS's tasks have in common."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from heyfleet.deploy.aws.errors import AWS_ERRORS, AwsError, retry
from heyfleet.deploy.provider import Log


class Launcher:
    """The launch of one fleet: what has started, and why the rest has not."""

    def __init__(
        self,
        client: Any,
        log: Log,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._log = log
        self._now, self._sleep = now, sleep
        self.started: list[dict[str, Any]] = []
        """The instances or tasks as AWS describes them."""
        self.failures: list[str] = []

    def _call(self, start: Callable[[str], dict[str, Any]]) -> tuple[dict[str, Any], AwsError | None]:
        """Return the response of `start`, or an empty one and the error.

        The client token that it gets makes a repeated call return what the first one started.
        """
        token = uuid.uuid4().hex
        try:
            return retry(lambda: start(token), self._sleep), None
        except AWS_ERRORS as error:
            return {}, error
