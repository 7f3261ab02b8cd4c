"""What a caller must be allowed, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import in_words
from heyfleet.deploy.aws.pricing import products, usd
from heyfleet.deploy.provider import TAG_FLEET


def document(*, bucket: str, with_profile: bool, with_template: bool = False) -> dict[str, Any]:
    """The least: instances are only ended where they bear our tag."""
    look = ["ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:GetConsoleOutput"]
    look += ["ec2:DescribeLaunchTemplateVersions"] * with_template
    prices = ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory"]
    launching = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    ours = {"StringLike": {f"ec2:ResourceTag/{TAG_FLEET}": "*"}}
    statements = [
        _statement("Look", look),
        _statement("Launch", ["ec2:RunInstances"]),
        _statement("TagWhatIsLaunched", ["ec2:CreateTags"], condition=launching),
        _statement("EndOurs", ["ec2:TerminateInstances"], condition=ours),
        _statement("Image", ["ssm:GetParameter"], "arn:aws:ssm:*::parameter/aws/service/*"),
        _statement("Prices", prices),
    ]
    if bucket:
        objects = ["s3:PutObject", "s3:GetObject", "s3:DeleteObject"]
        statements.append(_statement("Bundle", objects, f"arn:aws:s3:::{bucket}/heyfleet/*"))
        statements.append(_statement("Bundles", ["s3:ListBucket"], f"arn:aws:s3:::{bucket}"))
    if with_profile:
        statements.append(_statement("Profile", ["iam:PassRole"], "arn:aws:iam::ACCOUNT:role/ROLE"))
    return {"Version": "2012-10-17", "Statement": statements}


def group_document(name: str) -> dict[str, Any]:
    """The least for a fleet in an Auto Scaling group: it is the group that starts and ends instances, by a role of its own."""
    look = ["autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribePolicies"]
    look += [
        "autoscaling:DescribeScalingActivities",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetConsoleOutput",
    ]
    change = ["CreateOrUpdateTags", "DeleteTags", "PutScheduledUpdateGroupAction"]
    change += ["BatchDeleteScheduledAction", "SetDesiredCapacity"]
    group = f"arn:aws:autoscaling:*:ACCOUNT:autoScalingGroup:*:autoScalingGroupName/{name}"
    statements = [
        _statement("Look", look),
        _statement("Group", [f"autoscaling:{each}" for each in change], group),
        _statement("Prices", ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory"]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(
    name: str, actions: list[str], resource: str = "*", condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    made: dict[str, Any] = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def price(session: Any, config: Any, kind: str, *, spot: bool) -> tuple[float | None, str]:
    """USD an hour for one instance, and where that is from; or None, and why it is not known."""
    try:
        found = _spot(session, config, kind) if spot else _on_demand(session, config, kind)
    except (BotoCoreError, ClientError) as error:
        return None, in_words(error)
    except (KeyError, IndexError, ValueError, StopIteration):
        return None, f"the price list has no {kind} for this region"
    return found, "spot price now" if spot else "on-demand price list, without volumes and traffic"


def _spot(session: Any, config: Any, kind: str) -> float:
    history = session.client("ec2", config=config).describe_spot_price_history(
        InstanceTypes=[kind], ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
    )["SpotPriceHistory"]
    return max(float(each["SpotPrice"]) for each in history)


def _on_demand(session: Any, config: Any, kind: str) -> float:
    wanted = {
        "instanceType": kind,
        "regionCode": session.client("ec2", config=config).meta.region_name,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return usd(next(products(session, config, "AmazonEC2", wanted)))
