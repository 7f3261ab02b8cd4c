"""Agents as Fargate tasks: a fleet is a task definition, a secret, and tasks, all found again by the fleet's name in theirs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import boto3
from botocore.config import Config

from heyfleet.deploy.aws.errors import explained
from heyfleet.deploy.ecs import policy
from heyfleet.deploy.ecs.inventory import SECRETS, Fleets
from heyfleet.deploy.ecs.run_task import TaskLauncher
from heyfleet.deploy.ecs.task import CA, TOKEN, Shape, definition, family, tags
from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    DeployError,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting, SettingError

_STATES = {"RUNNING": RUNNING, "PROVISIONING": STARTING, "PENDING": STARTING, "ACTIVATING": STARTING}


class EcsProvider:
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
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        for name in ("cpu", "memory"):
            if not settings[name].isdecimal():
                raise SettingError(f"{name}: {settings[name]!r} is not a number like 1024")
        self._settings = settings
        self._now, self._sleep = now, sleep
        # What is asked for again, and when, is ours to say: see launching.py and aws_paced.py.
        config = Config(retries={"mode": "standard", "total_max_attempts": 3})
        alone = Config(retries={"mode": "standard", "total_max_attempts": 1})
        with explained():
            session = make_session(region_name=settings["region"] or None)
            self._session, self._config = session, config
            self._ecs = session.client("ecs", config=alone)
            self._secrets = session.client("secretsmanager", config=config)
            self._logs = session.client("logs", config=config)
        self._fleets = Fleets(self._ecs, self._secrets, settings["cluster"], now, sleep)

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        self._check()
        settings = self._settings
        price, source = policy.price(
            self._session,
            self._config,
            self._ecs.meta.region_name,
            cpu=settings["cpu"],
            memory=settings["memory"],
            spot=settings["spot"],
        )
        return LaunchPlan(
            makes=[
                f"{order.agents} Fargate{' Spot' if settings['spot'] else ''} tasks of {settings['image']} in the cluster "
                f"{settings['cluster']} of {self._ecs.meta.region_name}, each with {settings['cpu']} CPU units and "
                f"{settings['memory']} MiB",
                f"the task definition {family(order.fleet)} and the secret {SECRETS}{order.fleet}",
            ],
            ports=[f"tasks must reach {order.join} by TCP, the registry by HTTPS, and the target"],
            policy=policy.document(
                execution_role=settings["execution_role"], with_logs=bool(settings["log_group"])
            ),
            usd_an_hour=None if price is None else price * order.agents,
            price_source=source,
            notes=[f"each agent ends {order.lifetime_s} s after its start, and its task with it"],
        )

    def _check(self) -> None:
        for name in ("image", "subnets", "execution_role"):
            if not self._settings[name]:
                raise SettingError(f"{name}: --on ecs needs --with {name}=...")

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine. The secret goes first, so that no task waits for it; all bear the fleet's name and end."""
        self._check()
        settings = self._settings
        expires_s = int(time.time()) + order.lifetime_s
        texts = {CA: order.ca_pem.decode(), TOKEN: order.token.decode()}
        with explained():
            say("making the fleet's secret and task definition")
            secret = self._secrets.create_secret(
                Name=f"{SECRETS}{order.fleet}",
                SecretString=json.dumps(texts),
                Tags=tags(order.fleet, settings["cluster"], expires_s, lower=False),
            )["ARN"]
            shape = Shape(
                settings["image"],
                settings["cpu"],
                settings["memory"],
                settings["execution_role"],
                settings["log_group"],
                self._ecs.meta.region_name,
                settings["cluster"],
            )
            self._fleets.ecs.call("register_task_definition", **definition(order, shape, secret, expires_s))
            launching = TaskLauncher(self._ecs, say, self._now, self._sleep)
            request = self._request(order.fleet, expires_s)
            launching.launch(order.agents, request)
            launching.replace(
                order.agents, request, lambda arns: self._fleets.described(settings["cluster"], arns)
            )
        units = [self._unit(each, order.fleet, expires_s) for each in launching.started]
        return LaunchResult(units=units, failures=launching.failures, replaced=launching.replaced)

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
            "tags": tags(fleet, settings["cluster"], expires_s),
            **how,
        }

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine. ECS goes on to know stopped tasks for about an hour."""
        with explained():
            return [
                self._unit(task, found.fleet, found.expires_s)
                for found in self._fleets.defined()
                if fleet in ("", found.fleet)
                for task in self._fleets.tasks(found, stopped=True)
            ]

    @staticmethod
    def _unit(task: dict[str, Any], fleet: str, expires_s: float) -> Instance:
        reasons = [task.get("stoppedReason", "")]
        reasons += [each.get("reason", "") for each in task.get("containers", ())]
        name = task["taskArn"].rpartition("/")[2]
        return Instance(
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
            return self._fleets.remove(fleet, say)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine. Whatever cluster a fleet is in: its tasks must go before what they are found by."""
        now_s = time.time()
        with explained():
            ends = {each.fleet: each.expires_s for each in self._fleets.defined()}
            ends.update((each.fleet, each.expires_s) for each in self._fleets.with_secrets())
            over = [name for name, expires_s in ends.items() if everything or expires_s <= now_s]
            return [line for name in over for line in self._fleets.remove(name, say)]

    def close(self) -> None:
        """See engine.Engine. Nothing lives here alone."""
