"""A fleet on its way up: launched, waited for until its agents have joined, with a reason for each that has not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from heyfleet.deploy.provider import (
    ENDED,
    RUNNING,
    STARTING,
    DeployError,
    LaunchRequest,
    LaunchResult,
    Provider,
)
from heyfleet.proto.control_pb2 import RosterAgent

if TYPE_CHECKING:
    from heyfleet.controller.client import Controller

_ASK_EVERY_S = 0.5
_LOOK_EVERY_S = 5.0


class FleetBringUp:
    """One fleet for a controller that keeps running."""

    def __init__(
        self,
        engine: Provider,
        controller: Controller,
        order: LaunchRequest,
        least: int,
        say: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._controller = controller
        self._order = order
        self._least = least
        self._say = say
        self.launched = False
        # What engines still say of an earlier fleet of the same name: EC2 knows terminated instances for about an hour.
        self._earlier: set[str] = set()

    def raise_all(self, wait_s: float) -> bool:
        """Whether enough agents have joined. DeployError, InputError where nothing was begun."""
        deadline_s = time.monotonic() + wait_s
        before = {each.agent for each in self._controller.roster().agents}
        self.refuse_if_there()
        return self.raise_agents(before, deadline_s)

    def refuse_if_there(self) -> None:
        """DeployError where the fleet is there already."""
        units = self._engine.list(self._order.fleet)
        self._earlier = {each.id for each in units}
        if here := [each for each in units if each.state in (STARTING, RUNNING)]:
            raise DeployError(
                f"the fleet {self._order.fleet} is there already ({here[0].id} and {len(here) - 1} more): "
                "`heyfleet fleet down` first, or another --name"
            )

    def raise_agents(self, before: set[str], deadline_s: float) -> bool:
        """Whether enough agents have joined beside those that were there before."""
        ca_pem, token = self._controller.token(self._order.agents, deadline_s - time.monotonic() + 60)
        self.launched = True
        made = self._engine.launch(replace(self._order, ca_pem=ca_pem, token=token), self._say)
        for line in made.failures:
            self._say(f"not started: {line}")
        joined, ended = self._wait(before, made, deadline_s)
        missing = self._order.agents - len(joined)
        if missing:
            names = {each.agent.rpartition("-")[0] for each in joined}
            for unit in made.units:
                if unit.name not in names:
                    self._say(
                        f"not joined: {unit.name}: {ended.get(unit.id) or 'started, but never heard of'}"
                    )
            for line in self._controller.roster().turned_away:
                self._say(f"turned away {line}")
        self._say(f"{len(joined)} of {self._order.agents} agents have joined{_what_they_have(joined)}")
        return len(joined) >= self._least

    def _wait(
        self, before: set[str], made: LaunchResult, deadline_s: float
    ) -> tuple[list[RosterAgent], dict[str, str]]:
        """Those that joined, and by the place's id why others never will."""
        ended: dict[str, str] = {}
        others = {*made.replaced, *(self._earlier - {each.id for each in made.units})}
        next_look_s = time.monotonic() + _LOOK_EVERY_S
        said = -1
        while True:
            roster = self._controller.roster().agents
            joined = [each for each in roster if each.attached and each.agent not in before]
            if len(joined) + len(ended) >= len(made.units) or time.monotonic() >= deadline_s:
                return joined, ended
            if len(joined) != said:
                said = len(joined)
                self._say(f"{said} of {self._order.agents} agents have joined")
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + _LOOK_EVERY_S
                with contextlib.suppress(DeployError):  # asked again soon
                    units = self._engine.list(self._order.fleet)
                    gone = [
                        each for each in units if each.agent and each.state == ENDED and each.id not in others
                    ]
                    ended = {each.id: each.reason or "it ended" for each in gone}
            time.sleep(_ASK_EVERY_S)

    def remove(self) -> None:
        """All that was made."""
        for line in self._engine.stop(self._order.fleet, self._say):
            self._say(f"removed {line}")


def _what_they_have(agents: list[RosterAgent]) -> str:
    """Their cores and the fewest open files among them: what a plan may ask of them."""
    if not agents:
        return ""
    cores = sum(each.facts.cores for each in agents)
    files = min((each.facts.open_files for each in agents if each.facts.open_files), default=0)
    return f": {cores} cores, {files} open files each at least" if files else f": {cores} cores"
