"""An Auto Scaling group as AWS describes it: whose it is now, what it has, and whether it serves for a fleet."""

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
    DeployError,
    Instance,
)

TAG_BEFORE = "heyfleet:capacity-before"
"""The capacity that a group had before its fleet, and gets back. While the group bears it, it is taken."""

_NEEDED = (
    "Launch",
    "Terminate",
    "ScheduledActions",
)  # processes without which it would not grow, or not shrink


@dataclass(frozen=True, slots=True)
class AutoScalingGroup:
    """One group at one moment."""

    described: dict[str, Any]

    @property
    def name(self) -> str:
        """As its owner called it."""
        return str(self.described["AutoScalingGroupName"])

    @property
    def desired(self) -> int:
        """How many instances it keeps."""
        return int(self.described["DesiredCapacity"])

    @property
    def tags(self) -> dict[str, str]:
        """Its own, not those of its instances."""
        return {each["Key"]: each["Value"] for each in self.described.get("Tags", ())}

    @property
    def taken(self) -> bool:
        """Whether a fleet has it."""
        return TAG_BEFORE in self.tags

    @property
    def fleet(self) -> str:
        """Whose it is."""
        return self.tags.get(TAG_FLEET, "")

    @property
    def expires_s(self) -> float:
        """When that fleet ends; 0 where it is not known."""
        text = self.tags.get(TAG_EXPIRES, "")
        return float(text) if text.isdecimal() else 0.0

    @property
    def capacity_after(self) -> int:
        """What it gets back: what it had, as far as its owner still allows that."""
        text = self.tags.get(TAG_BEFORE, "")
        before = int(text) if text.isdecimal() else 0
        return min(max(before, int(self.described["MinSize"])), int(self.described["MaxSize"]))

    @property
    def going(self) -> bool:
        """Whether its owner is deleting it, with all that it has."""
        return bool(self.described.get("Status"))

    @property
    def mixed(self) -> bool:
        """Whether its instances may be of several types, or of spot and on-demand both."""
        return bool(self.described.get("MixedInstancesPolicy"))

    @property
    def template(self) -> str:
        """ID:VERSION of its launch template, or nothing."""
        mixed = self.described.get("MixedInstancesPolicy") or {}
        within = mixed.get("LaunchTemplate", {}).get("LaunchTemplateSpecification", {})
        named = self.described.get("LaunchTemplate") or within
        if not named:
            return ""
        return f"{named['LaunchTemplateId']}:{named.get('Version') or '$Default'}"

    def units(self) -> Iterator[Instance]:
        """Its instances, each of which has one agent."""
        for each in self.described.get("Instances", ()):
            state = each["LifecycleState"]
            healthy = each.get("HealthStatus", "Healthy").lower() == "healthy"
            yield Instance(
                fleet=self.fleet,
                id=each["InstanceId"],
                name=each["InstanceId"],
                state=_state(state),
                reason=""
                if healthy and state in ("InService", "Pending")
                else f"{state}, {each['HealthStatus']}",
                expires_s=self.expires_s,
            )

    def check(self, agents: int) -> None:
        """DeployError where it can't have so many instances more, or would not give them back."""
        if complaint := self._taken_by() or self._unfit() or self._too_small(agents):
            raise DeployError(f"group: {self.name} {complaint}")

    def _taken_by(self) -> str:
        if not self.taken:
            return ""
        return (
            f"has the fleet {self.fleet} already, and a group has one at a time: "
            f"`heyfleet fleet down --on asg --name {self.fleet}`, or `fleet reap` when its time is over"
        )

    def _unfit(self) -> str:
        suspended = {each["ProcessName"] for each in self.described.get("SuspendedProcesses", ())}
        mixed = self.described.get("MixedInstancesPolicy") or {}
        overrides = mixed.get("LaunchTemplate", {}).get("Overrides", ())
        weighed = any(each.get("WeightedCapacity", "1") != "1" for each in overrides)
        if self.going:
            return "is being deleted"
        if not self.template:
            return "has no launch template: deploy/ec2/autoscaling.yaml makes a group that has"
        if lacking := [each for each in _NEEDED if each in suspended]:
            return f"has suspended {', '.join(lacking)}: resume it, since the fleet needs it"
        if self.described.get("NewInstancesProtectedFromScaleIn"):
            return "protects new instances from scale-in, so that they would stay: switch that off"
        if weighed or self.described.get("DesiredCapacityType", "units") != "units":
            return "counts its capacity in other things than instances: take one without weights"
        return ""

    def _too_small(self, agents: int) -> str:
        most = int(self.described["MaxSize"])
        if self.desired + agents <= most:
            return ""
        return (
            f"has {self.desired} instances and may have {most} at most (MaxSize): raise that, or order "
            f"{max(most - self.desired, 0)}"
        )


def _state(lifecycle: str) -> str:
    """A unit's, of what the group calls it: Pending:Wait, InService, Terminating:Proceed, ..."""
    if lifecycle.startswith("Pending"):
        return STARTING
    if lifecycle.startswith(("Terminat", "Detach")):
        return ENDED
    return RUNNING if lifecycle == "InService" else UNKNOWN
