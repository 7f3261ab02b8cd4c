"""A thousand and more instances against a model of RunInstances: its documented rates, short capacity, lost answers."""

from __future__ import annotations

import random
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from heyfleet.deploy.ec2.run_instances import InstanceLauncher

from ..clock import Clock


class Api:
    """RunInstances as AWS documents it: two token buckets, ClientToken, as many as there is room for."""

    def __init__(self, clock: Clock, seed: int, room: dict[str, int]) -> None:
        self._clock = clock
        self._chance = random.Random(seed)
        self.room = room
        self.running = 0
        self.throttled = 0
        self.wanted = 0  # never to be passed
        self._made: dict[str, list[dict[str, Any]]] = {}
        self._requests, self._instances, self._at_s = 5.0, 1000.0, 0.0
        self.lose = 0.0  # the share of answers that never arrive
        self.others = 0.0  # of requests that meet a bucket which somebody else of the account has emptied

    def run_instances(self, *, MinCount: int, MaxCount: int, ClientToken: str, **more: Any) -> dict[str, Any]:
        elapsed = self._clock.now_s - self._at_s
        self._at_s = self._clock.now_s
        self._requests = min(5, self._requests + 2 * elapsed)
        self._instances = min(1000, self._instances + 2 * elapsed)
        if self._requests < 1 - 1e-9 or self._instances < MaxCount - 1e-6:
            self.throttled += 1
            raise self._error("RequestLimitExceeded")
        if self._chance.random() < self.others:
            raise self._error("RequestLimitExceeded")
        self._requests -= 1
        if ClientToken not in self._made:
            place = more.get("SubnetId", "")
            got = min(MaxCount, self.room.get(place, 0))
            if got < MinCount:
                raise self._error("InsufficientInstanceCapacity")
            self.room[place] -= got
            self._instances -= got
            self._made[ClientToken] = [{"InstanceId": f"i-{self.running + n}"} for n in range(got)]
            self.running += got
            assert self.running <= self.wanted
        if self._chance.random() < self.lose:
            raise ReadTimeoutError(endpoint_url="https://ec2")
        return {"Instances": self._made[ClientToken]}

    @staticmethod
    def _error(code: str) -> ClientError:
        return ClientError({"Error": {"Code": code, "Message": "no"}}, "RunInstances")


def launched(
    count: int, seed: int, room: dict[str, int], **faults: float
) -> tuple[InstanceLauncher, Api, Clock]:
    clock = Clock()
    api = Api(clock, seed, room)
    api.wanted = count
    for name, value in faults.items():
        setattr(api, name, value)
    launching = InstanceLauncher(api, lambda text: None, clock.now, clock.sleep)
    launching.launch(count, {}, [place for place in room if place])
    return launching, api, clock


def test_a_thousand_within_the_documented_rates() -> None:
    launching, api, _ = launched(1000, 1, {"": 5000})
    assert len({each["InstanceId"] for each in launching.started}) == api.running == 1000
    assert (launching.failures, api.throttled) == ([], 0)


def test_beyond_the_bucket_it_waits_as_long_as_the_bucket_fills() -> None:
    launching, api, clock = launched(1500, 1, {"": 5000})
    assert len(launching.started) == api.running == 1500
    assert api.throttled == 0
    assert 240 <= clock.now_s <= 320  # 500 at 2 a second


@pytest.mark.parametrize("seed", range(40))
def test_never_one_more_whatever_is_lost_throttled_or_short(seed: int) -> None:
    room = {"a": 130, "b": 0, "c": 477, "d": 5000}
    launching, api, _ = launched(1000, seed, room, lose=0.1, others=0.1)
    ids = {each["InstanceId"] for each in launching.started}
    assert len(ids) == len(launching.started) == api.running == 1000
    assert any("b: InsufficientInstanceCapacity" in line for line in launching.failures)


def test_what_can_t_be_had_is_said() -> None:
    launching, api, _ = launched(1000, 3, {"a": 130, "b": 70})
    assert len(launching.started) == api.running == 200
    launching, api, _ = launched(10, 3, {"": 0})
    assert launching.started == []
    assert launching.failures == [
        "ec2: InsufficientInstanceCapacity: no; use subnets in other zones, another instance type, or fewer agents"
    ]


def test_it_gives_up_where_no_answer_ever_comes_and_starts_no_more() -> None:
    launching, api, _ = launched(250, 1, {"": 5000}, lose=1.0)
    assert launching.started == []
    assert len(launching.failures) == 1
    assert api.running == 100  # of one batch, whose tags say whose they are: stop and reap find them
