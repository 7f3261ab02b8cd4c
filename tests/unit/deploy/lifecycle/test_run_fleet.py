"""A fleet for one run: which agents will never join, and that it is removed however the run ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from heyfleet.deploy.fleet_spec import FleetSpec
from heyfleet.deploy.lifecycle import join_watch
from heyfleet.deploy.lifecycle.run_fleet import RunFleet
from heyfleet.deploy.provider import ENDED, STARTING, Instance, LaunchRequest, LaunchResult, Log
from heyfleet.errors import DeployError

from .scripted import ScriptedProvider, instance


@pytest.fixture(autouse=True)
def _fast_refresh(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_POLL_S", "_REFRESH_S"):
        monkeypatch.setattr(join_watch, name, 0.005)


def fleet_of(provider: ScriptedProvider, log: list[str], *, join: str = "", **more: Any) -> RunFleet:
    spec = FleetSpec(on="x", provider=provider, name="f", agents=3, join=join, lifetime_s=60)
    return RunFleet(spec, removal_command="heyfleet fleet down", log_warning=log.append, **more)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.005)


def start(fleet: RunFleet, log: list[str]) -> None:
    fleet.start(7700, b"ca", b"token", log.append)


def launching(*instances: Instance, **more: Any) -> ScriptedProvider:
    """A provider that launches these instances, and lists them."""
    provider = ScriptedProvider(lambda request, log: LaunchResult(instances=list(instances), **more))
    provider.listed = list(instances)
    return provider


def test_each_missing_agent_has_a_line() -> None:
    provider, log = launching(instance(1), failures=["zone a: full"]), list[str]()
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(fleet.absent_agents)
        assert fleet.absent_agents() == ["zone a: full", "zone a: full"]
    assert (provider.removed, provider.closed) == (["f"], 1)


def test_a_failure_that_another_instance_made_good_is_only_logged() -> None:
    instances = (instance(1), instance(2), instance(3))
    provider, log = launching(*instances, failures=["zone a: full"]), list[str]()
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(lambda: log)
        assert log == ["replaced zone a: full"]
        assert fleet.absent_agents() == []


def test_a_replaced_instance_is_not_absent() -> None:
    provider, log = launching(instance(1), instance(2), instance(4), replaced=["i3"]), list[str]()

    def launch(request: LaunchRequest, log: Log) -> LaunchResult:
        provider.listed = [
            instance(1),
            instance(2),
            instance(3, ENDED, "no network"),
            instance(4, ENDED, "later"),
        ]
        return LaunchResult(instances=[instance(1), instance(2), instance(4)], replaced=["i3"])

    provider = ScriptedProvider(launch)
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(fleet.absent_agents)
        assert fleet.absent_agents() == ["a4: later"]


def test_an_earlier_fleet_of_the_same_name_is_ignored() -> None:
    def launch(request: LaunchRequest, log: Log) -> LaunchResult:
        provider.listed = [*provider.listed, instance(2), instance(3), instance(4, ENDED, "no bundle")]
        return LaunchResult(instances=[instance(2), instance(3), instance(4)])

    provider, log = ScriptedProvider(launch), list[str]()
    provider.listed = [instance(1, ENDED, "its time was over")]
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(fleet.absent_agents)
        assert fleet.absent_agents() == ["a4: no bundle"]


def test_ended_instances_are_absent_and_starting_ones_are_awaited() -> None:
    instances = [instance(1), instance(2, ENDED, "no bundle"), instance(3, STARTING, "pulling the image")]
    provider = ScriptedProvider(lambda request, log: LaunchResult(instances=instances))
    log: list[str] = []
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(fleet.absent_agents)
        assert fleet.absent_agents() == ["a2: no bundle"]
        assert fleet.pending_agents() == ["a3: starting: pulling the image"]


@pytest.mark.parametrize("error", [DeployError("refused"), ValueError("a bug of ours")])
def test_after_a_failed_launch_all_agents_are_absent(error: Exception) -> None:
    def launch(request: LaunchRequest, log: Log) -> LaunchResult:
        raise error

    provider, log = ScriptedProvider(launch), list[str]()
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
        until(fleet.absent_agents)
        assert len(fleet.absent_agents()) == 3
        assert str(error) in fleet.absent_agents()[0]
    assert provider.removed == ["f"]


def test_the_end_of_the_run_cancels_a_launch() -> None:
    steps, pause = list[str](), threading.Event()

    def launch(request: LaunchRequest, log: Log) -> LaunchResult:
        while True:
            log("a step")
            steps.append("done")
            pause.wait(0.01)

    provider = ScriptedProvider(launch)
    with fleet_of(provider, []) as fleet:
        start(fleet, steps)
        until(lambda: steps)
    assert provider.removed == ["f"]


def test_a_failed_removal_is_logged_with_the_command_that_repeats_it() -> None:
    provider, log = launching(*[instance(1)] * 3), list[str]()
    provider.stop_error = "the cloud is away"
    with fleet_of(provider, log) as fleet:
        start(fleet, log)
    assert log == [
        "not everything was removed: the cloud is away; to try again, run `heyfleet fleet down --name f`"
    ]
    assert fleet.may_be_left
    assert provider.closed == 1


def test_a_kept_fleet_is_not_removed() -> None:
    provider, log = launching(*[instance(1)] * 3), list[str]()
    with fleet_of(provider, log, keep=True) as fleet:
        start(fleet, log)
    assert provider.removed == []
    assert log == ["the fleet f is kept; `heyfleet fleet down --name f` removes it"]


def test_a_plan_launches_nothing() -> None:
    provider = ScriptedProvider(lambda request, log: LaunchResult())
    with fleet_of(provider, []) as fleet:
        assert fleet.loopback
        assert fleet.plan_lines(7700) == ["3 at 127.0.0.1:7700", "cost: 1.500 USD per hour (a list)"]
    assert (provider.requests, provider.removed, provider.closed) == ([], [], 1)
    with fleet_of(provider, [], join="boss:1") as fleet:
        assert not fleet.loopback
        assert fleet.plan_lines(7700)[0] == "3 at boss:1"
