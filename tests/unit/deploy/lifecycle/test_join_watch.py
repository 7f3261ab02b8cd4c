"""The instances that a fleet waits for, in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from heyfleet.deploy.lifecycle.join_watch import JoinWatch
from heyfleet.deploy.provider import ENDED, STARTING, Instances, LaunchResult
from heyfleet.errors import DeployError

from ..clock import Clock
from .scripted import ScriptedProvider, instance


def watch_of(provider: ScriptedProvider, clock: Clock) -> JoinWatch:
    return JoinWatch(provider, "f", now=clock.now, sleep=clock.sleep)


def never() -> bool:
    return False


def provider_listing(listing: Callable[[], Instances]) -> ScriptedProvider:
    provider = ScriptedProvider(lambda request, log: LaunchResult())
    provider.list = lambda fleet="": listing()  # type: ignore[method-assign]
    return provider


def test_the_wait_ends_when_its_condition_holds_or_at_the_deadline() -> None:
    clock = Clock()
    watch = watch_of(provider_listing(list), clock)
    assert watch.wait(lambda: clock.now_s >= 7, deadline_s=20)
    assert clock.now_s == 7
    assert not watch.wait(never, deadline_s=20)
    assert clock.now_s == 20


def test_the_provider_is_asked_every_five_seconds() -> None:
    clock, asked_at = Clock(), list[float]()

    def listing() -> Instances:
        asked_at.append(clock.now_s)
        return []

    watch_of(provider_listing(listing), clock).wait(never, deadline_s=21)
    assert asked_at == [5, 10, 15, 20]


def test_a_provider_that_fails_is_asked_again_and_what_is_known_stays() -> None:
    clock = Clock()

    def listing() -> Instances:
        if clock.now_s < 10:
            raise DeployError("throttled")
        return [instance(1, ENDED, "no network")]

    watch = watch_of(provider_listing(listing), clock)
    watch.follow(LaunchResult(instances=[instance(1, STARTING, "pulling the image")]))
    watch.wait(never, deadline_s=9)
    assert [each.reason for each in watch.pending()] == ["pulling the image"]
    watch.wait(never, deadline_s=11)
    assert [each.reason for each in watch.ended()] == ["no network"]
    assert watch.pending() == []


def test_instances_of_an_earlier_fleet_and_replaced_ones_are_ignored() -> None:
    clock = Clock()
    listed = [instance(1, ENDED, "its time was over")]
    watch = watch_of(provider_listing(lambda: listed), clock)
    assert [each.id for each in watch.list_earlier()] == ["i1"]
    watch.follow(LaunchResult(instances=[instance(2), instance(4)], replaced=["i3"]))
    listed += [instance(2, ENDED, "no bundle"), instance(3, ENDED, "no network"), instance(4)]
    watch.wait(never, deadline_s=6)
    assert [each.id for each in watch.ended()] == ["i2"]
    assert watch.find("i4") is not None
    assert watch.find("i1") is None


def test_an_id_that_the_launch_returns_is_watched_even_if_an_earlier_fleet_had_it() -> None:
    clock = Clock()  # ssh's ids are host names
    watch = watch_of(provider_listing(lambda: [instance(1, ENDED, "killed")]), clock)
    watch.list_earlier()
    watch.follow(LaunchResult(instances=[instance(1)]))
    watch.wait(never, deadline_s=6)
    assert [each.id for each in watch.ended()] == ["i1"]
