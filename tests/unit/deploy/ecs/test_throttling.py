"""Looking for tasks and ending them, within ECS's documented rates and beyond them."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from heyfleet.deploy.ecs.inventory import FleetInventory
from heyfleet.errors import DeployError

from ..aws.throttling import Kind, Throttling
from ..clock import Clock
from ..ec2.account import launch_request, quiet
from .test_provider import Account, aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]


def limits(clock: Clock) -> Throttling:
    """https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html"""
    kinds = [
        Kind({"RunTask", "StopTask"}, 100, 40),
        Kind({"DescribeTasks", "ListTasks"}, 100, 20),
        Kind({"RegisterTaskDefinition", "DeregisterTaskDefinition"}, 20, 1),
        Kind({"DescribeTaskDefinition", "ListTaskDefinitions", "ListTaskDefinitionFamilies"}, 50, 20),
    ]
    return Throttling(clock, "ThrottlingException", kinds)


def test_many_tasks_are_ended_as_fast_as_they_may_be(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.over(monkeypatch)
    made = aws.provider(clock).launch(launch_request(300), quiet)
    assert (len(made.instances), made.failures) == (300, [])
    clock.sleep(60)  # the run
    begun_s = clock.now_s
    assert len(aws.provider(clock).stop("demo", quiet)) == 302
    assert rates.made["StopTask"] == 300
    assert not rates.refused
    assert 5 <= clock.now_s - begun_s <= 6  # 100 at once, 200 at 40 a second
    assert aws.left() == []


def test_many_fleets_are_reaped_as_fast_as_they_may_be(aws: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        aws.provider().launch(launch_request(1, f"f{number}", lifetime_s=-1), quiet)
    clock = Clock()
    rates = limits(clock)
    rates.over(monkeypatch)
    assert len(aws.provider(clock).reap(quiet)) == 90
    assert not rates.refused
    assert aws.left() == []


def test_what_others_of_the_account_have_used_up_is_asked_for_again(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.over(monkeypatch)
    rates.others = 0.3
    assert len(aws.provider(clock).launch(launch_request(40), quiet).instances) == 40
    for _ in range(5):
        assert len(aws.provider(clock).list("demo")) == 40
    assert len(aws.provider(clock).stop("demo", quiet)) == 42
    assert min(rates.refused[name] for name in ("StopTask", "DescribeTasks", "ListTasks")) > 0
    rates.others = 0
    assert aws.left() == []


def test_where_it_never_ends_the_reason_is_said_and_what_there_is_stays_findable(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    aws.provider(clock).launch(launch_request(2), quiet)
    rates = limits(clock)
    rates.over(monkeypatch)
    rates.others = 1
    with pytest.raises(
        DeployError, match="ThrottlingException: Rate exceeded; still throttled after 8 attempts in 127 s"
    ):
        aws.provider(clock).stop("demo", quiet)
    rates.others = 0
    assert len(aws.provider(clock).stop("demo", quiet)) == 4


def test_pages_of_families_are_all_read() -> None:
    class Api:
        """Three pages, and no fleet of ours."""

        def list_task_definition_families(self, *, nextToken: str = "0", **_: object) -> dict[str, object]:
            number = int(nextToken)
            more = {"nextToken": str(number + 1)} if number < 2 else {}
            return {"families": [f"heyfleet-{number}"], **more}

        def describe_task_definition(self, *, taskDefinition: str, include: list[str]) -> None:
            asked.append(taskDefinition)
            raise ClientError({"Error": {"Code": "ClientException", "Message": "no"}}, "")

    asked: list[str] = []
    clock = Clock()
    assert list(FleetInventory(Api(), None, "load", clock.now, clock.sleep).with_definition()) == []
    assert asked == ["heyfleet-0", "heyfleet-1", "heyfleet-2"]
