"""Agents in an Auto Scaling group that is there: it grows for a fleet, and gets its capacity back.

The group itself bears whose it is, until when, and what capacity it had. That is written before the capacity is changed and
removed after it is changed back, so that `reap` finds whatever a killed command has left. At the fleet's end AWS changes it
back by itself, by a scheduled action: the group would replace instances that only power themselves off.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, ClassVar

import boto3
from botocore.config import Config

from heyfleet.deploy.aws.errors import explained
from heyfleet.deploy.ec2 import console, policy
from heyfleet.deploy.ec2.autoscaling_group import TAG_BEFORE, AutoScalingGroup
from heyfleet.deploy.ec2.launch_template import LaunchTemplate, read
from heyfleet.deploy.provider import (
    ENDED,
    TAG_EXPIRES,
    TAG_FLEET,
    DeployError,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting

_ACTION = "heyfleet-end"
_SOONEST_S = 120  # a scheduled action in the past is refused, and AWS's clock is another
_GROWS_WITHIN_S = 120.0  # since the last instance came
_GONE_WITHIN_S = 300.0
_LOOK_EVERY_S = 3.0


class AutoScalingProvider:
    """See engine.Engine. What an instance does is said by the group's launch template, which must know the controller."""

    settings: ClassVar[tuple[Setting, ...]] = (
        Setting("region", "Default: the environment's, or the profile's.", str),
        Setting(
            "group", "The name of an Auto Scaling group that is there (deploy/ec2/autoscaling.yaml).", str
        ),
    )
    tunnels: ClassVar[bool] = False

    def __init__(
        self,
        settings: dict[str, Any],
        sleep: Callable[[float], None] = time.sleep,
        make_session: Callable[..., Any] = boto3.session.Session,
    ) -> None:
        self._named = settings["group"]
        self._sleep = sleep
        # Each call sets something to what it should be, or takes it away: all may be repeated.
        self._config = Config(retries={"mode": "standard", "total_max_attempts": 5})
        with explained():
            self._session = make_session(region_name=settings["region"] or None)
            self._groups = self._session.client("autoscaling", config=self._config)
            self._ec2 = self._session.client("ec2", config=self._config)

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """See engine.Engine."""
        group, template = self._fit(order)
        price, source = None, "the group has several types, or spot and on-demand"
        if not group.mixed:
            kind = template.data.get("InstanceType", "")
            price, source = policy.price(self._session, self._config, kind, spot=template.spot)
        return LaunchPlan(
            makes=[
                f"{order.agents} instances more in the Auto Scaling group {group.name} of "
                f"{self._groups.meta.region_name}: {group.desired + order.agents} in place of {group.desired}"
            ],
            ports=[f"instances must reach {order.join} by TCP, the bundle by HTTPS, and the target"],
            policy=policy.group_document(group.name),
            usd_an_hour=None if price is None else price * order.agents,
            price_source=source,
            notes=[
                f"a scheduled action of the group gives it {group.desired} again after {order.lifetime_s} s",
                "what its instances do, and which controller their agents join, is in the user-data of its launch"
                f" template {template.named}",
            ],
        )

    def _fit(self, order: LaunchRequest) -> tuple[AutoScalingGroup, LaunchTemplate]:
        """The group and its template. DeployError where they don't serve for the order."""
        if not self._named:
            raise DeployError(
                "group: --with group=NAME of an Auto Scaling group; deploy/ec2/autoscaling.yaml makes one"
            )
        group = self._group(self._named)
        group.check(order.agents)
        with explained():
            policies = self._groups.describe_policies(AutoScalingGroupName=group.name)["ScalingPolicies"]
        if policies:
            raise DeployError(
                f"group: {group.name} has the scaling policy {policies[0]['PolicyName']}, which would change the "
                "number of agents in the middle: take a group without"
            )
        template = read(self._ec2, group.template)
        ours = order.ca_pem.strip()
        if ours not in base64.b64decode(template.data.get("UserData", "")):
            raise DeployError(
                f"group: agents of {group.name} would never join: the user-data of its launch template {group.template}"
                " has not the CA of this controller (--credentials); deploy/ec2/README.md says how it is made"
            )
        return group, template

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """See engine.Engine."""
        group, _ = self._fit(order)
        expires_s = int(time.time()) + order.lifetime_s
        wanted = group.desired + order.agents
        with explained():
            say(f"taking the group {group.name}")
            tags = {TAG_FLEET: order.fleet, TAG_EXPIRES: str(expires_s), TAG_BEFORE: str(group.desired)}
            self._groups.create_or_update_tags(Tags=self._tags(group.name, tags))
            now = self._group(group.name)
            if any(now.tags.get(key) != value for key, value in tags.items()):
                raise DeployError(f"group: {group.name} was just taken by the fleet {now.fleet}")
            say(f"arranging its end in {order.lifetime_s} s")
            end_s = max(expires_s, int(time.time()) + _SOONEST_S)
            self._groups.put_scheduled_update_group_action(
                AutoScalingGroupName=group.name,
                ScheduledActionName=_ACTION,
                StartTime=datetime.fromtimestamp(end_s, UTC),
                DesiredCapacity=group.desired,
            )
            earlier = {each["ActivityId"] for each in self._activities(group.name)}
            say(f"asking for {wanted} instances in place of {group.desired}")
            self._groups.set_desired_capacity(
                AutoScalingGroupName=group.name, DesiredCapacity=wanted, HonorCooldown=False
            )
        return self._grown(group, order.agents, earlier, say)

    def _grown(self, before: AutoScalingGroup, agents: int, earlier: set[str], say: Say) -> LaunchResult:
        """The new instances, when there are enough, or when no more come; why not, the group's own activities say."""
        were = {unit.id for unit in before.units()}
        found: list[Instance] = []
        waited_s = 0.0
        while True:
            units = self._group(before.name).units()
            now = [each for each in units if each.id not in were and each.state != ENDED]
            waited_s = 0.0 if len(now) > len(found) else waited_s
            found = now
            if len(found) >= agents or waited_s >= _GROWS_WITHIN_S:
                break
            say(f"{len(found)} of {agents} instances are there")
            self._sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S
        failures: dict[str, None] = {}
        if len(found) < agents:
            with explained():
                new = [each for each in self._activities(before.name) if each["ActivityId"] not in earlier]
            words = [each.get("StatusMessage", "") for each in new if each["StatusCode"] == "Failed"]
            failures = dict.fromkeys(f"{before.name}: {' '.join(each.split())}" for each in words)
            failures = failures or {f"{before.name}: no more instances within {_GROWS_WITHIN_S:g} s": None}
        return LaunchResult(units=found[:agents], failures=list(failures))

    def _activities(self, name: str) -> list[dict[str, Any]]:
        """The latest hundred."""
        found: list[dict[str, Any]] = self._groups.describe_scaling_activities(
            AutoScalingGroupName=name, MaxRecords=100
        )["Activities"]
        return found

    def _group(self, name: str) -> AutoScalingGroup:
        with explained():
            found = self._groups.describe_auto_scaling_groups(AutoScalingGroupNames=[name])[
                "AutoScalingGroups"
            ]
        if not found:
            raise DeployError(
                f"group: there is no Auto Scaling group {name} in {self._groups.meta.region_name}"
            )
        return AutoScalingGroup(found[0])

    @staticmethod
    def _tags(name: str, tags: dict[str, str]) -> list[dict[str, Any]]:
        # Not on instances: the engine ec2 would take them for its own, and the group would replace what that ends.
        of = {"ResourceId": name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": False}
        return [{**of, "Key": key, "Value": value} for key, value in tags.items()]

    def _taken(self, fleet: str = "") -> list[AutoScalingGroup]:
        """The groups that a fleet has, or any; of these the one that the settings name, if they do."""
        with explained():
            pages = self._groups.get_paginator("describe_auto_scaling_groups").paginate(
                Filters=[{"Name": "tag-key", "Values": [TAG_BEFORE]}]
            )
            views = [AutoScalingGroup(each) for page in pages for each in page["AutoScalingGroups"]]
        return [
            each
            for each in views
            if each.taken and fleet in ("", each.fleet) and self._named in ("", each.name)
        ]

    def list(self, fleet: str = "") -> Instances:
        """See engine.Engine. All instances of the fleet's group, also those that it had before."""
        return [unit for group in self._taken(fleet) for unit in group.units()]

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """See engine.Engine."""
        for unit in self.list(fleet):
            with explained():
                said = self._ec2.get_console_output(InstanceId=unit.id)
            yield unit.name, console.ours(said)

    def stop(self, fleet: str, say: Say) -> Lines:
        """See engine.Engine."""
        return self._give_back(self._taken(fleet), say)

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """See engine.Engine."""
        now_s = time.time()
        return self._give_back([each for each in self._taken() if everything or each.expires_s <= now_s], say)

    def _give_back(self, groups: Iterable[AutoScalingGroup], say: Say) -> Lines:
        """Their capacities, then what arranges that, then, when the instances are gone, the words that say whose they are."""
        found = [each for each in groups if not each.going]
        for group in found:
            say(f"setting {group.name} from {group.desired} back to {group.capacity_after}")
            with explained():
                self._groups.set_desired_capacity(
                    AutoScalingGroupName=group.name,
                    DesiredCapacity=group.capacity_after,
                    HonorCooldown=False,
                )
                # It may be gone, after its time or by a command before this one; that is in the answer, which matters not.
                self._groups.batch_delete_scheduled_action(
                    AutoScalingGroupName=group.name, ScheduledActionNames=[_ACTION]
                )
        lines = []
        for group in found:
            left = self._shrunk(group, say)
            with explained():
                tags = dict.fromkeys((TAG_FLEET, TAG_EXPIRES, TAG_BEFORE), "")
                self._groups.delete_tags(Tags=self._tags(group.name, tags))
            lines += [f"instance {unit.id}" for unit in group.units() if unit.id not in left]
            lines.append(
                f"the fleet {group.fleet} from {group.name}, whose capacity is {group.capacity_after} again"
            )
        return lines

    def _shrunk(self, group: AutoScalingGroup, say: Say) -> set[str]:
        """Wait until it has no more than it should; those that it still has."""
        waited_s = 0.0
        while True:
            left = {unit.id for unit in self._group(group.name).units()}
            if len(left) <= group.capacity_after:
                return left
            if waited_s >= _GONE_WITHIN_S:
                raise DeployError(
                    f"group: {group.name} still has {len(left)} instances after {_GONE_WITHIN_S:g} s, and should have "
                    f"{group.capacity_after}: does a lifecycle hook or scale-in protection hold them?"
                )
            say(f"waiting until {len(left) - group.capacity_after} instances of {group.name} are gone")
            self._sleep(_LOOK_EVERY_S)
            waited_s += _LOOK_EVERY_S

    def close(self) -> None:
        """See engine.Engine. Nothing lives here alone."""
