"""An existing launch template: what it sets, and the overrides that keep its instances from leaving anything behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from heyfleet.deploy.aws.errors import deploy_error, error_code, translate_errors
from heyfleet.errors import DeployError

_VERSION = re.compile(r"[1-9]\d*|\$Latest|\$Default")
ONE_TIME = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
"""Spot options by which AWS starts no other instance after an interruption."""


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    """One version of a launch template."""

    id: str
    version: str
    """The version's number, so that a template that changes after the check does no harm."""
    data: dict[str, Any]
    label: str
    """The template as the user named it."""

    @property
    def is_spot(self) -> bool:
        """Whether it makes spot instances."""
        return bool(self.data.get("InstanceMarketOptions", {}).get("MarketType") == "spot")

    def check(self, settings: dict[str, Any]) -> None:
        """Raise DeployError if RunInstances would refuse it with these settings, or would leave something behind."""
        for setting, key, what in (("ami", "ImageId", "image"), ("type", "InstanceType", "type")):
            if not settings[setting] and not self.data.get(key):
                raise DeployError(
                    f"launch_template: {self.label} has no {what}", f"name one with --with {setting}=..."
                )
        interfaces = self.data.get("NetworkInterfaces", [])
        conflicts = [
            name for name in ("subnets", "security_groups", "head_security_groups") if settings[name]
        ]
        if interfaces and conflicts:
            raise DeployError(
                f"launch_template: {self.label} has network interfaces, which conflict with --with {conflicts[0]}",
                "leave that setting out, or use a template without network interfaces",
            )
        if any(each.get("DeleteOnTermination") is False for each in interfaces):
            raise DeployError(
                f"launch_template: {self.label} keeps network interfaces (DeleteOnTermination is false), "
                "which would be left behind",
                "use a version that deletes them",
            )

    def parameters(self) -> dict[str, Any]:
        """Return RunInstances parameters that name the template and override what would outlive a fleet."""
        parameters: dict[str, Any] = {
            "LaunchTemplate": {"LaunchTemplateId": self.id, "Version": self.version},
            "DisableApiTermination": False,
        }
        if self.is_spot:
            price = self.data["InstanceMarketOptions"].get("SpotOptions", {}).get("MaxPrice")
            options = {**ONE_TIME, **({"MaxPrice": price} if price else {})}
            parameters["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        if devices := self.data.get("BlockDeviceMappings"):
            parameters["BlockDeviceMappings"] = [
                {**each, "Ebs": {**each["Ebs"], "DeleteOnTermination": True}} if "Ebs" in each else each
                for each in devices
            ]
        return parameters


def read_template(ec2: Any, label: str) -> LaunchTemplate:
    """Return the launch template NAME_OR_ID[:VERSION], or its default version. Raises DeployError."""
    name, colon, version = label.partition(":")
    if not name or (colon and not _VERSION.fullmatch(version)):
        raise DeployError(
            f"launch_template: {label!r} is not NAME_OR_ID[:VERSION]",
            "a version is a number, $Latest or $Default",
        )
    key = {"LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName": name}
    with translate_errors():
        try:
            versions = ec2.describe_launch_template_versions(**key, Versions=[version or "$Default"])[
                "LaunchTemplateVersions"
            ]
        except ClientError as error:
            if not error_code(error).startswith("InvalidLaunchTemplate"):
                raise
            raise DeployError(
                deploy_error(error).cause, f"--with launch_template={label} must exist in this region"
            ) from None
    if not versions:
        raise DeployError(f"launch_template: {name} has no version {version} in this region")
    return LaunchTemplate(
        id=versions[0]["LaunchTemplateId"],
        version=str(versions[0]["VersionNumber"]),
        data=versions[0]["LaunchTemplateData"],
        label=label,
    )
