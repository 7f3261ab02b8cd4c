"""A fleet that is brought up for one run and removed after it: `heyfleet run --on ENGINE`."""

from __future__ import annotations

import contextlib
import secrets
import threading
from itertools import cycle, islice
from types import TracebackType
from typing import Self

from heyfleet.deploy.provider import ENDED, DeployError, Instance, LaunchRequest, LaunchResult, Provider, Say

_LOOK_EVERY_S = 5.0


class _GivenUpError(Exception):
    """Raised by what an engine calls between its steps."""


class RunFleet:
    """A context; whatever ends it, what was made is removed (unless it is to be kept), or is said to be left.

    `start` returns at once: the launch goes on beside, and `absent` says of whom it is known that he won't come.
    """

    def __init__(
        self,
        engine: Provider,
        *,
        name: str = "",
        agents: int,
        join: str = "",
        lifetime_s: int,
        keep: bool = False,
        remedy: str,  # the command that removes a fleet, without the name of this one
        complain: Say,
    ) -> None:
        self._engine = engine
        self._is_named = bool(name)
        self.name = name or f"run-{secrets.token_hex(4)}"
        self.agents = agents
        self._join = join
        self._lifetime_s = lifetime_s
        self._keep = keep
        self._remedy = f"`{remedy} --name {self.name}`"
        self._say: Say = lambda text: None
        self._complain = complain
        self._failures: list[str] = []
        self._units: list[Instance] = []
        self._over = threading.Event()  # no more waiting for agents
        self._thread: threading.Thread | None = None

    @property
    def loopback(self) -> bool:
        """Whether the controller need only listen on this host's loopback."""
        return self._engine.tunnels and not self._join

    def plan_lines(self, port: int) -> list[str]:
        """What `start` would make, for people."""
        return list(self._engine.plan(self._order(port, b"", b"")).lines())

    def start(self, port: int, ca_pem: bytes, token: bytes, say: Say) -> None:
        """Launch agents that join at this port here, or where the flags say."""
        self._say = say
        self._thread = threading.Thread(target=self._launch, args=(self._order(port, ca_pem, token),))
        self._thread.start()

    def _order(self, port: int, ca_pem: bytes, token: bytes) -> LaunchRequest:
        return LaunchRequest(
            fleet=self.name,
            agents=self.agents,
            join=self._join if not self.loopback else f"127.0.0.1:{port}",
            tunnel=self.loopback,
            ca_pem=ca_pem,
            token=token,
            lifetime_s=self._lifetime_s,
        )

    def absent(self) -> list[str]:
        """Units that will not come, a line each, also those that could not be had."""
        ended = [f"{unit.name}: {unit.reason or 'it ended'}" for unit in self._units if unit.state == ENDED]
        return [*self._failures, *ended]

    def awaited(self) -> list[str]:
        """Those of which nothing is known but that they have not joined: what the engine says of them."""
        return [
            f"{each.name}: {each.state}: {each.reason}"
            for each in self._units
            if each.state != ENDED and each.reason
        ]

    def joined(self) -> None:
        """The run has its agents: nobody need look any more."""
        self._over.set()

    def _launch(self, order: LaunchRequest) -> None:
        earlier: set[str] = set()
        try:
            if self._is_named:  # engines may still know an earlier fleet's units: EC2 does, for about an hour
                earlier = {each.id for each in self._engine.list(order.fleet)}
            made = self._engine.launch(order, self._go_on)
        except _GivenUpError:
            return
        except DeployError as error:
            made = LaunchResult(failures=[f"fleet: {error.message}"])
        except Exception as error:
            made = LaunchResult(failures=[f"fleet: fault: {type(error).__name__}: {error}"])
        missing = self.agents - len(made.units)
        for line in made.failures[missing:]:
            self._complain(f"replaced {line}")
        # As many as are missing, since so many are not waited for.
        self._failures = list(islice(cycle(made.failures or ["fleet: not started"]), missing))
        self._units = made.units
        others = {*made.replaced, *(earlier - {each.id for each in made.units})}
        while not self._over.wait(_LOOK_EVERY_S):
            with contextlib.suppress(DeployError):  # asked again soon
                units = self._engine.list(order.fleet)
                self._units = [each for each in units if each.id not in others]

    def _go_on(self, text: str) -> None:
        if self._over.is_set():
            raise _GivenUpError
        self._say(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is None:
            self._engine.close()
            return
        self._thread.join()
        try:
            if self._keep:
                self._say(f"the fleet {self.name} is kept; {self._remedy} removes it")
            elif removed := self._engine.stop(self.name, self._say):
                self._say(f"removed: {', '.join(removed) if len(removed) <= 8 else f'{len(removed)} things'}")
        except DeployError as problem:
            self._complain(f"not all could be removed: {problem.message}; {self._remedy} tries again")
        except KeyboardInterrupt:
            self._complain(
                f"interrupted while the fleet was being removed: {self._remedy} removes what is left"
            )
            raise
        finally:
            self._engine.close()
