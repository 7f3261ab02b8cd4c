"""RunInstances until there are as many as were ordered: in batches, subnet after subnet, never one too many."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import ELSEWHERE, code_of, in_words, patiently
from heyfleet.deploy.aws.rate_limit import Bucket
from heyfleet.deploy.provider import Say

BATCH = 100


class InstanceLauncher:
    """One order's way to its instances."""

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
        # https://docs.aws.amazon.com/AWSEC2/latest/APIReference/throttling.html
        self._instances = Bucket(1000, 2, now, sleep)
        self._requests = Bucket(5, 2, now, sleep)
        self.started: list[dict[str, Any]] = []
        self.failures: list[str] = []

    def launch(self, count: int, request: dict[str, Any], subnets: list[str]) -> None:
        """So many instances like this; `started` and `failures` say what became of it."""
        places: list[str] = subnets or [""]
        for place in places:
            while (missing := count - len(self.started)) > 0:
                size = min(BATCH, missing)
                self._say(f"asking for {size} instances" + (f" in {place}" if place else ""))
                got, why = self._batch(size, {**request, **({"SubnetId": place} if place else {})})
                self.started += got
                if why is not None:
                    self.failures.append(f"{place or 'ec2'}: {in_words(why)}")
                    if code_of(why) not in ELSEWHERE:
                        return
                    break  # this place has given what it has

    def _batch(
        self, size: int, request: dict[str, Any]
    ) -> tuple[list[dict[str, Any]], ClientError | BotoCoreError | None]:
        """At most so many. The token makes every repetition the same request: EC2 answers it with the same instances."""
        token = uuid.uuid4().hex
        self._instances.take(size)

        def ask() -> Any:
            self._requests.take(1)
            return self._client.run_instances(MinCount=1, MaxCount=size, ClientToken=token, **request)

        try:
            return list(patiently(ask, self._sleep)["Instances"]), None
        except (ClientError, BotoCoreError) as error:
            return [], error
