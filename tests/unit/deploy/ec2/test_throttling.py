"""Looking for instances and ending them, within EC2's documented rates and beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.deploy.ec2.provider import Ec2Provider
from heyfleet.deploy.settings import read
from heyfleet.errors import DeployError

from ..aws.throttling import Kind, Throttling
from ..clock import Clock
from .account import Account, launch_request, quiet
from .test_provider import aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]


def limits(clock: Clock) -> Throttling:
    """https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html"""
    kinds = [
        Kind({"RunInstances"}, 5, 2),
        Kind({"DescribeInstances"}, 100, 20),
        Kind({"GetConsoleOutput"}, 100, 20),
        Kind({"TerminateInstances"}, 100, 5),
        Kind({"TerminateInstances"}, 1000, 20, lambda arguments: len(arguments["InstanceIds"])),
    ]
    return Throttling(clock, "RequestLimitExceeded", kinds)


class Api:
    """Instances by the thousand, for which moto needs a second a hundred; also the session that gives this client."""

    def __init__(self, count: int, rates: Throttling) -> None:
        self.states = {f"i-{number}": "running" for number in range(count)}
        self._rates = rates

    def client(self, *_: object, **__: object) -> Api:
        return self

    def describe_instances(
        self, *, Filters: list[dict[str, Any]], MaxResults: int = 1000, NextToken: str = "0"
    ) -> dict[str, Any]:
        self._rates.let("DescribeInstances", {})
        (wanted,) = Filters
        ids = wanted["Values"] if wanted["Name"] == "instance-id" else list(self.states)
        start, end = int(NextToken), int(NextToken) + MaxResults
        found = [{"InstanceId": each, "State": {"Name": self.states[each]}} for each in ids[start:end]]
        more = {"NextToken": str(end)} if end < len(ids) else {}
        return {"Reservations": [{"Instances": [each]} for each in found], **more}

    def terminate_instances(self, *, InstanceIds: list[str]) -> None:
        self._rates.let("TerminateInstances", {"InstanceIds": InstanceIds})
        self.states.update(dict.fromkeys(InstanceIds, "terminated"))


def test_many_instances_are_ended_as_fast_as_they_may_be() -> None:
    clock = Clock()
    rates = limits(clock)
    api = Api(2300, rates)
    provider = Ec2Provider(read("ec2", Ec2Provider.settings, {}), clock.sleep, lambda **_: api, clock.now)
    assert len(provider.stop("demo", quiet)) == 2300
    assert set(api.states.values()) == {"terminated"}
    assert rates.made["TerminateInstances"] == 12
    assert not rates.refused
    assert 65 <= clock.now_s <= 66  # 1,000 at once, 1,300 at 20 a second


def test_what_others_of_the_account_have_used_up_is_asked_for_again(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.over(monkeypatch)
    rates.others = 0.4
    for number in range(6):
        fleet = f"f{number}"
        made = aws.provider(clock).launch(launch_request(2, fleet), quiet)
        assert (len(made.instances), made.failures) == (2, [])
        assert len(aws.provider(clock).list(fleet)) == 2
        assert len(list(aws.provider(clock).logs(fleet))) == 2
        assert len(aws.provider(clock).stop(fleet, quiet)) == 3
    asked = ("RunInstances", "DescribeInstances", "GetConsoleOutput", "TerminateInstances")
    assert min(rates.refused[name] for name in asked) > 0
    rates.others = 0
    assert aws.left() == []


def test_where_it_never_ends_the_reason_is_said_and_what_there_is_stays_findable(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.over(monkeypatch)
    rates.others = 1
    reason = "RequestLimitExceeded: Rate exceeded; still throttled after 8 attempts in 127 s"
    made = aws.provider(clock).launch(launch_request(250), quiet)
    assert made.instances == []
    assert len(made.failures) == 1
    assert reason in made.failures[0]
    assert rates.made["RunInstances"] == 8  # one batch's, and no other is begun
    assert 127 <= clock.now_s <= 128
    rates.others = 0
    assert aws.left() == []
    aws.provider(clock).launch(launch_request(2), quiet)
    rates.others = 1
    with pytest.raises(DeployError, match=reason):
        aws.provider(clock).stop("demo", quiet)
    rates.others = 0
    assert len(aws.provider(clock).stop("demo", quiet)) == 3
    assert aws.left() == []
