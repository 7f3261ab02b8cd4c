"""Agents as Fargate tasks: a fleet is a task definition, a secret, and tasks, all found again by the fleet's name in theirs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from heyfleet.deploy.aws_refusals import code_of, explained
from heyfleet.deploy.ecs import policy
from heyfleet.deploy.ecs.launching import Launching
from heyfleet.deploy.ecs.task import CA, TOKEN, Shape, definition, family, tags
from heyfleet.deploy.engine import (
    ENDED,
    RUNNING,
    STARTING,
    TAG_EXPIRES,
    TAG_FLEET,
    DeployError,
    Launch,
    Lines,
    Order,
    Outline,
    Say,
    Unit,
    Units,
)
from heyfleet.deploy.settings import Setting, SettingError

_AT_ONCE = 100  # tasks in one DescribeTasks
_GONE_WITHIN_S = 300.0
_LOOK_EVERY_S = 3.0
_STATES = {"RUNNING": RUNNING, "PROVISIONING": STARTING, "PENDING": STARTING, "ACTIVATING": STARTING}
_PREFIX = family("")
_SECRETS = "heyfleet/"


Tasks = list[dict[str, Any]]


class EcsEngine:
    """See engine.Engine."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "Default: the environment's, or the profile's.", str),
        Setting("cluster", "One that is there.", str, "default"),
        Setting("image", "The agent's image (deploy/docker), as Fargate pulls it. Needed.", str),
        Setting("subnets", "Of the tasks. Needed.", list, ()),
        Setting("security_groups", "Agents only dial out. Default: the VPC's default group.", list, ()),
        Setting("public_ip", "For subnets whose way out is an internet gateway.", bool, False),
        Setting(
            "execution_role", "ARN of a role that may pull, log, and read secrets heyfleet/*. Needed.", str
        ),
        Setting("cpu", "Of each task, in 1/1024 of a core: 256 to 16384.", str, "1024"),
        Setting("memory", "Of each task, in MiB.", str, "2048"),
        Setting("spot", "Fargate Spot: cheaper, and may be taken back.", bool, False),
        Setting("log_group", "Of CloudWatch, one that is there. Without it there are no logs.", str),
    )
    tunnels: ClassVar[bool] = False

    def __init__(
        self,
        settings: dict[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        make_session: Callable[..., Any] = boto3.session.Session,
    ) -> None:
        for name in ("cpu", "memory"):
            if not settings[name].isdecimal():
                raise SettingError(f"{name}: {settings[name]!r} is not a number like 1024")
        self._settings = settings
        self._sleep = sleep
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        alone = Config(retries={"mode": "standard", "total_max_attempts": 1})
        with explained():
            session = make_session(region_name=settings["region"] or None)
            self._ecs = session.client("ecs", config=config)
            self._launcher = session.client("ecs", config=alone)
            self._secrets = session.client("secretsmanager", config=config)
            self._logs = session.client("logs", config=config)

    def plan(self, order: Order) -> Outline:
        """See engine.Engine."""
        self._check()
        settings = self._settings
        return Outline(
            makes=[
                f"{order.agents} Fargate{' Spot' if settings['spot'] else ''} tasks of {settings['image']} in the cluster "
                f"{settings['cluster']} of {self._ecs.meta.region_name}, each with {settings['cpu']} CPU units and "
                f"{settings['memory']} MiB",
                f"the task definition {family(order.fleet)} and the secret {_SECRETS}{order.fleet}",
            ],
            ports=[f"tasks must reach {order.join} by TCP, the registry by HTTPS, and the target"],
            policy=policy.document(with_logs=bool(settings["log_group"])),
            price_source="Fargate is paid by vCPU and GB for an hour, see its price page",
            notes=[f"each agent ends {order.lifetime_s} s after its start, and its task with it"],
        )

    def _check(self) -> None:
        for name in ("image", "subnets", "execution_role"):
            if not self._settings[name]:
                raise SettingError(f"{name}: --on ecs needs --with {name}=...")

    def launch(self, order: Order, say: Say) -> Launch:
        """See engine.Engine. The secret goes first, so that no task waits for it; all bear the fleet's name and end."""
        self._check()
        settings = self._settings
        expires_s = int(time.time()) + order.lifetime_s
        texts = {CA: order.ca_pem.decode(), TOKEN: order.token.decode()}
        with explained():
            say("making the fleet's secret and task definition")
            secret = self._secrets.create_secret(
                Name=f"{_SECRETS}{order.fleet}",
                SecretString=json.dumps(texts),
                Tags=tags(order.fleet, expires_s, lower=False),
            )["ARN"]
            shape = Shape(
                settings["image"],
                settings["cpu"],
                settings["memory"],
                settings["execution_role"],
                settings["log_group"],
                self._ecs.meta.region_name,
            )
            self._ecs.register_task_definition(**definition(order, shape, secret, expires_s))
            launching = Launching(self._launcher, say, sleep=self._sleep)
            launching.launch(order.agents, self._request(order.fleet, expires_s))
        units = [self._unit(each, order.fleet, expires_s) for each in launching.started]
        return Launch(units=units, failures=launching.failures)

    def _request(self, fleet: str, expires_s: int) -> dict[str, Any]:
        settings = self._settings
        network = {
            "subnets": list(settings["subnets"]),
            "securityGroups": list(settings["security_groups"]),
            "assignPublicIp": "ENABLED" if settings["public_ip"] else "DISABLED",
        }
        how: dict[str, Any] = {"launchType": "FARGATE"}
        if settings["spot"]:
            how = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
        return {
            "cluster": settings["cluster"],
            "taskDefinition": family(fleet),
            "startedBy": family(fleet)[:36],  # letters, digits, - and _ only
            "networkConfiguration": {"awsvpcConfiguration": network},
            "tags": tags(fleet, expires_s),
            **how,
        }

    def list(self, fleet: str = "") -> Units:
        """See engine.Engine. ECS goes on to know stopped tasks for about an hour."""
        with explained():
            return [
                self._unit(task, name, expires_s)
                for name, expires_s in self._fleets()
                if fleet in ("", name)
                for task in self._tasks(name, stopped=True)
            ]

    def _fleets(self) -> Iterable[tuple[str, float]]:
        """Those that have a task definition, and when they end. A name like ours without our tag is somebody else's."""
        pages = self._ecs.get_paginator("list_task_definition_families").paginate(
            familyPrefix=_PREFIX, status="ACTIVE"
        )
        for name in [name for page in pages for name in page["families"]]:
            fleet = name.removeprefix(_PREFIX)
            if (found := self._tags_of(fleet)) is not None:
                yield fleet, _expires(found)

    def _tags_of(self, fleet: str) -> dict[str, str] | None:
        """Of a fleet's task definition; None where there is none that is ours."""
        try:
            said = self._ecs.describe_task_definition(taskDefinition=family(fleet), include=["TAGS"])
        except ClientError as error:
            if code_of(error) != "ClientException":  # there is no active one
                raise
            return None
        found = {each["key"]: each["value"] for each in said.get("tags", ())}
        return found if found.get(TAG_FLEET) == fleet else None

    def _tasks(self, fleet: str, *, stopped: bool = False) -> Tasks:
        arns: Lines = []
        for status in ("RUNNING", "STOPPED") if stopped else ("RUNNING",):
            pages = self._ecs.get_paginator("list_tasks").paginate(
                cluster=self._settings["cluster"], family=family(fleet), desiredStatus=status
            )
            arns += [arn for page in pages for arn in page["taskArns"]]
        return self._described(arns)

    def _described(self, arns: Lines) -> Tasks:
        tasks: Tasks = []
        for start in range(0, len(arns), _AT_ONCE):
            some = arns[start : start + _AT_ONCE]
            tasks += self._ecs.describe_tasks(cluster=self._settings["cluster"], tasks=some)["tasks"]
        return tasks

    @staticmethod
    def _unit(task: dict[str, Any], fleet: str, expires_s: float) -> Unit:
        reasons = [task.get("stoppedReason", "")]
        reasons += [each.get("reason", "") for each in task.get("containers", ())]
        name = task["taskArn"].rpartition("/")[2]
        return Unit(
            fleet=fleet,
            id=name,
            name=name,
            state=_STATES.get(task.get("lastStatus", ""), ENDED),
            reason="; ".join(dict.fromkeys(filter(None, reasons))),
            expires_s=expires_s,
        )

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine."""
        group = self._settings["log_group"]
        if not group:
            raise SettingError("log_group: --with log_group=NAME, as it was when the fleet was started")
        for unit in self.list(fleet):
            try:
                with explained():
                    said = self._logs.get_log_events(
                        logGroupName=group, logStreamName=f"{fleet}/agent/{unit.id}"
                    )
            except DeployError as error:
                yield unit.name, error.message
            else:
                yield unit.name, "\n".join(each["message"] for each in said["events"])

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        with explained():
            return self._remove(fleet, say)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine."""
        now_s = time.time()
        with explained():
            ends = dict(self._fleets())
            ends.update(self._ends_of_secrets())
            over = [name for name, expires_s in ends.items() if everything or expires_s <= now_s]
            return [line for name in over for line in self._remove(name, say)]

    def _ends_of_secrets(self) -> Iterable[tuple[str, float]]:
        pages = self._secrets.get_paginator("list_secrets").paginate(
            Filters=[{"Key": "name", "Values": [_SECRETS]}]
        )
        for page in pages:
            for secret in page["SecretList"]:
                found = {each["Key"]: each["Value"] for each in secret.get("Tags", ())}
                if TAG_FLEET in found and not secret.get("DeletedDate"):
                    yield found[TAG_FLEET], _expires(found)

    def _remove(self, fleet: str, say: Say) -> Lines:
        """The tasks first, and they are waited for; then what they were made of. Only what bears our tag."""
        removed: Lines = []
        if self._tags_of(fleet) is not None:
            removed += self._end_tasks(fleet, say)
            pages = self._ecs.get_paginator("list_task_definitions").paginate(
                familyPrefix=family(fleet), status="ACTIVE"
            )
            for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
                if arn.rpartition("/")[2].rpartition(":")[0] == family(
                    fleet
                ):  # a prefix is other fleets', too
                    self._ecs.deregister_task_definition(taskDefinition=arn)
                    removed.append(f"task definition {arn.rpartition('/')[2]}")
        if self._has_secret(fleet):  # to delete one that is not there is no error either
            self._secrets.delete_secret(SecretId=f"{_SECRETS}{fleet}", ForceDeleteWithoutRecovery=True)
            removed.append(f"secret {_SECRETS}{fleet}")
        return removed

    def _end_tasks(self, fleet: str, say: Say) -> Lines:
        tasks = [each["taskArn"] for each in self._tasks(fleet)]
        for arn in tasks:
            self._ecs.stop_task(cluster=self._settings["cluster"], task=arn, reason="heyfleet fleet down")
        # They are listed as stopped from here on, while agents still hand over what they measured.
        left, waited_s = tasks, 0.0
        while left := [each["taskArn"] for each in self._described(left) if each["lastStatus"] != "STOPPED"]:
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
            said = self._secrets.describe_secret(SecretId=f"{_SECRETS}{fleet}")
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            return False
        tags_of = {each["Key"]: each["Value"] for each in said.get("Tags", ())}
        return tags_of.get(TAG_FLEET) == fleet and not said.get("DeletedDate")

    def close(self) -> None:
        """See engine.Engine. Nothing lives here alone."""


def _expires(found: dict[str, str]) -> float:
    text = found.get(TAG_EXPIRES, "")
    return float(text) if text.isdecimal() else 0.0
