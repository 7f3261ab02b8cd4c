"""What a caller must be allowed, and what it costs."""

from __future__ import annotations

import re
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from heyfleet.deploy.aws.errors import in_words
from heyfleet.deploy.aws.pricing import products, usd
from heyfleet.deploy.provider import TAG_FLEET

_ECS_LOOK = [
    *("ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies"),
    "ecs:DescribeTaskDefinition",
]
# Of Linux on x86, after the region's own word for itself; ARM, Windows and what else there is have further words in between.
_VCPU_HOURS = re.compile(r"(?:[A-Z0-9]+-)?Fargate-vCPU-Hours:perCPU")
_GB_HOURS = re.compile(r"(?:[A-Z0-9]+-)?Fargate-GB-Hours")


def document(*, execution_role: str, with_logs: bool) -> dict[str, Any]:
    """The least: tasks and secrets are only ended where they are ours."""
    ours = {"StringLike": {f"aws:ResourceTag/{TAG_FLEET}": "*"}}
    to_tasks = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    verbs = ("CreateSecret", "DescribeSecret", "DeleteSecret", "TagResource")
    secrets = [f"secretsmanager:{verb}" for verb in verbs]
    statements: list[dict[str, Any]] = [
        _statement("Look", [*_ECS_LOOK, "secretsmanager:ListSecrets"]),
        _statement("Define", ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"]),
        _statement("Launch", ["ecs:RunTask", "ecs:TagResource"]),
        {**_statement("EndOurs", ["ecs:StopTask"]), "Condition": ours},
        _statement("Secret", secrets, "arn:aws:secretsmanager:*:*:secret:heyfleet/*"),
        {**_statement("Role", ["iam:PassRole"], _arn(execution_role)), "Condition": to_tasks},
        _statement("Prices", ["pricing:GetProducts"]),
    ]
    if with_logs:
        statements.append(_statement("Logs", ["logs:GetLogEvents"]))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(name: str, actions: list[str], resource: str = "*") -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}


def _arn(role: str) -> str:
    """ECS takes a role's name, too; of which account it is, the credentials know."""
    return role if role.startswith("arn:") else f"arn:aws:iam::*:role/{role}"


def price(
    session: Any, config: Any, region: str, *, cpu: str, memory: str, spot: bool
) -> tuple[float | None, str]:
    """USD an hour for one task, and where that is from; or None, and why it is not known."""
    try:
        found = _on_demand(session, config, region, int(cpu) / 1024, int(memory) / 1024)
    except (BotoCoreError, ClientError) as error:
        return None, in_words(error)
    except (KeyError, ValueError, StopIteration):
        return None, f"the price list has no Fargate for {region}"
    if spot:  # its price moves, and no API tells it
        return None, f"Fargate Spot is in no price list; on demand, a task is {found:.4f} USD an hour"
    return found, "price list of Fargate on Linux and x86, without logs, addresses and traffic"


def _on_demand(session: Any, config: Any, region: str, vcpus: float, gigabytes: float) -> float:
    listed = list(products(session, config, "AmazonECS", {"regionCode": region}))

    def rate(pattern: re.Pattern[str]) -> float:
        return usd(
            next(
                each
                for each in listed
                if pattern.fullmatch(each["product"]["attributes"].get("usagetype", ""))
            )
        )

    return vcpus * rate(_VCPU_HOURS) + gigabytes * rate(_GB_HOURS)
