"""Listing and ending instances within EC2's documented rates, and beyond them."""

from __future__ import annotations

from typing import Any

import pytest

from heyfleet.deploy.ec2.provider import Ec2Provider
from heyfleet.deploy.settings import read
from heyfleet.errors import DeployError

from ..aws.throttling import Limit, Throttling
from ..clock import Clock
from .account import Account, launch_request, quiet
from .test_provider import aws

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
__all__ = ["aws"]


def limits(clock: Clock) -> Throttling:
    """Return the limits of https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html."""
    kinds = [
        Limit({"RunInstances"}, 5, 2),
        Limit({"DescribeInstances"}, 100, 20),
        Limit({"GetConsoleOutput"}, 100, 20),
        Limit({"TerminateInstances"}, 100, 5),
        Limit({"TerminateInstances"}, 1000, 20, lambda arguments: len(arguments["InstanceIds"])),
    ]
    return Throttling(clock, "RequestLimitExceeded", kinds)


class Api:
    """A client with thousands of instances, for which moto would take minutes; also the session that returns it."""

    def __init__(self, count: int, rates: Throttling) -> None:
        self.states = {f"i-{number}": "running" for number in range(count)}
        self._rates = rates

    def client(self, *_: object, **__: object) -> Api:
        return self

    def describe_instances(
        self, *, Filters: list[dict[str, Any]], MaxResults: int = 1000, NextToken: str = "0"
    ) -> dict[str, Any]:
        self._rates.admit("DescribeInstances", {})
        (wanted,) = Filters
        ids = wanted["Values"] if wanted["Name"] == "instance-id" else list(self.states)
        start, end = int(NextToken), int(NextToken) + MaxResults
        instances = [{"InstanceId": each, "State": {"Name": self.states[each]}} for each in ids[start:end]]
        more = {"NextToken": str(end)} if end < len(ids) else {}
        return {"Reservations": [{"Instances": [each]} for each in instances], **more}

    def terminate_instances(self, *, InstanceIds: list[str]) -> None:
        self._rates.admit("TerminateInstances", {"InstanceIds": InstanceIds})
        self.states.update(dict.fromkeys(InstanceIds, "terminated"))


def test_many_instances_are_ended_at_the_documented_rate() -> None:
    clock = Clock()
    rates = limits(clock)
    api = Api(2300, rates)
    provider = Ec2Provider(read("ec2", Ec2Provider.settings, {}), clock.sleep, lambda **_: api, clock.now)
    assert len(provider.stop("demo", quiet)) == 2300
    assert set(api.states.values()) == {"terminated"}
    assert rates.calls["TerminateInstances"] == 12
    assert not rates.refused
    assert 65 <= clock.now_s <= 66  # 1,000 at once, 1,300 at 20 per second


def test_calls_throttled_because_of_others_are_repeated(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.install(monkeypatch)
    rates.others = 0.4
    for number in range(6):
        fleet = f"f{number}"
        result = aws.provider(clock).launch(launch_request(2, fleet), quiet)
        assert (len(result.instances), result.failures) == (2, [])
        assert len(aws.provider(clock).list(fleet)) == 2
        assert len(list(aws.provider(clock).logs(fleet))) == 2
        assert len(aws.provider(clock).stop(fleet, quiet)) == 3
    operations = ("RunInstances", "DescribeInstances", "GetConsoleOutput", "TerminateInstances")
    assert min(rates.refused[name] for name in operations) > 0
    rates.others = 0
    assert aws.left() == []


def test_endless_throttling_is_reported_and_the_fleet_can_still_be_removed(
    aws: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rates = limits(clock)
    rates.install(monkeypatch)
    rates.others = 1
    reason = "RequestLimitExceeded: Rate exceeded; still throttled after 8 attempts in 127 s"
    result = aws.provider(clock).launch(launch_request(250), quiet)
    assert result.instances == []
    assert len(result.failures) == 1
    assert reason in result.failures[0]
    assert rates.calls["RunInstances"] == 8  # those of one batch; no other is started
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
