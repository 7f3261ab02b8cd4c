"""The fleets that exist on ECS, and their removal. Fleets are found by our tags, each in the cluster it was started in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from heyfleet.deploy.aws.client import PacedClient
from heyfleet.deploy.aws.errors import error_code
from heyfleet.deploy.ecs.task import TAG_CLUSTER, family
from heyfleet.deploy.provider import TAG_EXPIRES, TAG_FLEET, Lines, Log
from heyfleet.errors import DeployError
from heyfleet.text import plural

PATH_PREFIX = "heyfleet/"  # of the names of secrets
_FAMILY_PREFIX = family("")
_BATCH = 100  # the most tasks that one DescribeTasks takes
_GONE_WITHIN_S = 300.0
_POLL_S = 3.0
# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
_RATES = (
    (("stop_task",), 100.0, 40.0),
    (("list_tasks", "describe_tasks"), 100.0, 20.0),
    (("register_task_definition", "deregister_task_definition"), 20.0, 1.0),
    (("describe_task_definition", "list_task_definitions", "list_task_definition_families"), 50.0, 20.0),
)

Tasks = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class EcsFleet:
    """A fleet, as the tags of its task definition or its secret describe it."""

    name: str
    cluster: str
    """Empty if no tag names it."""
    expires_s: float


class FleetInventory:
    """The fleets of one account and region. A fleet's name is unique in the account, whatever its cluster."""

    def __init__(
        self,
        ecs: Any,
        secrets: Any,
        cluster: str,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.ecs = PacedClient(ecs, _RATES, now, sleep)
        self._secrets = secrets
        self._cluster = cluster
        self._sleep = sleep

    def with_definition(self) -> Iterable[EcsFleet]:
        """Yield the fleets that have a task definition. A name like ours without our tag is not ours."""
        pages = self.ecs.pages("list_task_definition_families", familyPrefix=_FAMILY_PREFIX, status="ACTIVE")
        for name in [name for page in pages for name in page["families"]]:
            if (fleet := self.find(name.removeprefix(_FAMILY_PREFIX))) is not None:
                yield fleet

    def find(self, name: str) -> EcsFleet | None:
        """Return a fleet by its task definition, or None if there is none of ours."""
        try:
            response = self.ecs.call(
                "describe_task_definition", taskDefinition=family(name), include=["TAGS"]
            )
        except ClientError as error:
            if error_code(error) != "ClientException":  # there is no active definition
                raise
            return None
        fleet = _fleet_of({each["key"]: each["value"] for each in response.get("tags", ())})
        return fleet if fleet is not None and fleet.name == name else None

    def with_secret(self) -> Iterable[EcsFleet]:
        """Yield the fleets that have a secret."""
        pages = self._secrets.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [PATH_PREFIX]}]
        )
        for secret in [secret for page in pages for secret in page["SecretList"]]:
            fleet = _fleet_of({each["Key"]: each["Value"] for each in secret.get("Tags", ())})
            if fleet is not None and not secret.get("DeletedDate"):
                yield fleet

    def tasks(self, fleet: EcsFleet, *, stopped: bool = False) -> Tasks:
        """Return a fleet's running tasks and, on request, those that stopped within the last hour."""
        cluster = fleet.cluster or self._cluster
        arns: Lines = []
        try:
            for status in ("RUNNING", "STOPPED") if stopped else ("RUNNING",):
                pages = self.ecs.pages(
                    "list_tasks", cluster=cluster, family=family(fleet.name), desiredStatus=status
                )
                arns += [arn for page in pages for arn in page["taskArns"]]
        except ClientError as error:
            if error_code(error) != "ClusterNotFoundException" or not fleet.cluster:
                raise
            return []  # only a cluster without tasks can be deleted
        return self.describe(cluster, arns)

    def describe(self, cluster: str, arns: Lines) -> Tasks:
        """Return the tasks with these ARNs, as far as ECS knows them."""
        tasks: Tasks = []
        for start in range(0, len(arns), _BATCH):
            batch = arns[start : start + _BATCH]
            tasks += self.ecs.call("describe_tasks", cluster=cluster, tasks=batch)["tasks"]
        return tasks

    def remove(self, name: str, log: Log) -> Lines:
        """End a fleet's tasks, wait for their end, and remove its definitions and secret if they bear our tag."""
        removed: Lines = []
        if (fleet := self.find(name)) is not None:
            if fleet.cluster and fleet.cluster != self._cluster:
                log(f"{name} is in the cluster {fleet.cluster}")
            removed += self._stop_tasks(fleet, log)
            pages = self.ecs.pages("list_task_definitions", familyPrefix=family(name), status="ACTIVE")
            for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
                definition = arn.rpartition("/")[2]
                if definition.rpartition(":")[0] == family(name):  # other fleets may share the prefix
                    self.ecs.call("deregister_task_definition", taskDefinition=arn)
                    removed.append(f"task definition {definition}")
        if self._has_secret(name):
            self._secrets.delete_secret(SecretId=f"{PATH_PREFIX}{name}", ForceDeleteWithoutRecovery=True)
            removed.append(f"secret {PATH_PREFIX}{name}")
        return removed

    def _stop_tasks(self, fleet: EcsFleet, log: Log) -> Lines:
        cluster = fleet.cluster or self._cluster
        tasks = [each["taskArn"] for each in self.tasks(fleet)]
        for arn in tasks:
            self.ecs.call("stop_task", cluster=cluster, task=arn, reason="heyfleet fleet down")
        # ListTasks counts them as stopped from here on, while their agents still hand over results.
        left, waited_s = tasks, 0.0
        while left := [
            each["taskArn"] for each in self.describe(cluster, left) if each["lastStatus"] != "STOPPED"
        ]:
            if waited_s >= _GONE_WITHIN_S:
                raise DeployError(f"{plural(len(left), 'task')} still there {waited_s:g} s after StopTask")
            log(f"waiting for {plural(len(left), 'task')} to stop")
            self._sleep(_POLL_S)
            waited_s += _POLL_S
        return [f"task {arn.rpartition('/')[2]}" for arn in tasks]

    def _has_secret(self, name: str) -> bool:
        """Return whether a secret of ours exists: deleting a missing one would succeed, too."""
        try:
            secret = self._secrets.describe_secret(SecretId=f"{PATH_PREFIX}{name}")
        except ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return False
        fleet = _fleet_of({each["Key"]: each["Value"] for each in secret.get("Tags", ())})
        return fleet is not None and fleet.name == name and not secret.get("DeletedDate")


def _fleet_of(tags: dict[str, str]) -> EcsFleet | None:
    """Return the fleet that our tags describe, or None if they are missing."""
    if not (name := tags.get(TAG_FLEET, "")):
        return None
    expires = tags.get(TAG_EXPIRES, "")
    return EcsFleet(name, tags.get(TAG_CLUSTER, ""), float(expires) if expires.isdecimal() else 0.0)
