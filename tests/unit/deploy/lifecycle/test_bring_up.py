"""`heyfleet fleet up`: how long it waits for agents, and for whom no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from heyfleet.controller.client import Controller
from heyfleet.deploy.lifecycle import bring_up as raising
from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
from heyfleet.deploy.provider import ENDED, LaunchRequest, LaunchResult
from heyfleet.proto.control_pb2 import RosterAgent

from .test_run_fleet import Scripted, unit

ORDER = LaunchRequest(fleet="f", agents=3, join="boss:7700", ca_pem=b"", token=b"", lifetime_s=60)


class Roster:
    """A controller that agents join one after the other, one each time that it is asked; one named twice lets others wait."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._asked = -1  # the first time is before the launch

    def roster(self) -> SimpleNamespace:
        names = dict.fromkeys(self._names[: max(0, self._asked)])
        here = [RosterAgent(agent=f"{name}-0a1b", attached=True) for name in names]
        self._asked += 1
        return SimpleNamespace(agents=here, turned_away=[])

    def token(self, agents: int, seconds: float) -> tuple[bytes, bytes]:
        return b"ca", b"token"


def raised(engine: Scripted, roster: Roster, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, list[str]]:
    for name in ("_ASK_EVERY_S", "_LOOK_EVERY_S"):
        monkeypatch.setattr(raising, name, 0.001)
    said: list[str] = []
    made = FleetBringUp(engine, cast(Controller, roster), ORDER, 3, said.append)
    return made.raise_all(60), said


def test_who_was_replaced_is_not_taken_for_one_of_those_that_are_awaited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = Scripted(lambda order, say: LaunchResult(units=[unit(1), unit(2), unit(4)], replaced=["i3"]))
    engine.listed = [unit(1), unit(2), unit(3, ENDED, "no network"), unit(4)]
    # The first look at the fleet must find nothing of it that runs.
    listed: list[Any] = [[], engine.listed]
    monkeypatch.setattr(engine, "list", lambda fleet="": listed.pop(0) if len(listed) > 1 else listed[0])
    good, said = raised(engine, Roster("a1", "a2", "a2", "a2", "a2", "a4"), monkeypatch)
    assert good, said
    assert said[-1].startswith("3 of 3 agents have joined")


def test_one_that_ended_is_not_awaited_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Scripted(lambda order, say: LaunchResult(units=[unit(1), unit(2), unit(3)]))
    engine.listed = [unit(3, ENDED, "no network")]
    good, said = raised(engine, Roster("a1", "a2"), monkeypatch)
    assert not good
    assert "not joined: a3: no network" in said
    assert said[-1].startswith("2 of 3 agents have joined")


def test_an_earlier_fleet_of_the_same_name_is_not_taken_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Scripted(lambda order, say: LaunchResult(units=[unit(4), unit(5), unit(6)]))
    engine.listed = [*(unit(number, ENDED, "its time") for number in (1, 2, 3)), unit(4), unit(5), unit(6)]
    listed: list[Any] = [engine.listed[:3], engine.listed]
    monkeypatch.setattr(engine, "list", lambda fleet="": listed.pop(0) if len(listed) > 1 else listed[0])
    good, said = raised(engine, Roster("a4", "a5", "a5", "a5", "a5", "a6"), monkeypatch)
    assert good, said
    assert said[-1].startswith("3 of 3 agents have joined")
