"""An Auto Scaling group as AWS describes it: which fleet holds it, its instances, and whether it suits a fleet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    TAG_EXPIRES,
    TAG_FLEET,
    UNKNOWN,
    Instance,
)
from heyfleet.errors import DeployError

TAG_CAPACITY_BEFORE = "heyfleet:capacity-before"
"""The capacity that a group had before its fleet, and gets back. A fleet holds the group while it bears this tag."""

# A group that has suspended one of these would not grow, or would not shrink.
_REQUIRED_PROCESSES = ("Launch", "Terminate", "ScheduledActions")


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """One group at one moment."""

    description: dict[str, Any]
    """Its entry in the response of DescribeAutoScalingGroups."""

    @property
    def name(self) -> str:
        """The group's name."""
        return str(self.description["AutoScalingGroupName"])

    @property
    def desired(self) -> int:
        """The number of instances that the group maintains."""
        return int(self.description["DesiredCapacity"])

    @property
    def tags(self) -> dict[str, str]:
        """The group's own tags, not those of its instances."""
        return {tag["Key"]: tag["Value"] for tag in self.description.get("Tags", ())}

    @property
    def is_held(self) -> bool:
        """Whether a fleet holds the group."""
        return TAG_CAPACITY_BEFORE in self.tags

    @property
    def fleet(self) -> str:
        """The name of the fleet that holds the group, or an empty string."""
        return self.tags.get(TAG_FLEET, "")

    @property
    def expires_s(self) -> float:
        """When that fleet ends, in seconds since 1970; 0 if unknown."""
        text = self.tags.get(TAG_EXPIRES, "")
        return float(text) if text.isdecimal() else 0.0

    @property
    def capacity_after(self) -> int:
        """The capacity to give back: the one before the fleet, within the limits that the group has now."""
        text = self.tags.get(TAG_CAPACITY_BEFORE, "")
        before = int(text) if text.isdecimal() else 0
        return min(max(before, int(self.description["MinSize"])), int(self.description["MaxSize"]))

    @property
    def is_being_deleted(self) -> bool:
        """Whether the group and all its instances are being deleted."""
        return bool(self.description.get("Status"))

    @property
    def is_mixed(self) -> bool:
        """Whether instances may differ in type, or be partly spot and partly on-demand."""
        return bool(self.description.get("MixedInstancesPolicy"))

    @property
    def template(self) -> str:
        """ID:VERSION of the launch template, or an empty string."""
        mixed = self.description.get("MixedInstancesPolicy") or {}
        in_mixed = mixed.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
        template = self.description.get("LaunchTemplate") or in_mixed
        if not template:
            return ""
        return f"{template['LaunchTemplateId']}:{template.get('Version') or '$Default'}"

    def instances(self) -> Iterator[Instance]:
        """Yield the group's instances, each of which runs one agent."""
        for entry in self.description.get("Instances", ()):
            lifecycle = entry["LifecycleState"]
            is_healthy = entry.get("HealthStatus", "Healthy").lower() == "healthy"
            is_normal = is_healthy and lifecycle in ("InService", "Pending")
            yield Instance(
                fleet=self.fleet,
                id=entry["InstanceId"],
                name=entry["InstanceId"],
                state=_state(lifecycle),
                reason="" if is_normal else f"{lifecycle}, {entry['HealthStatus']}",
                expires_s=self.expires_s,
            )

    def check(self, agents: int) -> None:
        """Raise DeployError if the group can't grow by this number of instances, or would not shrink again."""
        if problem := self._holder_problem() or self._setup_problem() or self._size_problem(agents):
            raise DeployError(f"group: {self.name} {problem}")

    def _holder_problem(self) -> str:
        if not self.is_held:
            return ""
        return (
            f"already has the fleet {self.fleet}, and a group holds one at a time; "
            f"run `heyfleet fleet down --on asg --name {self.fleet}`, or `fleet reap` once its lifetime is over"
        )

    def _setup_problem(self) -> str:
        suspended = {each["ProcessName"] for each in self.description.get("SuspendedProcesses", ())}
        mixed = self.description.get("MixedInstancesPolicy") or {}
        overrides = mixed.get("LaunchTemplate", {}).get("Overrides", ())
        is_weighted = any(each.get("WeightedCapacity", "1") != "1" for each in overrides)
        if self.is_being_deleted:
            return "is being deleted"
        if not self.template:
            return "has no launch template; deploy/ec2/autoscaling.yaml makes a group with one"
        if lacking := [process for process in _REQUIRED_PROCESSES if process in suspended]:
            return f"has suspended {', '.join(lacking)}; resume it, because the fleet needs it"
        if self.description.get("NewInstancesProtectedFromScaleIn"):
            return "protects new instances from scale-in, so they would stay; switch that off"
        if is_weighted or self.description.get("DesiredCapacityType", "units") != "units":
            return "does not count its capacity in instances; use a group without weights"
        return ""

    def _size_problem(self, agents: int) -> str:
        maximum = int(self.description["MaxSize"])
        if self.desired + agents <= maximum:
            return ""
        return (
            f"has {self.desired} instances and a maximum of {maximum} (MaxSize); raise the maximum, or ask for "
            f"{max(maximum - self.desired, 0)}"
        )


def _state(lifecycle: str) -> str:
    """Return an instance's state for a lifecycle state such as Pending:Wait, InService or Terminating:Proceed."""
    if lifecycle.startswith("Pending"):
        return STARTING
    if lifecycle.startswith(("Terminat", "Detach")):
        return ENDED
    return RUNNING if lifecycle == "InService" else UNKNOWN
