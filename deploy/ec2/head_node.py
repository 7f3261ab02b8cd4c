"""The instance that has a fleet's controller: what RunInstances is asked for it, and where it is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heyfleet.deploy.aws.client import Paced
from heyfleet.deploy.aws.errors import explained
from heyfleet.deploy.provider import DeployError, HeadNode, Say

_ROLE = {"Key": "heyfleet:role", "Value": "head"}
_RUNS_WITHIN_S = 300.0
_LOOK_EVERY_S = 3.0


def as_head(request: dict[str, Any], groups: list[str], *, spot: bool) -> dict[str, Any]:
    """An agent's request made one for a head: reached through these groups, and no spot instance, if that can be had.

    `spot`: the launch template makes one in any case; then the request goes on to say that no other is bought after it.
    """
    specifications = [
        {**each, "Tags": [*each["Tags"], _ROLE]} for each in request.get("TagSpecifications", ())
    ]
    made = {**request, "TagSpecifications": specifications}
    if not spot:
        made.pop("InstanceMarketOptions", None)
    return {**made, **({"SecurityGroupIds": groups} if groups else {})}


def is_head(tags: dict[str, str]) -> bool:
    """Whether an instance with these tags is one."""
    return tags.get(_ROLE["Key"]) == _ROLE["Value"]


def addressed(calls: Paced, instance: str, port: int, say: Say, sleep: Callable[[float], None]) -> HeadNode:
    """Its addresses, when it runs: it has no public one before. DeployError where it never does."""
    waited_s = 0.0
    wanted = [{"Name": "instance-id", "Values": [instance]}]
    while True:
        with explained():
            held = calls.call("describe_instances", Filters=wanted)["Reservations"]
        found: dict[str, Any] = next((each for reservation in held for each in reservation["Instances"]), {})
        state = found.get("State", {}).get("Name", "pending")  # EC2 may not know yet what it has just made
        if state == "running":
            inside = found["PrivateIpAddress"]
            outside = found.get("PublicIpAddress") or inside
            return HeadNode(id=instance, inside=f"{inside}:{port}", outside=f"{outside}:{port}")
        if state != "pending" or waited_s >= _RUNS_WITHIN_S:
            why = found.get("StateReason", {}).get("Message", "") or f"it is {state}"
            raise DeployError(f"the head {instance} does not run: {why}")
        say(f"waiting for the head {instance}")
        sleep(_LOOK_EVERY_S)
        waited_s += _LOOK_EVERY_S
