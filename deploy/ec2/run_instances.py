"""RunInstances until the requested number has started: in batches, subnet after subnet, and never one too many."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import NO_CAPACITY_CODES, deploy_error, error_code, retry
from heyfleet.deploy.aws.rate_limit import TokenBucket
from heyfleet.deploy.provider import Log

BATCH = 100


class InstanceLauncher:
    """The launch of one fleet's instances."""

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
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
        self._instances = TokenBucket(1000, 2, now, sleep)
        self._calls = TokenBucket(5, 2, now, sleep)
        self.started: list[dict[str, Any]] = []
        """The instances as EC2 describes them."""
        self.failures: list[str] = []

    def launch(self, count: int, parameters: dict[str, Any], subnets: list[str]) -> None:
        """Start up to `count` instances; `started` and `failures` have the outcome."""
        for subnet in subnets or [""]:
            while (missing := count - len(self.started)) > 0:
                size = min(BATCH, missing)
                self._log(f"starting {size} instances" + (f" in {subnet}" if subnet else ""))
                placement = {"SubnetId": subnet} if subnet else {}
                started, error = self._run_batch(size, {**parameters, **placement})
                self.started += started
                if error is not None:
                    self.failures.append(f"{subnet or 'ec2'}: {deploy_error(error)}")
                    if error_code(error) not in NO_CAPACITY_CODES:
                        return
                    break  # this subnet has no more capacity

    def _run_batch(
        self, size: int, parameters: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], ClientError | BotoCoreError | None]:
        """Start at most `size` instances. The client token makes a repeated call return the same instances."""
        token = uuid.uuid4().hex
        self._instances.take(size)

        def attempt() -> Any:
            self._calls.take(1)
            return self._client.run_instances(MinCount=1, MaxCount=size, ClientToken=token, **parameters)

        try:
            return list(retry(attempt, self._sleep)["Instances"]), None
        except (ClientError, BotoCoreError) as error:
            return [], error
