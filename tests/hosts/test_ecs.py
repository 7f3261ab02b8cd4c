"""Fleets on ECS: the API is moto's, and tasks are containers of the real image in network namespaces, not Fargate."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator

import boto3
import pytest

from ..fleet.processes import Fleet, Process, adds_up, until
from . import test_image
from .fargate import CLUSTER, Fargate, fargate
from .hosts import Hosts, hosts

pytestmark = [
    pytest.mark.hosts,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
]
image = test_image.image  # the fixture that builds the image or skips
PORT = 7700


class Cloud:
    """The double for one test, and commands that use it."""

    def __init__(self, network: Hosts, tasks: Fargate, settings: list[str]) -> None:
        self.network, self.tasks, self.settings = network, tasks, settings

    def run(self, fleet: Fleet, agents: int, *more: str) -> Process:
        """Start a run with agents on ECS, on a random port."""
        where = f"{self.network.here}:{PORT}"
        flags = ("--on", "ecs", *self.settings, "--agents", str(agents), "--join", where, "--listen", where)
        return fleet.start("run", *flags, "--json", *more)

    def left(self) -> list[str]:
        """Return everything that exists in the API."""
        ecs, secrets = boto3.client("ecs"), boto3.client("secretsmanager")
        tasks = ecs.list_tasks(cluster=CLUSTER, desiredStatus="RUNNING")["taskArns"]
        defined = ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"]
        held = [each["Name"] for each in secrets.list_secrets()["SecretList"]]
        return [*tasks, *defined, *held, *self.tasks.running]


@pytest.fixture
def cloud(image: str) -> Iterator[Cloud]:
    with hosts(6) as network, fargate(network, image) as (tasks, _, settings):
        yield Cloud(network, tasks, settings)


@pytest.fixture
def target(cloud: Cloud, start_faulty: object) -> str:
    found = start_faulty("--host", cloud.network.here, "--allow-remote")  # type: ignore[operator]
    return f"http://{cloud.network.here}:{found.port}"


def test_a_run_on_four_tasks_leaves_nothing(cloud: Cloud, fleet: Fleet, target: str) -> None:
    run = cloud.run(fleet, 4, "-n", "800", "-c", "8", f"{target}/ok")
    assert run.end(120) == 0, (run.stderr, *map(cloud.tasks.output, cloud.tasks.arns))
    adds_up(run.report)
    assert run.report["ledger"]["responses"] == 800
    names = {agent["agent"].rpartition("-")[0] for agent in run.report["fleet"]["agents"]}
    assert names == {arn.rpartition("/")[2] for arn in cloud.tasks.arns}  # from the metadata endpoint
    assert len(names) == 4
    assert cloud.left() == []
    for arn in cloud.tasks.arns:
        assert "dismissed: the run is over" in cloud.tasks.output(arn)
        assert "heyfleet-token" not in cloud.tasks.output(arn)


def test_a_reclaimed_spot_task_hands_over_its_results(cloud: Cloud, fleet: Fleet, target: str) -> None:
    run = cloud.run(
        fleet,
        2,
        "--with",
        "spot=true",
        "-z",
        "15s",
        "-c",
        "4",
        "--lost-timeout",
        "5s",
        f"{target}/ok?delay=2ms",
    )
    run.wait_for("running: ", 90)
    cloud.tasks.notice(2)
    until(lambda: len(cloud.tasks.running) == 1, 60)
    assert run.end(90) == 0, run.stderr
    adds_up(run.report)
    assert run.report["fleet"]["agents_lost"] == 0
    parts = {agent["agent"].rpartition("-")[0]: agent["responses"] for agent in run.report["fleet"]["agents"]}
    stayed, went = (parts[arn.rpartition("/")[2]] for arn in cloud.tasks.arns)
    assert 0 < went < stayed
    assert went + stayed == run.report["ledger"]["responses"]
    assert cloud.left() == []


REASON = "CannotPullContainerError: pull image manifest has been retried 5 time(s)"


def test_a_task_that_never_ran_is_replaced(cloud: Cloud, fleet: Fleet, target: str) -> None:
    cloud.tasks.refuse = lambda number: REASON if number == 2 else ""
    run = cloud.run(fleet, 3, "-n", "300", "-c", "3", f"{target}/ok")
    assert run.end(120) == 0, run.stderr
    assert re.search(rf"replacing [0-9a-f-]+, which never ran: {re.escape(REASON)}", run.stderr)
    assert run.report["ledger"]["responses"] == 300
    assert len(run.report["fleet"]["agents"]) == len(cloud.tasks.arns) == 3
    assert cloud.left() == []


def test_tasks_that_never_run_are_reported_with_the_reason(cloud: Cloud, fleet: Fleet, target: str) -> None:
    cloud.tasks.refuse = lambda number: REASON if number >= 3 else ""
    run = cloud.run(fleet, 3, "--join-timeout", "60s", "-n", "10", f"{target}/ok")
    assert run.end(120) == 2, run.stderr
    assert REASON in run.stderr
    assert len(cloud.tasks.arns) == 2
    assert cloud.left() == []


def test_ctrl_c_removes_the_tasks(cloud: Cloud, fleet: Fleet, target: str) -> None:
    run = cloud.run(fleet, 2, "-z", "300s", "-c", "4", f"{target}/ok?delay=2ms")
    run.wait_for("running: ", 90)
    run.signal(signal.SIGINT)
    run.end(120)
    adds_up(run.report)
    assert run.report["ledger"]["responses"] > 0
    assert cloud.left() == []


def test_a_task_ends_after_its_lifetime(cloud: Cloud, fleet: Fleet, target: str) -> None:
    run = cloud.run(fleet, 1, "--for", "15s", "-z", "300s", "-c", "2", f"{target}/ok?delay=2ms")
    run.wait_for("running: ", 90)
    run.process.kill()  # no one else can end the task
    run.end()
    assert len(cloud.tasks.running) == 1
    until(lambda: not cloud.tasks.running, 90)
    gone = fleet.start("fleet", "reap", "--on", "ecs", *cloud.settings)
    assert gone.end() == 0, gone.stderr
    assert cloud.left() == []
