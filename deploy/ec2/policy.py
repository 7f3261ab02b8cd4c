"""The permissions that a launch on EC2 needs, and what it costs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from heyfleet.deploy.aws.client import AwsSession
from heyfleet.deploy.aws.errors import AWS_ERRORS, deploy_error
from heyfleet.deploy.aws.pricing import products, usd_per_unit
from heyfleet.deploy.provider import TAG_FLEET


def instances_policy(*, bucket: str, with_profile: bool, with_template: bool = False) -> dict[str, Any]:
    """Return the IAM policy for fleets of instances; it allows ending only instances that bear our tag."""
    read = ["ec2:DescribeInstances", "ec2:DescribeInstanceTypes", "ec2:GetConsoleOutput"]
    read += ["ec2:DescribeLaunchTemplateVersions"] * with_template
    prices = ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory"]
    at_launch = {"StringEquals": {"ec2:CreateAction": "RunInstances"}}
    with_our_tag = {"StringLike": {f"ec2:ResourceTag/{TAG_FLEET}": "*"}}
    statements = [
        _statement("Read", read),
        _statement("Launch", ["ec2:RunInstances"]),
        _statement("TagAtLaunch", ["ec2:CreateTags"], condition=at_launch),
        _statement("EndOwnInstances", ["ec2:TerminateInstances"], condition=with_our_tag),
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


def group_policy(name: str) -> dict[str, Any]:
    """Return the IAM policy for fleets in an Auto Scaling group, which starts and ends instances by a role of its own."""
    read = [
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribePolicies",
        "autoscaling:DescribeScalingActivities",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetConsoleOutput",
    ]
    change = ["CreateOrUpdateTags", "DeleteTags", "PutScheduledUpdateGroupAction"]
    change += ["BatchDeleteScheduledAction", "SetDesiredCapacity"]
    group = f"arn:aws:autoscaling:*:ACCOUNT:autoScalingGroup:*:autoScalingGroupName/{name}"
    statements = [
        _statement("Read", read),
        _statement("Group", [f"autoscaling:{action}" for action in change], group),
        _statement("Prices", ["pricing:GetProducts", "ec2:DescribeSpotPriceHistory"]),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(
    name: str, actions: list[str], resource: str = "*", condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    statement: dict[str, Any] = {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}
    return {**statement, "Condition": condition} if condition else statement


def price(session: AwsSession, instance_type: str, *, spot: bool) -> tuple[float | None, str]:
    """Return USD per hour for one instance and the source of the price, or None and why it is unknown."""
    try:
        usd = _spot_price(session, instance_type) if spot else _on_demand_price(session, instance_type)
    except AWS_ERRORS as error:
        return None, str(deploy_error(error))
    except (KeyError, IndexError, ValueError, StopIteration):
        return None, f"the price list has no {instance_type} for this region"
    return usd, "current spot price" if spot else "on-demand price list, without volumes and traffic"


def _spot_price(session: AwsSession, instance_type: str) -> float:
    history = session.client("ec2").describe_spot_price_history(
        InstanceTypes=[instance_type], ProductDescriptions=["Linux/UNIX"], StartTime=datetime.now(UTC)
    )["SpotPriceHistory"]
    return max(float(entry["SpotPrice"]) for entry in history)


def _on_demand_price(session: AwsSession, instance_type: str) -> float:
    attributes = {
        "instanceType": instance_type,
        "regionCode": session.client("ec2").meta.region_name,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "preInstalledSw": "NA",
        "capacitystatus": "Used",
    }
    return usd_per_unit(next(products(session, "AmazonEC2", attributes)))
