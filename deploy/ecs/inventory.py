"""What there is of fleets on ECS, and its end: found by our tags alone, each in the cluster that it was started in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from heyfleet.deploy.aws.client import Paced
from heyfleet.deploy.aws.errors import code_of
from heyfleet.deploy.ecs.task import TAG_CLUSTER, family
from heyfleet.deploy.provider import TAG_EXPIRES, TAG_FLEET, DeployError, Lines, Say

SECRETS = "heyfleet/"
_PREFIX = family("")
_AT_ONCE = 100  # tasks in one DescribeTasks
_GONE_WITHIN_S = 300.0
_LOOK_EVERY_S = 3.0
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
_RATES = (
    (("stop_task",), 100.0, 40.0),
    (("list_tasks", "describe_tasks"), 100.0, 20.0),
    (("register_task_definition", "deregister_task_definition"), 20.0, 1.0),
    (("describe_task_definition", "list_task_definitions", "list_task_definition_families"), 50.0, 20.0),
)

Tasks = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """What the tags of a fleet's task definition or secret say."""

    fleet: str
    cluster: str
    """Nothing where no tag says it."""
    expires_s: float


class Fleets:
    """Those of one account and region. Names are the account's: the same one can't be in two clusters."""

    def __init__(
        self,
        ecs: Any,
        secrets: Any,
        cluster: str,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ecs = Paced(ecs, _RATES, now, sleep)
        self._secrets = secrets
        self._cluster = cluster
        self._sleep = sleep

    def defined(self) -> Iterable[Found]:
        """Those that have a task definition. A name like ours without our tag is somebody else's."""
        pages = self.ecs.pages("list_task_definition_families", familyPrefix=_PREFIX, status="ACTIVE")
        for name in [name for page in pages for name in page["families"]]:
            if (found := self.find(name.removeprefix(_PREFIX))) is not None:
                yield found

    def find(self, fleet: str) -> Found | None:
        """By the task definition; None where there is none that is ours."""
        try:
            said = self.ecs.call("describe_task_definition", taskDefinition=family(fleet), include=["TAGS"])
        except ClientError as error:
            if code_of(error) != "ClientException":  # there is no active one
                raise
            return None
        found = _found({each["key"]: each["value"] for each in said.get("tags", ())})
        return found if found is not None and found.fleet == fleet else None

    def with_secrets(self) -> Iterable[Found]:
        """Those that have a secret."""
        pages = self._secrets.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [SECRETS]}]
        )
        for secret in [secret for page in pages for secret in page["SecretList"]]:
            found = _found({each["Key"]: each["Value"] for each in secret.get("Tags", ())})
            if found is not None and not secret.get("DeletedDate"):
                yield found

    def tasks(self, found: Found, *, stopped: bool = False) -> Tasks:
        """Of a fleet, wherever it is; with those that ended within the last hour, if asked for."""
        cluster = found.cluster or self._cluster
        arns: Lines = []
        try:
            for status in ("RUNNING", "STOPPED") if stopped else ("RUNNING",):
                pages = self.ecs.pages(
                    "list_tasks", cluster=cluster, family=family(found.fleet), desiredStatus=status
                )
                arns += [arn for page in pages for arn in page["taskArns"]]
        except ClientError as error:
            if code_of(error) != "ClusterNotFoundException" or not found.cluster:
                raise
            return []  # only an empty cluster can be deleted
        return self.described(cluster, arns)

    def described(self, cluster: str, arns: Lines) -> Tasks:
        """What is known of these."""
        tasks: Tasks = []
        for start in range(0, len(arns), _AT_ONCE):
            some = arns[start : start + _AT_ONCE]
            tasks += self.ecs.call("describe_tasks", cluster=cluster, tasks=some)["tasks"]
        return tasks

    def remove(self, fleet: str, say: Say) -> Lines:
        """The tasks first, and they are waited for; then what they were made of. Only what bears our tag."""
        removed: Lines = []
        if (found := self.find(fleet)) is not None:
            if found.cluster and found.cluster != self._cluster:
                say(f"{fleet} is in the cluster {found.cluster}")
            removed += self._end_tasks(found, say)
            pages = self.ecs.pages("list_task_definitions", familyPrefix=family(fleet), status="ACTIVE")
            for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
                name = arn.rpartition("/")[2]
                if name.rpartition(":")[0] == family(fleet):  # a prefix is other fleets', too
                    self.ecs.call("deregister_task_definition", taskDefinition=arn)
                    removed.append(f"task definition {name}")
        if self._has_secret(fleet):  # to delete one that is not there is no error either
            self._secrets.delete_secret(SecretId=f"{SECRETS}{fleet}", ForceDeleteWithoutRecovery=True)
            removed.append(f"secret {SECRETS}{fleet}")
        return removed

    def _end_tasks(self, found: Found, say: Say) -> Lines:
        cluster = found.cluster or self._cluster
        tasks = [each["taskArn"] for each in self.tasks(found)]
        for arn in tasks:
            self.ecs.call("stop_task", cluster=cluster, task=arn, reason="heyfleet fleet down")
        # They are listed as stopped from here on, while agents still hand over what they measured.
        left, waited_s = tasks, 0.0
        while left := [
            each["taskArn"] for each in self.described(cluster, left) if each["lastStatus"] != "STOPPED"
        ]:
            if waited_s >= _GONE_WITHIN_S:
                raise DeployError(
                    f"{len(left)} tasks were asked to stop, and are still there after {waited_s:g} s"
                )
            say(f"waiting until {len(left)} tasks are gone")
            self._sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
        return [f"task {arn.rpartition('/')[2]}" for arn in tasks]

    def _has_secret(self, fleet: str) -> bool:
        try:
            said = self._secrets.describe_secret(SecretId=f"{SECRETS}{fleet}")
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return False
        found = _found({each["Key"]: each["Value"] for each in said.get("Tags", ())})
        return found is not None and found.fleet == fleet and not said.get("DeletedDate")


def _found(tags: dict[str, str]) -> Found | None:
    """What our tags say; None without them."""
    if not (fleet := tags.get(TAG_FLEET, "")):
        return None
    expires = tags.get(TAG_EXPIRES, "")
    return Found(fleet, tags.get(TAG_CLUSTER, ""), float(expires) if expires.isdecimal() else 0.0)
