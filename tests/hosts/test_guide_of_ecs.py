"""Every command of docs/how-to/deploy-ecs.md, as written, on a host of its own beside tasks that are containers."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import boto3
import pytest

from ..fleet.processes import Process, until
from ..pages import commands
from . import test_image
from .fargate import CLUSTER, fargate
from .guides import on_host, run_all
from .hosts import hosts

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
image = test_image.image  # the fixture that builds the image or skips
COMMANDS = commands("docs/how-to/deploy-ecs.md", "heyfleet", "printf")
TASKS, BOSS, SERVICE = 6, 7, 8


def test_every_command_of_the_guide(image: str, tmp_path: Path) -> None:
    with hosts(8) as network:
        names = {"boss": network.address(BOSS), "service.internal": network.address(SERVICE)}
        target = Process(
            *("lab", "faulty", "--host", network.address(SERVICE), "--port", "80", "--allow-remote"),
            prefix=network.enter(SERVICE),
        )
        try:
            until(lambda: answers(network.address(SERVICE)), 30)
            with fargate(network, image, TASKS, names) as (tasks, aws, _):
                environment = {
                    **os.environ,
                    **aws,
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                }
                boss = on_host(network, BOSS, tmp_path, names)
                said = run_all(COMMANDS, tmp_path, environment, lambda line: boss)
                started, running = len(tasks.arns), tasks.running
                left = everything()
        finally:
            target.kill()
    assert started == 3 * TASKS
    assert (running, left) == ([], [])
    of = {line: text for line, text in said.items() if not line.startswith("printf")}
    plan, at_rate, _, up, status, run, logs, down, reap, by_file = (
        of[line] for line in of if not line.endswith(" &")
    )
    assert "6 Fargate tasks of registry.example/heyfleet-agent:1 in the cluster load in us-east-1" in plan
    assert '"Resource": "arn:aws:iam::123456789012:role/pull"' in plan
    assert "stopped by duration" in at_rate
    assert at_rate.count("6 requested, 6 took part, 0 lost") == at_rate.count("[200]\t") == 1
    assert "6 of 6 agents have joined" in up
    assert status.count("running") == status.count("joined") == TASKS
    assert "[200]\t6000 responses" in run
    assert logs.count(": heyfleet agent: joined boss:7700 as ") == TASKS
    assert down.count("removed task ") == TASKS + 1  # and the definition
    assert "removed secret heyfleet/demo" in down
    assert "demo is in the cluster load" in down
    assert "nothing to remove" in reap
    assert "[200]\t6000 responses" in by_file


def answers(address: str) -> bool:
    """Return whether the service listens."""
    try:
        socket.create_connection((address, 80), 1).close()
    except OSError:
        return False
    return True


def everything() -> list[str]:
    """Return everything that exists in the API."""
    ecs, secrets = boto3.client("ecs"), boto3.client("secretsmanager")
    tasks = ecs.list_tasks(cluster=CLUSTER, desiredStatus="RUNNING")["taskArns"]
    defined = ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
    return [*tasks, *defined, *(each["Name"] for each in secrets.list_secrets()["SecretList"])]
