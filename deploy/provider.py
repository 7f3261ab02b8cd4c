"""What every engine of deploy does, and the words for it: an order goes in, units come out, and nothing is left behind.

State is never kept here: whoever asks an engine for a fleet gets what the hosts, the cloud or the cluster say of it, by names
(tags, labels, folders) that a launch gave. So any command can end what another one began, also one that was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

import click

from heyfleet.deploy.settings import Setting

Say = Callable[[str], None]

TAG_FLEET = "heyfleet:fleet"
TAG_EXPIRES = "heyfleet:expires"  # seconds since 1970, as text
"""What is put on everything that costs money, so that it is found again; labels of Kubernetes have `.` for `:`."""

STARTING, RUNNING, ENDED, UNKNOWN = "starting", "running", "ended", "unknown"


class DeployError(click.ClickException):
    """Something can't be had: one line that names it, and the cure. Exit code 1."""

    exit_code = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest:
    """A fleet as it is wanted."""

    fleet: str
    """Its name: lower-case letters, digits and `-`, a letter first, 40 characters at most; on all that is made for it."""
    agents: int
    join: str
    """HOST:PORT at which they reach the controller, from where they will run."""
    ca_pem: bytes
    token: bytes
    """What is in the controller's ca.pem and join.token. Secrets: never on a command line, never in a log."""
    tunnel: bool = False
    """`join` is an address here; an engine that can (`Engine.tunnels`) makes it one there, until it is closed."""
    lifetime_s: int
    """After so many seconds every agent ends, with whatever it runs on, whoever is there to see it."""

    def secrets(self) -> bytes:
        """CA and token as deploy/ssh/host.sh reads them."""
        return self.ca_pem.strip() + b"\n\n" + self.token.strip() + b"\nend\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One agent's place: a host, an instance, a task, a pod."""

    fleet: str
    id: str
    """As its engine calls it."""
    name: str
    """What the agent wishes to be called; the controller adds what makes it unique."""
    state: str
    """STARTING, RUNNING, ENDED or UNKNOWN: of the place. Whether its agent has joined, only the controller knows."""
    reason: str = ""
    """Why it ended, or has not started yet, where the engine knows."""
    expires_s: float = 0.0
    """Seconds since 1970; 0 where it is not known."""
    agent: bool = True
    """False: the fleet's controller (`Heads`)."""


# The engines' method `list` hides the type of that name where their own signatures are read.
Instances = list[Instance]
Lines = list[str]


@dataclass(slots=True, kw_only=True)
class LaunchResult:
    """What became of an order."""

    units: list[Instance] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """A line each for units that could not be had, with the reason and the cure."""
    replaced: list[str] = field(default_factory=list)
    """Ids of units that others stand in for; what `list` still says of them concerns nobody."""


@dataclass(slots=True, kw_only=True)
class LaunchPlan:
    """What a launch would do; nothing was done for it."""

    makes: list[str]
    ports: list[str] = field(default_factory=list)
    policy: dict[str, Any] | None = None
    """The least that the caller must be allowed to do, as an IAM policy document or a Role."""
    usd_an_hour: float | None = None
    price_source: str = ""
    """Where the price is from, or why it is not known."""
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterable[str]:
        """For people."""
        yield from self.makes
        yield from (f"port: {each}" for each in self.ports)
        if self.usd_an_hour == 0:
            yield f"costs: nothing ({self.price_source})"
        elif self.usd_an_hour is not None:
            yield f"costs: {self.usd_an_hour:.3f} USD an hour ({self.price_source})"
        elif self.price_source:
            yield f"costs: not known ({self.price_source})"
        yield from (f"note: {each}" for each in self.notes)
        if self.policy is not None:
            yield "must be allowed:"
            yield json.dumps(self.policy, indent=2)


class Provider(Protocol):
    """Made of the settings that `settings.read` has read by the engine's own table. Calls block; all may raise DeployError."""

    settings: ClassVar[tuple[Setting, ...]]
    tunnels: ClassVar[bool]
    """Whether its agents can reach a controller that listens on this host's loopback alone."""

    def plan(self, order: LaunchRequest) -> LaunchPlan:
        """What a launch would make, and need. Reads at most; changes nothing."""
        ...

    def launch(self, order: LaunchRequest, say: Say) -> LaunchResult:
        """Start exactly so many units, never one more; say what goes on. What can't be had is in `failures`.

        `say` is called before each step (a host, a batch), and may raise: then nothing more is started.
        Whatever is made bears the fleet's name and its end from the first call on: `reap` finds it after a kill at any point.
        """
        ...

    def list(self, fleet: str = "") -> Instances:
        """The units of a fleet, or of all; those that are gone for good need not be there."""
        ...

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """Of each unit its name, and what its agent has said."""
        ...

    def stop(self, fleet: str, say: Say) -> Lines:
        """End all of a fleet, wait until it is gone, and remove what was made for it: one line for each thing removed."""
        ...

    def reap(self, say: Say, *, everything: bool = False) -> Lines:
        """Remove what is left of fleets whose time is over, or of all: one line for each thing removed."""
        ...

    def close(self) -> None:
        """End what lives in this process alone: tunnels. Agents go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNode:
    """A controller that an engine has started."""

    id: str
    """Of its unit."""
    inside: str
    """HOST:PORT at which the engine's agents reach it."""
    outside: str
    """HOST:PORT at which others do; the same where there is no other."""


@runtime_checkable
class HeadNodeProvider(Protocol):
    """What an engine has besides if it can start a fleet's controller: one more unit, which `stop` and `reap` end as well."""

    def head(self, order: LaunchRequest, files: Mapping[str, bytes], port: int, say: Say) -> HeadNode:
        """Start a controller with these credentials, by their names in its folder; return when its addresses are known."""
        ...
