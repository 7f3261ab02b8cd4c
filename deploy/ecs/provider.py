"""The provider ecs: agents as Fargate tasks.

A fleet is a task definition, a secret and tasks, all of which bear its name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any, ClassVar

from heyfleet.deploy.aws.errors import translate_errors
from heyfleet.deploy.aws.provider import AwsProvider
from heyfleet.deploy.ecs import policy
from heyfleet.deploy.ecs.inventory import PATH_PREFIX, FleetInventory
from heyfleet.deploy.ecs.run_task import TaskLauncher
from heyfleet.deploy.ecs.task import CA, TOKEN, TaskSettings, family, tags, task_definition
from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting, SettingError
from heyfleet.errors import DeployError
from heyfleet.text import plural

_STATES = {"RUNNING": RUNNING, "PROVISIONING": STARTING, "PENDING": STARTING, "ACTIVATING": STARTING}
_MAX_STARTED_BY = 36  # characters


class EcsProvider(AwsProvider):
    """A provider for Fargate tasks in one cluster of ECS."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "AWS region. Default: from the environment or the AWS profile.", str),
        Setting("cluster", "Existing cluster.", str, "default"),
        Setting("image", "Agent image (see deploy/docker), as Fargate pulls it. Required.", str),
        Setting("subnets", "Subnets of the tasks. Required.", list, ()),
        Setting(
            "security_groups",
            "Security groups of the agents, which only dial out. Default: the VPC's default group.",
            list,
            (),
        ),
        Setting("public_ip", "Assign public addresses, for subnets behind an internet gateway.", bool, False),
        Setting(
            "execution_role",
            "ARN of a role that may pull the image, write logs, and read the secrets heyfleet/*. Required.",
            str,
        ),
        Setting("cpu", "CPU units (1/1024 of a core) of each task, 256 to 16384.", str, "1024"),
        Setting("memory", "Memory of each task in MiB.", str, "2048"),
        Setting("spot", "Use Fargate Spot, which is cheaper and may be reclaimed.", bool, False),
        Setting("log_group", "Existing CloudWatch log group. Default: no logs.", str),
    )
    tunnels: ClassVar[bool] = False
    service: ClassVar[str] = "ecs"

    def _connect(self) -> None:
        settings = self._settings
        for name in ("cpu", "memory"):
            if not settings[name].isdecimal():
                raise SettingError(f"{name}: {settings[name]!r} is not a number like 1024")
        self._secrets = self._session.client("secretsmanager")
        self._logs = self._session.client("logs")
        self._inventory = FleetInventory(
            self._client, self._secrets, settings["cluster"], self._now, self._sleep
        )

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        self._check()
        settings, region = self._settings, self._client.meta.region_name
        price, source = policy.price(
            self._session, region, cpu=settings["cpu"], memory=settings["memory"], spot=settings["spot"]
        )
        kind = "Fargate Spot task" if settings["spot"] else "Fargate task"
        return LaunchPlan(
            resources=[
                f"{plural(spec.agents, kind)} of {settings['image']} in the cluster "
                f"{settings['cluster']} in {region}, each with {settings['cpu']} CPU units and "
                f"{settings['memory']} MiB",
                f"the task definition {family(spec.fleet)} and the secret {PATH_PREFIX}{spec.fleet}",
            ],
            network=[f"tasks must reach {spec.join} by TCP, the registry by HTTPS, and the target"],
            policy=policy.tasks_policy(
                execution_role=settings["execution_role"], with_logs=bool(settings["log_group"])
            ),
            usd_per_hour=None if price is None else price * spec.agents,
            price_source=source,
            notes=[f"each agent ends {spec.lifetime} after its start, and its task with it"],
        )

    def _check(self) -> None:
        for name in ("image", "subnets", "execution_role"):
            if not self._settings[name]:
                raise SettingError(f"{name}: --on ecs needs it", f"use --with {name}=...")

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch. The secret comes first, so that no task waits for it."""
        self._check()
        settings = self._settings
        expires_s = int(time.time()) + request.lifetime_s
        secrets = {CA: request.ca_pem.decode(), TOKEN: request.token.decode()}
        with translate_errors():
            log("creating the fleet's secret and task definition")
            secret_arn = self._secrets.create_secret(
                Name=f"{PATH_PREFIX}{request.fleet}",
                SecretString=json.dumps(secrets),
                Tags=tags(request.fleet, settings["cluster"], expires_s, lower_case=False),
            )["ARN"]
            task_settings = TaskSettings(
                image=settings["image"],
                cpu=settings["cpu"],
                memory=settings["memory"],
                execution_role=settings["execution_role"],
                log_group=settings["log_group"],
                region=self._client.meta.region_name,
                cluster=settings["cluster"],
            )
            definition = task_definition(request, task_settings, secret_arn, expires_s)
            self._inventory.ecs.call("register_task_definition", **definition)
            launcher = TaskLauncher(self._client, log, self._now, self._sleep)
            parameters = self._run_task_parameters(request.fleet, expires_s)
            launcher.launch(request.agents, parameters)
            launcher.replace_failed(
                request.agents, parameters, lambda arns: self._inventory.describe(settings["cluster"], arns)
            )
        instances = [self._instance(each, request.fleet, expires_s) for each in launcher.started]
        return LaunchResult(instances=instances, failures=launcher.failures, replaced=launcher.replaced)

    def _run_task_parameters(self, fleet: str, expires_s: int) -> dict[str, Any]:
        settings = self._settings
        network = {
            "subnets": list(settings["subnets"]),
            "securityGroups": list(settings["security_groups"]),
            "assignPublicIp": "ENABLED" if settings["public_ip"] else "DISABLED",
        }
        capacity: dict[str, Any] = {"launchType": "FARGATE"}
        if settings["spot"]:
            capacity = {"capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}]}
        return {
            "cluster": settings["cluster"],
            "taskDefinition": family(fleet),
            "startedBy": family(fleet)[:_MAX_STARTED_BY],
            "networkConfiguration": {"awsvpcConfiguration": network},
            "tags": tags(fleet, settings["cluster"], expires_s),
            **capacity,
        }

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. ECS lists stopped tasks for about an hour."""
        with translate_errors():
            return [
                self._instance(task, each.name, each.expires_s)
                for each in self._inventory.with_definition()
                if fleet in ("", each.name)
                for task in self._inventory.tasks(each, stopped=True)
            ]

    @staticmethod
    def _instance(task: dict[str, Any], fleet: str, expires_s: float) -> Instance:
        reasons = [task.get("stoppedReason", "")]
        reasons += [each.get("reason", "") for each in task.get("containers", ())]
        task_id = task["taskArn"].rpartition("/")[2]
        return Instance(
            fleet=fleet,
            id=task_id,
            name=task_id,
            state=_STATES.get(task.get("lastStatus", ""), ENDED),
            reason="; ".join(dict.fromkeys(filter(None, reasons))),
            expires_s=expires_s,
        )

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs."""
        group = self._settings["log_group"]
        if not group:
            raise SettingError(
                "log_group: none is named",
                "use --with log_group=NAME with the group that the fleet was started with",
            )
        for instance in self.list(fleet):
            try:
                with translate_errors():
                    response = self._logs.get_log_events(
                        logGroupName=group, logStreamName=f"{fleet}/agent/{instance.id}"
                    )
            except DeployError as error:
                yield instance.name, str(error)
            else:
                yield instance.name, "\n".join(event["message"] for event in response["events"])

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        with translate_errors():
            return self._inventory.remove(fleet, log)

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap. Covers all clusters."""
        now_s = time.time()
        with translate_errors():
            expiry_s = {each.name: each.expires_s for each in self._inventory.with_definition()}
            expiry_s.update((each.name, each.expires_s) for each in self._inventory.with_secret())
            expired = [name for name, expires_s in expiry_s.items() if everything or expires_s <= now_s]
            return [line for name in expired for line in self._inventory.remove(name, log)]
