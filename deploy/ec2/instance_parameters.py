"""The RunInstances parameters of one instance, from a provider's settings and an optional launch template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heyfleet.deploy.ec2.launch_template import ONE_TIME, LaunchTemplate

DEFAULT_TYPE = "c7i.large"
_TAGGED_RESOURCES = ("instance", "volume", "network-interface")


def instance_parameters(
    settings: Mapping[str, Any],
    *,
    tags: Mapping[str, str],
    user_data: str,
    template: LaunchTemplate | None,
    find_image: Callable[[str], str],
) -> dict[str, Any]:
    """Return parameters for instances that terminate on power-off and leave nothing behind.

    `find_image` returns an image for an instance type; it is called if neither settings nor template name one.
    """
    tag_list = [{"Key": key, "Value": value} for key, value in tags.items()]
    parameters: dict[str, Any] = {
        **(template.parameters() if template else {}),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled"},
        "TagSpecifications": [{"ResourceType": each, "Tags": tag_list} for each in _TAGGED_RESOURCES],
        "UserData": user_data,
    }
    instance_type = settings["type"] or ("" if template else DEFAULT_TYPE)
    if instance_type:
        parameters["InstanceType"] = instance_type
    if settings["ami"] or not template:
        parameters["ImageId"] = settings["ami"] or find_image(instance_type)
    if settings["security_groups"]:
        parameters["SecurityGroupIds"] = list(settings["security_groups"])
    if settings["spot"] and not (template and template.is_spot):
        parameters["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": ONE_TIME}
    if settings["placement_group"]:
        parameters["Placement"] = {"GroupName": settings["placement_group"]}
    if settings["profile"]:
        parameters["IamInstanceProfile"] = {"Name": settings["profile"]}
    if settings["key"]:
        parameters["KeyName"] = settings["key"]
    return parameters
