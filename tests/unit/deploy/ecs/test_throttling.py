"""Listing and ending tasks within ECS's documented rates, and beyond them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from heyfleet.deploy.ecs.inventory import FleetInventory
from heyfleet.errors import DeployError

from ..aws.throttling import Limit, Throttling
from ..clock import Clock
from ..ec2.account import launch_request, quiet
from .test_provider import Account, aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]


def limits(clock: Clock) -> Throttling:
    """Return the limits of https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html."""
    kinds = [
        Limit({"RunTask", "StopTask"}, 100, 40),
        Limit({"DescribeTasks", "ListTasks"}, 100, 20),
        Limit({"RegisterTaskDefinition", "DeregisterTaskDefinition"}, 20, 1),
        Limit({"DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"}, 50, 20),
    ]
    return Throttling(clock, "ThrottlingException", kinds)


def test_many_tasks_are_ended_at_the_documented_rate(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.install(monkeypatch)
    result = aws.provider(clock).launch(launch_request(300), quiet)
    assert (len(result.instances), result.failures) == (300, [])
    clock.sleep(60)  # the duration of a run
    begun_s = clock.now_s
    assert len(aws.provider(clock).stop("demo", quiet)) == 302
    assert rates.calls["StopTask"] == 300
    assert not rates.refused
    assert 5 <= clock.now_s - begun_s <= 6  # 100 at once, 200 at 40 per second
    assert aws.left() == []


def test_many_fleets_are_reaped_without_throttling(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        aws.provider().launch(launch_request(1, f"f{number}", lifetime_s=-1), quiet)
    clock = Clock()
    rates = limits(clock)
    rates.install(monkeypatch)
    assert len(aws.provider(clock).reap(quiet)) == 90
    assert not rates.refused
    assert aws.left() == []


def test_calls_throttled_because_of_others_are_repeated(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.install(monkeypatch)
    rates.others = 0.3
    assert len(aws.provider(clock).launch(launch_request(40), quiet).instances) == 40
    for _ in range(5):
        assert len(aws.provider(clock).list("demo")) == 40
    assert len(aws.provider(clock).stop("demo", quiet)) == 42
    assert min(rates.refused[name] for name in ("StopTask", "DescribeTasks", "ListTasks")) > 0
    rates.others = 0
    assert aws.left() == []


def test_endless_throttling_is_reported_and_the_fleet_can_still_be_removed(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    aws.provider(clock).launch(launch_request(2), quiet)
    rates = limits(clock)
    rates.install(monkeypatch)
    rates.others = 1
    with pytest.raises(
        DeployError, match="ThrottlingException: Rate exceeded; still throttled after 8 attempts in 127 s"
    ):
        aws.provider(clock).stop("demo", quiet)
    rates.others = 0
    assert len(aws.provider(clock).stop("demo", quiet)) == 4


def test_all_pages_of_task_definitions_are_read() -> None:
    class Api:
        """A client with three pages of task definitions that are not ours."""

        def list_task_definition_families(self, *, nextToken: str = "0", **_: object) -> dict[str, object]:
            number = int(nextToken)
            more = {"nextToken": str(number + 1)} if number < 2 else {}
            return {"families": [f"heyfleet-{number}"], **more}

        def describe_task_definition(self, *, taskDefinition: str, include: list[str]) -> None:
            calls.append(taskDefinition)
            raise ClientError({"Error": {"Code": "ClientException", "Message": "no"}}, "")

    calls: list[str] = []
    clock = Clock()
    assert list(FleetInventory(Api(), None, "load", clock.now, clock.sleep).with_definition()) == []
    assert calls == ["heyfleet-0", "heyfleet-1", "heyfleet-2"]
