"""A fleet with a head: its controller is one more place of the engine, for people whom agents can't reach."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from heyfleet.controller.client import Controller
from heyfleet.controller.security import folder as folders
from heyfleet.deploy.lifecycle.bring_up import FleetBringUp
from heyfleet.deploy.provider import ENDED, DeployError, HeadNodeProvider, LaunchRequest, Provider
from heyfleet.deploy.settings import SettingError
from heyfleet.errors import InputError
from heyfleet.proto.protocol import DEFAULT_PORT

_LONGER = timedelta(hours=1)  # than the fleet: credentials that are made for it are worth nothing afterwards
_ASK_EVERY_S = 1.0
_LOOK_EVERY_S = 5.0


class HeadController(Controller):
    """A controller that is to run elsewhere, with copies of credentials that are here."""

    def __init__(self, folder: str, order: LaunchRequest, valid_s: float) -> None:
        path = Path(folder)
        if not (path / folders.CA).exists():
            try:
                folders.init(folder, timedelta(seconds=order.lifetime_s) + _LONGER)
            except folders.CredentialsError as error:
                raise InputError(f"--credentials: {error}") from None
        super().__init__("127.0.0.1", folder)  # until `address` is known
        # It gets its copy when it is started, and so knows no token that is made later.
        self._token = super().token(order.agents, valid_s)
        self.files = {
            name: (path / name).read_bytes() for name in (folders.CA, folders.CA_KEY, folders.TOKENS)
        }
        """What the controller needs; not the operator's key."""

    def token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """The one that it was given."""
        return self._token


class HeadNodeBringUp(FleetBringUp):
    """See FleetBringUp; before the agents their controller is started."""

    def __init__(
        self,
        engine: Provider,
        folder: str,
        order: LaunchRequest,
        least: int,
        say: Callable[[str], None],
        *,
        wait_s: float,
    ) -> None:
        self._heads = _able(engine)
        self._head = HeadController(folder, order, wait_s + 60)
        self._folder = folder
        super().__init__(engine, self._head, order, least, say)

    def raise_all(self, wait_s: float) -> bool:
        """See FleetBringUp."""
        deadline_s = time.monotonic() + wait_s
        self.refuse_if_there()
        self.launched = True
        head = self._heads.head(self._order, self._head.files, DEFAULT_PORT, self._say)
        self._head.address = head.outside
        self._say(f"the head {head.id} starts, at {head.outside}")
        self._wait_for_controller(head.id, deadline_s)
        self._order = replace(self._order, join=head.inside)
        good = self.raise_agents(set(), deadline_s)
        if good:
            self._say(f"next: heyfleet run --controller {head.outside} --credentials {self._folder} ... URL")
        return good

    def _wait_for_controller(self, head: str, deadline_s: float) -> None:
        next_look_s = time.monotonic() + _LOOK_EVERY_S
        while True:
            try:
                self._head.roster()
                return
            except InputError as error:
                if time.monotonic() >= deadline_s:
                    raise DeployError(
                        f"the head: {error}; is its port {DEFAULT_PORT} open to you and to the agents? "
                        "`heyfleet fleet logs` has what it said, with --keep"
                    ) from None
            if time.monotonic() >= next_look_s:
                next_look_s = time.monotonic() + _LOOK_EVERY_S
                with contextlib.suppress(DeployError):  # asked again soon
                    self._refuse_the_dead(head)
            time.sleep(_ASK_EVERY_S)

    def _refuse_the_dead(self, head: str) -> None:
        for unit in self._engine.list(self._order.fleet):
            if unit.id == head and unit.state == ENDED:
                raise InputError(f"the head {head} has ended: {unit.reason or 'its console says why'}")


def with_head(engine: Provider, order: LaunchRequest) -> list[str]:
    """What would be made, in lines; nothing is done for it."""
    _able(engine)
    outline = engine.plan(replace(order, agents=order.agents + 1))
    outline.notes.append(
        f"one of these is the head, with the controller: its port {DEFAULT_PORT} must be open to you and to the agents; the"
        " fleet's ca.key is in its user-data"
    )
    return list(outline.lines())


def _able(engine: Provider) -> HeadNodeProvider:
    if not isinstance(engine, HeadNodeProvider):
        raise SettingError("--head: this engine starts no controller; --on ec2 does")
    return engine
