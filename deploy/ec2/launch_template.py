"""A launch template that is there: what it says of instances, and what is said over it so that nothing is left behind."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from heyfleet.deploy.aws.errors import code_of, explained, in_words
from heyfleet.deploy.provider import DeployError

_VERSION = re.compile(r"[1-9]\d*|\$Latest|\$Default")
ONE_TIME = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
"""Of a spot instance: AWS starts no other in its place."""


@dataclass(frozen=True, slots=True)
class LaunchTemplate:
    """One version of a template, as it was read."""

    id: str
    version: str
    """Its number: what was checked is what is launched, whoever changes the template meanwhile."""
    data: dict[str, Any]
    named: str
    """As the user called it."""

    @property
    def spot(self) -> bool:
        """Whether it makes spot instances."""
        return bool(self.data.get("InstanceMarketOptions", {}).get("MarketType") == "spot")

    def check(self, settings: dict[str, Any]) -> None:
        """DeployError where RunInstances would refuse it with these settings, or would leave something behind."""
        for setting, key, what in (("ami", "ImageId", "image"), ("type", "InstanceType", "type")):
            if not settings[setting] and not self.data.get(key):
                raise DeployError(f"launch_template: {self.named} has no {what}: --with {setting}=...")
        interfaces = self.data.get("NetworkInterfaces", [])
        clash = [name for name in ("subnets", "security_groups", "head_security_groups") if settings[name]]
        if interfaces and clash:
            raise DeployError(
                f"launch_template: {self.named} has network interfaces, which say what "
                f"--with {clash[0]} would: leave that out, or take a template without them"
            )
        if any(each.get("DeleteOnTermination") is False for each in interfaces):
            raise DeployError(
                f"launch_template: {self.named} keeps network interfaces (DeleteOnTermination is false), "
                "which would be left behind: take a version that deletes them"
            )

    def request(self) -> dict[str, Any]:
        """What names it in RunInstances, and overrides what in it would outlive a fleet."""
        made: dict[str, Any] = {
            "LaunchTemplate": {"LaunchTemplateId": self.id, "Version": self.version},
            "DisableApiTermination": False,
        }
        if self.spot:
            price = self.data["InstanceMarketOptions"].get("SpotOptions", {}).get("MaxPrice")
            options = {**ONE_TIME, **({"MaxPrice": price} if price else {})}
            made["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": options}
        if devices := self.data.get("BlockDeviceMappings"):
            made["BlockDeviceMappings"] = [
                {**each, "Ebs": {**each["Ebs"], "DeleteOnTermination": True}} if "Ebs" in each else each
                for each in devices
            ]
        return made


def read(ec2: Any, named: str) -> LaunchTemplate:
    """That of NAME_OR_ID[:VERSION]; its default version where none is named. DeployError with the cure."""
    name, colon, version = named.partition(":")
    if not name or (colon and not _VERSION.fullmatch(version)):
        raise DeployError(
            f"launch_template: {named!r} is not NAME_OR_ID[:VERSION]; a version is a number, $Latest or $Default"
        )
    which = {"LaunchTemplateId" if name.startswith("lt-") else "LaunchTemplateName": name}
    with explained():
        try:
            found = ec2.describe_launch_template_versions(**which, Versions=[version or "$Default"])[
                "LaunchTemplateVersions"
            ]
        except ClientError as error:
            if not code_of(error).startswith("InvalidLaunchTemplate"):
                raise
            raise DeployError(
                f"{in_words(error)}; --with launch_template={named} must be there, in this region"
            ) from None
    if not found:
        raise DeployError(f"launch_template: {name} has no version {version}, in this region")
    made = found[0]
    return LaunchTemplate(
        made["LaunchTemplateId"], str(made["VersionNumber"]), made["LaunchTemplateData"], named
    )
