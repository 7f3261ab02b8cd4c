"""What a caller must be allowed."""

from __future__ import annotations

from typing import Any

from heyfleet.deploy.engine import TAG_FLEET

_ECS_LOOK = [
    *("ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListTaskDefinitions", "ecs:ListTaskDefinitionFamilies"),
    "ecs:DescribeTaskDefinition",
]


def document(*, with_logs: bool) -> dict[str, Any]:
    """The least: tasks and secrets are only ended where they are ours."""
    ours = {"StringLike": {f"aws:ResourceTag/{TAG_FLEET}": "*"}}
    verbs = ("CreateSecret", "DescribeSecret", "DeleteSecret", "TagResource")
    secrets = [f"secretsmanager:{verb}" for verb in verbs]
    statements: list[dict[str, Any]] = [
        _statement("Look", [*_ECS_LOOK, "secretsmanager:ListSecrets"]),
        _statement("Define", ["ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition"]),
        _statement("Launch", ["ecs:RunTask", "ecs:TagResource"]),
        {**_statement("EndOurs", ["ecs:StopTask"]), "Condition": ours},
        _statement("Secret", secrets, "arn:aws:secretsmanager:*:*:secret:heyfleet/*"),
        _statement("Role", ["iam:PassRole"], "arn:aws:iam::ACCOUNT:role/EXECUTION-ROLE"),
    ]
    if with_logs:
        statements.append(_statement("Logs", ["logs:GetLogEvents"]))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(name: str, actions: list[str], resource: str = "*") -> dict[str, Any]:
    return {"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource}
