"""The task definition of a fleet: one container with an agent that ends itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from heyfleet.deploy.provider import TAG_EXPIRES, TAG_FLEET, LaunchRequest

TAG_CLUSTER = "heyfleet:cluster"
"""The cluster of a fleet's tasks. Task definitions and secrets belong to the account, so only this tag tells."""
CA, TOKEN = "HEYFLEET_CA_PEM", "HEYFLEET_JOIN_TOKEN"
# ECS passes secrets only in the environment. The script moves them to files that only this user can read, and out of the
# environment before the agent starts. The agent's name is the task's id, which the metadata endpoint returns.
_SCRIPT = """\
umask 077
folder=$(mktemp -d)
printf '%s\\n' "$HEYFLEET_CA_PEM" > "$folder/ca.pem"
printf '%s\\n' "$HEYFLEET_JOIN_TOKEN" > "$folder/join.token"
unset HEYFLEET_CA_PEM HEYFLEET_JOIN_TOKEN
name=$(python3 -c 'import json, os, urllib.request
task = json.load(urllib.request.urlopen(os.environ["ECS_CONTAINER_METADATA_URI_V4"] + "/task", timeout=5))
print(task["TaskARN"].rpartition("/")[2])') || name=$(hostname)
exec timeout --foreground -k 30 @SECONDS@ heyfleet agent --join @JOIN@ --ca "$folder/ca.pem" \\
    --token-file "$folder/join.token" --name "$name" --spool "$folder/spool" --rejoin-timeout 60s
"""
_STOP_TIMEOUT_S = 60  # after SIGTERM, the agent ends its load and hands over its results


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """What all tasks of a fleet have in common."""

    image: str
    cpu: str
    """CPU units of 1/1024 core."""
    memory: str
    """MiB."""
    execution_role: str
    log_group: str
    """CloudWatch log group; empty for no logs."""
    region: str
    cluster: str


def family(fleet: str) -> str:
    """Return the name of a fleet's task definition."""
    return f"heyfleet-{fleet}"


def tags(fleet: str, cluster: str, expires_s: int, *, lower_case: bool = True) -> list[dict[str, str]]:
    """Return a fleet's tags with the field names of ECS, or capitalized as other services write them."""
    key, value = ("key", "value") if lower_case else ("Key", "Value")
    texts = {TAG_FLEET: fleet, TAG_CLUSTER: cluster, TAG_EXPIRES: str(expires_s)}
    return [{key: name, value: text} for name, text in texts.items()]


def task_definition(
    request: LaunchRequest, settings: TaskSettings, secret_arn: str, expires_s: int
) -> dict[str, Any]:
    """Return the arguments of RegisterTaskDefinition."""
    script = _SCRIPT.replace("@SECONDS@", str(request.lifetime_s)).replace(
        "@JOIN@", shlex.quote(request.join)
    )
    container: dict[str, Any] = {
        "name": "agent",
        "image": settings.image,
        "essential": True,
        "cpu": int(settings.cpu),
        "memory": int(settings.memory),
        "entryPoint": ["sh", "-c"],
        "command": [script],
        "secrets": [{"name": name, "valueFrom": f"{secret_arn}:{name}::"} for name in (CA, TOKEN)],
        "ulimits": [{"name": "nofile", "softLimit": 1048576, "hardLimit": 1048576}],
        "systemControls": [{"namespace": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
        "stopTimeout": _STOP_TIMEOUT_S,
    }
    if settings.log_group:
        options = {
            "awslogs-group": settings.log_group,
            "awslogs-region": settings.region,
            "awslogs-stream-prefix": request.fleet,
        }
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
    return {
        "family": family(request.fleet),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": settings.cpu,
        "memory": settings.memory,
        "executionRoleArn": settings.execution_role,
        "containerDefinitions": [container],
        "tags": tags(request.fleet, settings.cluster, expires_s),
    }
