"""The permissions that a launch on ECS needs, and what it costs."""

from __future__ import annotations

import re
from typing import Any

from heyfleet.deploy.aws.client import AwsSession
from heyfleet.deploy.aws.errors import AWS_ERRORS, deploy_error
from heyfleet.deploy.aws.pricing import products, usd_per_unit
from heyfleet.deploy.provider import TAG_FLEET

_READ_ECS = [
    *("ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies"),
    "ecs:DescribeTaskDefinition",
]
# Linux on x86, after the region's own prefix. ARM, Windows and others have further words in between.
_VCPU_HOURS = re.compile(r"(?:[A-Z0-9]+-)?Fargate-vCPU-Hours:perCPU")
_GB_HOURS = re.compile(r"(?:[A-Z0-9]+-)?Fargate-GB-Hours")


def tasks_policy(*, execution_role: str, with_logs: bool) -> dict[str, Any]:
    """Return the IAM policy for fleets of tasks; it allows ending only tasks and secrets that are ours."""
    with_our_tag = {"StringLike": {f"aws:ResourceTag/{TAG_FLEET}": "*"}}
    to_tasks = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    verbs = ("CreateSecret", "DescribeSecret", "DeleteSecret", "TagResource")
    secrets = [f"secretsmanager:{verb}" for verb in verbs]
    statements: list[dict[str, Any]] = [
        _statement("Read", [*_READ_ECS, "secretsmanager:ListSecrets"]),
        _statement("Define", ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"]),
        _statement("Launch", ["ecs:RunTask", "ecs:TagResource"]),
        {**_statement("EndOwnTasks", ["ecs:StopTask"]), "Condition": with_our_tag},
        _statement("Secret", secrets, "arn:aws:secretsmanager:*:*:secret:heyfleet/*"),
        {**_statement("Role", ["iam:PassRole"], _role_arn(execution_role)), "Condition": to_tasks},
        _statement("Prices", ["pricing:GetProducts"]),
    ]
    if with_logs:
        statements.append(_statement("Logs", ["logs:GetLogEvents"]))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(name: str, actions: list[str], resource: str = "*") -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}


def _role_arn(role: str) -> str:
    """Return a role's ARN; ECS also accepts a bare name, whose account follows from the credentials."""
    return role if role.startswith("arn:") else f"arn:aws:iam::*:role/{role}"


def price(session: AwsSession, region: str, *, cpu: str, memory: str, spot: bool) -> tuple[float | None, str]:
    """Return USD per hour for one task and the source of the price, or None and why it is unknown."""
    try:
        usd = _on_demand_price(session, region, int(cpu) / 1024, int(memory) / 1024)
    except AWS_ERRORS as error:
        return None, str(deploy_error(error))
    except (KeyError, ValueError, StopIteration):
        return None, f"the price list has no Fargate for {region}"
    if spot:  # spot prices change, and no API returns them
        return None, f"no price list has Fargate Spot; on demand, a task costs {usd:.4f} USD per hour"
    return usd, "price list of Fargate on Linux and x86, without logs, addresses and traffic"


def _on_demand_price(session: AwsSession, region: str, vcpus: float, gigabytes: float) -> float:
    listed = list(products(session, "AmazonECS", {"regionCode": region}))

    def rate(pattern: re.Pattern[str]) -> float:
        return usd_per_unit(
            next(
                product
                for product in listed
                if pattern.fullmatch(product["product"]["attributes"].get("usagetype", ""))
            )
        )

    return vcpus * rate(_VCPU_HOURS) + gigabytes * rate(_GB_HOURS)
