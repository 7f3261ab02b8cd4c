"""What the providers for EC2 and ECS have in common."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import boto3

from heyfleet.deploy.aws.client import AwsSession, MakeSession


class AwsProvider:
    """A provider whose calls go to one service of AWS, paced and repeated by their callers."""

    service: ClassVar[str]
    """The service's name as boto has it."""

    def __init__(
        self,
        settings: dict[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        make_session: MakeSession = boto3.session.Session,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises DeployError if there are no credentials or no region."""
        self._settings = settings
        self._now, self._sleep = now, sleep
        self._session = AwsSession(settings["region"], make_session=make_session)
        self._client = self._session.single_attempt_client(self.service)
        self._connect()

    def _connect(self) -> None:
        """Make what else the provider calls."""

    def close(self) -> None:
        """Do nothing: no resource lives in this process."""
