"""A fleet for one run: who is waited for, and that it is removed whatever ends the run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest

from heyfleet.deploy.lifecycle import run_fleet as for_run
from heyfleet.deploy.lifecycle.run_fleet import RunFleet
from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    DeployError,
    Instance,
    Instances,
    LaunchPlan,
    LaunchRequest,
    LaunchResult,
    Lines,
    Say,
)
from heyfleet.deploy.settings import Setting


class Scripted:
    """An engine that does as it is told: only the clouds that it stands for can't be had here."""

    settings: ClassVar[tuple[Setting, ...]] = ()
    tunnels: ClassVar[bool] = True

    def __init__(self, launch: Callable[[LaunchRequest, Say], LaunchResult]) -> None:
        self._launch = launch
        self.removed: list[str] = []
        self.closed = 0
        self.fault = ""
        self.listed: Instances = []

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        return LaunchPlan(makes=[f"{order.agents} at {order.join}"], usd_an_hour=1.5, price_source="a list")

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        return self._launch(order, say)

    def list(self, fleet: str = "") -> Instances:
        return self.listed

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        return []

    def stop(self, fleet: str, say: Say) -> Lines:
        if self.fault:
            raise DeployError(self.fault)
        self.removed.append(fleet)
        return ["a thing"]

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        return []

    def close(self) -> None:
        self.closed += 1


def unit(number: int, state: str = RUNNING, reason: str = "") -> Instance:
    return Instance(fleet="f", id=f"i{number}", name=f"a{number}", state=state, reason=reason)


def fleet_of(engine: Scripted, said: list[str], **more: Any) -> RunFleet:
    return RunFleet(
        engine, name="f", agents=3, lifetime_s=60, remedy="heyfleet fleet down", complain=said.append, **more
    )


def launched(fleet: RunFleet, said: list[str]) -> None:
    """Started, and the launch is over."""
    fleet.start(7700, b"ca", b"token", said.append)
    deadline = time.monotonic() + 10
    while not (fleet.absent() or fleet.awaited() or said) and time.monotonic() < deadline:
        time.sleep(0.005)


def test_as_many_are_absent_as_are_missing() -> None:
    engine = Scripted(lambda order, say: LaunchResult(units=[unit(1)], failures=["zone a: full"]))
    said: list[str] = []
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert fleet.absent() == ["zone a: full", "zone a: full"]
    assert (engine.removed, engine.closed) == (["f"], 1)


def test_a_failure_that_was_made_good_is_said_and_nobody_is_absent() -> None:
    engine = Scripted(
        lambda order, say: LaunchResult(units=[unit(1), unit(2), unit(3)], failures=["zone a: full"])
    )
    said: list[str] = []
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert said == ["replaced zone a: full"]
        assert fleet.absent() == []


def test_who_was_replaced_is_not_absent_for_having_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(for_run, "_LOOK_EVERY_S", 0.01)
    engine = Scripted(lambda order, say: LaunchResult(units=[unit(1), unit(2), unit(4)], replaced=["i3"]))
    engine.listed = [unit(1), unit(2), unit(3, ENDED, "no network"), unit(4, ENDED, "later")]
    said: list[str] = []
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert fleet.absent() == ["a4: later"]


def test_an_earlier_fleet_of_the_same_name_is_not_taken_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(for_run, "_LOOK_EVERY_S", 0.01)

    def launch(order: LaunchRequest, say: Say) -> LaunchResult:
        engine.listed = [*engine.listed, unit(2), unit(3), unit(4, ENDED, "no bundle")]
        return LaunchResult(units=[unit(2), unit(3), unit(4)])

    engine = Scripted(launch)
    engine.listed = [unit(1, ENDED, "its time")]
    said: list[str] = []
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert fleet.absent() == ["a4: no bundle"]


def test_those_that_ended_are_absent_and_those_that_start_are_awaited() -> None:
    units = [unit(1), unit(2, ENDED, "no bundle"), unit(3, STARTING, "pulling the image")]
    engine = Scripted(lambda order, say: LaunchResult(units=units))
    said: list[str] = []
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert fleet.absent() == ["a2: no bundle"]
        assert fleet.awaited() == ["a3: starting: pulling the image"]


@pytest.mark.parametrize("error", [DeployError("refused"), ValueError("of ours")])
def test_a_launch_that_fails_leaves_all_absent(error: Exception) -> None:
    def launch(order: LaunchRequest, say: Say) -> LaunchResult:
        raise error

    engine, said = Scripted(launch), list[str]()
    with fleet_of(engine, said) as fleet:
        launched(fleet, said)
        assert len(fleet.absent()) == 3
        assert str(error) in fleet.absent()[0]
    assert engine.removed == ["f"]


def test_the_end_of_the_run_ends_a_launch_that_goes_on() -> None:
    steps, go_on = list[str](), threading.Event()

    def launch(order: LaunchRequest, say: Say) -> LaunchResult:
        while True:
            say("a step")
            steps.append("done")
            go_on.wait(0.01)

    engine = Scripted(launch)
    with fleet_of(engine, []) as fleet:
        fleet.start(7700, b"ca", b"token", steps.append)
        while not steps:
            time.sleep(0.005)
    assert engine.removed == ["f"]


def test_what_can_t_be_removed_is_said_with_the_command_that_can() -> None:
    engine, said = Scripted(lambda order, say: LaunchResult(units=[unit(1)] * 3)), list[str]()
    engine.fault = "the cloud is away"
    with fleet_of(engine, said) as fleet:
        fleet.start(7700, b"ca", b"token", said.append)
    assert said == ["not all could be removed: the cloud is away; `heyfleet fleet down --name f` tries again"]
    assert engine.closed == 1


def test_kept_it_is_not_removed() -> None:
    engine, said = Scripted(lambda order, say: LaunchResult(units=[unit(1)] * 3)), list[str]()
    with fleet_of(engine, said, keep=True) as fleet:
        fleet.start(7700, b"ca", b"token", said.append)
    assert engine.removed == []
    assert said == ["the fleet f is kept; `heyfleet fleet down --name f` removes it"]


def test_without_a_start_nothing_is_asked_of_the_engine() -> None:
    engine = Scripted(lambda order, say: LaunchResult())
    with fleet_of(engine, []) as fleet:
        assert fleet.loopback
        assert fleet.plan_lines(7700) == ["3 at 127.0.0.1:7700", "costs: 1.500 USD an hour (a list)"]
    assert (engine.removed, engine.closed) == ([], 1)
    with fleet_of(engine, [], join="boss:1") as fleet:
        assert not fleet.loopback
        assert fleet.plan_lines(7700)[0] == "3 at boss:1"
