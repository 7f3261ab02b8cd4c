"""The instance that hosts a fleet's controller: the RunInstances parameters for it, and its addresses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heyfleet.deploy.aws.client import PacedClient
from heyfleet.deploy.aws.errors import translate_errors
from heyfleet.deploy.provider import HeadNode, Log
from heyfleet.errors import DeployError

_ROLE_TAG = {"Key": "heyfleet:role", "Value": "head"}
_RUNNING_WITHIN_S = 300.0
_POLL_S = 3.0


def head_node_parameters(
    parameters: dict[str, Any], security_groups: list[str], *, template_is_spot: bool
) -> dict[str, Any]:
    """Return an agent's RunInstances parameters changed for a head node.

    It gets these security groups, and is on-demand if possible. If the launch template makes spot instances, the
    parameters keep the options by which AWS does not start another one after an interruption.
    """
    specifications = [
        {**each, "Tags": [*each["Tags"], _ROLE_TAG]} for each in parameters.get("TagSpecifications", ())
    ]
    changed = {**parameters, "TagSpecifications": specifications}
    if not template_is_spot:
        changed.pop("InstanceMarketOptions", None)
    if security_groups:
        changed["SecurityGroupIds"] = security_groups
    return changed


def is_head_node(tags: dict[str, str]) -> bool:
    """Return whether the instance with these tags is a head node."""
    return tags.get(_ROLE_TAG["Key"]) == _ROLE_TAG["Value"]


def wait_for_addresses(
    client: PacedClient, instance_id: str, port: int, log: Log, sleep: Callable[[float], None]
) -> HeadNode:
    """Return the head node's addresses once it runs: EC2 assigns the public one then. Raises DeployError."""
    waited_s = 0.0
    filters = [{"Name": "instance-id", "Values": [instance_id]}]
    while True:
        with translate_errors():
            reservations = client.call("describe_instances", Filters=filters)["Reservations"]
        instance: dict[str, Any] = next((each for held in reservations for each in held["Instances"]), {})
        state = instance.get("State", {}).get("Name", "pending")  # EC2 may not list a new instance yet
        if state == "running":
            private = instance["PrivateIpAddress"]
            public = instance.get("PublicIpAddress") or private
            return HeadNode(
                id=instance_id, internal_address=f"{private}:{port}", external_address=f"{public}:{port}"
            )
        if state != "pending" or waited_s >= _RUNNING_WITHIN_S:
            reason = instance.get("StateReason", {}).get("Message", "") or f"its state is {state}"
            raise DeployError(f"the head node {instance_id} does not run: {reason}")
        log(f"waiting for the head node {instance_id}")
        sleep(_POLL_S)
        waited_s += _POLL_S
