"""The provider asg: agents in an existing Auto Scaling group, which grows for a fleet and then gets its capacity back.

The group's own tags say which fleet holds it, until when, and what capacity it had. They are written before the capacity
is changed and removed after it is changed back, so `reap` finds whatever a killed command has left. At the end of the
fleet's lifetime a scheduled action of the group restores the capacity without us; the group would replace instances that
merely power themselves off.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

import boto3

from heyfleet.deploy.aws.client import AwsSession, MakeSession
from heyfleet.deploy.aws.errors import translate_errors
from heyfleet.deploy.ec2 import policy
from heyfleet.deploy.ec2.autoscaling_group import TAG_CAPACITY_BEFORE, AutoScalingGroup
from heyfleet.deploy.ec2.console import agent_log
from heyfleet.deploy.ec2.launch_template import LaunchTemplate, read_template
from heyfleet.deploy.provider import (
    ENDED,
    TAG_EXPIRES,
    TAG_FLEET,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    LaunchSpec,
    Lines,
    Log,
)
from heyfleet.deploy.settings import Setting
from heyfleet.errors import DeployError
from heyfleet.text import brief, plural

_ACTION = "heyfleet-end"
_SOONEST_ACTION_S = 120  # a scheduled action in the past is refused, and AWS's clock is not ours
_GROWS_WITHIN_S = 120.0  # since the last instance came
_GONE_WITHIN_S = 300.0
_POLL_S = 3.0
_ATTEMPTS = 5  # every call sets a value or removes something, so all may be repeated


class AutoScalingProvider:
    """A provider for one Auto Scaling group.

    The group's launch template says what its instances do, and must already know the controller.
    """

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "AWS region. Default: from the environment or the AWS profile.", str),
        Setting(
            "group", "Name of an existing Auto Scaling group, such as deploy/ec2/autoscaling.yaml makes.", str
        ),
    )
    tunnels: ClassVar[bool] = False

    def __init__(
        self,
        settings: dict[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        make_session: MakeSession = boto3.session.Session,
    ) -> None:
        self._group_name = settings["group"]
        self._sleep = sleep
        self._session = AwsSession(settings["region"], attempts=_ATTEMPTS, make_session=make_session)
        self._autoscaling = self._session.client("autoscaling")
        self._ec2 = self._session.client("ec2")

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """See Provider.plan."""
        group, template = self._check_group(spec.agents)
        price, source = None, "the group mixes instance types, or spot and on-demand"
        if not group.is_mixed:
            instance_type = template.data.get("InstanceType", "")
            price, source = policy.price(self._session, instance_type, spot=template.is_spot)
        return LaunchPlan(
            resources=[
                f"{spec.agents} more instances in the Auto Scaling group {group.name} in "
                f"{self._autoscaling.meta.region_name}: {group.desired + spec.agents} instead of {group.desired}"
            ],
            network=[f"instances must reach {spec.join} by TCP, the bundle by HTTPS, and the target"],
            policy=policy.group_policy(group.name),
            usd_per_hour=None if price is None else price * spec.agents,
            price_source=source,
            notes=[
                f"a scheduled action of the group restores its capacity of {group.desired} after {spec.lifetime}",
                "what the instances do, and which controller their agents join, is in the user-data of the launch"
                f" template {template.label}",
            ],
        )

    def _check_group(self, agents: int) -> tuple[AutoScalingGroup, LaunchTemplate]:
        """Return the group and its template. Raises DeployError if they don't suit."""
        if not self._group_name:
            raise DeployError(
                "group: none is named",
                "use --with group=NAME of an Auto Scaling group; deploy/ec2/autoscaling.yaml makes one",
            )
        group = self._describe(self._group_name)
        group.check(agents)
        with translate_errors():
            policies = self._autoscaling.describe_policies(AutoScalingGroupName=group.name)["ScalingPolicies"]
        if policies:
            raise DeployError(
                f"group: {group.name} has the scaling policy {policies[0]['PolicyName']}, which could change the "
                "number of agents during a run",
                "use a group without scaling policies",
            )
        return group, read_template(self._ec2, group.template)

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """See Provider.launch."""
        group, template = self._check_group(request.agents)
        _check_user_data(group, template, request.ca_pem)
        expires_s = int(time.time()) + request.lifetime_s
        target = group.desired + request.agents
        with translate_errors():
            self._hold(group, request.fleet, expires_s, log)
            log(f"scheduling the end of the fleet in {request.lifetime}")
            end_s = max(expires_s, int(time.time()) + _SOONEST_ACTION_S)
            self._autoscaling.put_scheduled_update_group_action(
                AutoScalingGroupName=group.name,
                ScheduledActionName=_ACTION,
                StartTime=datetime.fromtimestamp(end_s, UTC),
                DesiredCapacity=group.desired,
            )
            earlier_activities = {each["ActivityId"] for each in self._activities(group.name)}
            log(f"raising the capacity from {group.desired} to {target} instances")
            self._autoscaling.set_desired_capacity(
                AutoScalingGroupName=group.name, DesiredCapacity=target, HonorCooldown=False
            )
        return self._wait_for_growth(group, request.agents, earlier_activities, log)

    def _hold(self, group: AutoScalingGroup, fleet: str, expires_s: int, log: Log) -> None:
        """Tag the group as this fleet's. Raises DeployError if another fleet was faster."""
        log(f"tagging the group {group.name}")
        tags = {
            TAG_FLEET: fleet,
            TAG_EXPIRES: str(expires_s),
            TAG_CAPACITY_BEFORE: str(group.desired),
        }
        self._autoscaling.create_or_update_tags(Tags=_group_tags(group.name, tags))
        now = self._describe(group.name)
        if any(now.tags.get(key) != value for key, value in tags.items()):
            raise DeployError(f"group: the fleet {now.fleet} has just taken {group.name}")

    def _wait_for_growth(
        self, before: AutoScalingGroup, agents: int, earlier_activities: set[str], log: Log
    ) -> LaunchResult:
        """Return the new instances once there are enough or no more come; the group's activities tell why."""
        ids_before = {instance.id for instance in before.instances()}
        started: list[Instance] = []
        waited_s = 0.0
        while True:
            instances = self._describe(before.name).instances()
            new = [each for each in instances if each.id not in ids_before and each.state != ENDED]
            waited_s = 0.0 if len(new) > len(started) else waited_s
            started = new
            if len(started) >= agents or waited_s >= _GROWS_WITHIN_S:
                break
            log(f"{len(started)} of {plural(agents, 'instance')} started")
            self._sleep(_POLL_S)
            waited_s += _POLL_S
        failures: list[str] = []
        if len(started) < agents:
            failures = self._growth_failures(before.name, earlier_activities)
        return LaunchResult(instances=started[:agents], failures=failures)

    def _growth_failures(self, name: str, earlier_activities: set[str]) -> list[str]:
        with translate_errors():
            activities = [
                each for each in self._activities(name) if each["ActivityId"] not in earlier_activities
            ]
        messages = [each.get("StatusMessage", "") for each in activities if each["StatusCode"] == "Failed"]
        failures = dict.fromkeys(f"{name}: {brief(message)}" for message in messages)
        return list(failures) or [f"{name}: no more instances within {_GROWS_WITHIN_S:g} s"]

    def _activities(self, name: str) -> list[dict[str, Any]]:
        """Return the group's latest hundred activities."""
        activities: list[dict[str, Any]] = self._autoscaling.describe_scaling_activities(
            AutoScalingGroupName=name, MaxRecords=100
        )["Activities"]
        return activities

    def _describe(self, name: str) -> AutoScalingGroup:
        with translate_errors():
            groups = self._autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
                "AutoScalingGroups"
            ]
        if not groups:
            region = self._autoscaling.meta.region_name
            raise DeployError(f"group: there is no Auto Scaling group {name} in {region}")
        return AutoScalingGroup(groups[0])

    def _held_groups(self, fleet: str = "") -> list[AutoScalingGroup]:
        """Return the groups that a fleet holds, or any fleet; only the one in the settings, if they name one."""
        with translate_errors():
            pages = self._autoscaling.get_paginator("describe_auto_scaling_groups").paginate(
                Filters=[{"Name": "tag-key", "Values": [TAG_CAPACITY_BEFORE]}]
            )
            groups = [AutoScalingGroup(each) for page in pages for each in page["AutoScalingGroups"]]
        return [
            each
            for each in groups
            if each.is_held and fleet in ("", each.fleet) and self._group_name in ("", each.name)
        ]

    def list(self, fleet: str = "") -> Instances:
        """See Provider.list. Includes the instances that the group had before the fleet."""
        return [instance for group in self._held_groups(fleet) for instance in group.instances()]

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See Provider.logs."""
        for instance in self.list(fleet):
            with translate_errors():
                output = self._ec2.get_console_output(InstanceId=instance.id)
            yield instance.name, agent_log(output)

    def stop(self, fleet: str, log: Log) -> Lines:
        """See Provider.stop."""
        return self._release(self._held_groups(fleet), log)

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """See Provider.reap."""
        now_s = time.time()
        return self._release(
            [each for each in self._held_groups() if everything or each.expires_s <= now_s], log
        )

    def _release(self, groups: Iterable[AutoScalingGroup], log: Log) -> Lines:
        """Restore capacities, remove the scheduled actions and, once the instances are gone, the tags."""
        released = [each for each in groups if not each.is_being_deleted]
        for group in released:
            log(f"restoring the capacity of {group.name} from {group.desired} to {group.capacity_after}")
            with translate_errors():
                self._autoscaling.set_desired_capacity(
                    AutoScalingGroupName=group.name,
                    DesiredCapacity=group.capacity_after,
                    HonorCooldown=False,
                )
                # The action may be gone: it has run, or an earlier command removed it. The response says so without error.
                self._autoscaling.batch_delete_scheduled_action(
                    AutoScalingGroupName=group.name, ScheduledActionNames=[_ACTION]
                )
        lines = []
        for group in released:
            remaining = self._wait_for_shrinkage(group, log)
            with translate_errors():
                tags = dict.fromkeys((TAG_FLEET, TAG_EXPIRES, TAG_CAPACITY_BEFORE), "")
                self._autoscaling.delete_tags(Tags=_group_tags(group.name, tags))
            lines += [f"instance {each.id}" for each in group.instances() if each.id not in remaining]
            lines.append(
                f"the fleet {group.fleet} from {group.name}, whose capacity is {group.capacity_after} again"
            )
        return lines

    def _wait_for_shrinkage(self, group: AutoScalingGroup, log: Log) -> set[str]:
        """Wait until the group has shrunk, and return the ids of its remaining instances."""
        waited_s = 0.0
        while True:
            remaining = {instance.id for instance in self._describe(group.name).instances()}
            surplus = len(remaining) - group.capacity_after
            if surplus <= 0:
                return remaining
            if waited_s >= _GONE_WITHIN_S:
                raise DeployError(
                    f"group: {group.name} still has {plural(len(remaining), 'instance')} after {_GONE_WITHIN_S:g} s instead of "
                    f"{group.capacity_after}",
                    "check it for lifecycle hooks and scale-in protection",
                )
            log(f"waiting for {surplus} instances of {group.name} to terminate")
            self._sleep(_POLL_S)
            waited_s += _POLL_S

    def close(self) -> None:
        """Do nothing: no resource lives in this process."""


def _check_user_data(group: AutoScalingGroup, template: LaunchTemplate, ca_pem: bytes) -> None:
    """Raise DeployError if the group's agents would not trust the controller."""
    if ca_pem.strip() not in base64.b64decode(template.data.get("UserData", "")):
        raise DeployError(
            f"group: agents of {group.name} would never join: the user-data of its launch template {group.template} "
            "does not contain this controller's CA (--credentials)",
            "deploy/ec2/README.md describes how to make the user-data",
        )


def _group_tags(name: str, tags: dict[str, str]) -> list[dict[str, Any]]:
    # Not propagated to instances: the provider ec2 would take them for its own, and the group would replace those it ends.
    resource = {"ResourceId": name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
    return [{**resource, "Key": key, "Value": value} for key, value in tags.items()]
