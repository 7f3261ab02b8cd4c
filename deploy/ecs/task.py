"""What a task is: its definition, with an agent that ends itself."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from heyfleet.deploy.provider import TAG_EXPIRES, TAG_FLEET, LaunchRequest

TAG_CLUSTER = "heyfleet:cluster"
"""A task definition and a secret are the account's: where the tasks of theirs are, this tag says."""
CA, TOKEN = "HEYFLEET_CA_PEM", "HEYFLEET_JOIN_TOKEN"
# ECS gives secrets in the environment alone: they become files that only this user reads, and leave the environment before the
# agent begins. The agent's name is the task's id, which the task asks for.
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


@dataclass(frozen=True, slots=True)
class Shape:
    """What all tasks of a fleet have."""

    image: str
    cpu: str
    memory: str
    execution_role: str
    log_group: str
    region: str
    cluster: str


def family(fleet: str) -> str:
    """Of a fleet's task definition."""
    return f"heyfleet-{fleet}"


def tags(fleet: str, cluster: str, expires_s: int, *, lower: bool = True) -> list[dict[str, str]]:
    """ECS writes them in lower case, others don't."""
    key, value = ("key", "value") if lower else ("Key", "Value")
    found = {TAG_FLEET: fleet, TAG_CLUSTER: cluster, TAG_EXPIRES: str(expires_s)}
    return [{key: name, value: text} for name, text in found.items()]


def definition(order: LaunchRequest, shape: Shape, secret_arn: str, expires_s: int) -> dict[str, Any]:
    """The arguments of RegisterTaskDefinition."""
    script = _SCRIPT.replace("@SECONDS@", str(order.lifetime_s)).replace("@JOIN@", shlex.quote(order.join))
    container: dict[str, Any] = {
        "name": "agent",
        "image": shape.image,
        "essential": True,
        "cpu": int(shape.cpu),
        "memory": int(shape.memory),
        "entryPoint": ["sh", "-c"],
        "command": [script],
        "secrets": [{"name": name, "valueFrom": f"{secret_arn}:{name}::"} for name in (CA, TOKEN)],
        "ulimits": [{"name": "nofile", "softLimit": 1048576, "hardLimit": 1048576}],
        "systemControls": [{"namespace": "net.ipv4.ip_local_port_range", "value": "1024 65535"}],
        # From SIGTERM on: the load ends, and what was measured is handed over.
        "stopTimeout": 60,
    }
    if shape.log_group:
        options = {
            "awslogs-group": shape.log_group,
            "awslogs-region": shape.region,
            "awslogs-stream-prefix": order.fleet,
        }
        container["logConfiguration"] = {"logDriver": "awslogs", "options": options}
    return {
        "family": family(order.fleet),
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": shape.cpu,
        "memory": shape.memory,
        "executionRoleArn": shape.execution_role,
        "containerDefinitions": [container],
        "tags": tags(order.fleet, shape.cluster, expires_s),
    }
