"""The interface of a provider, a platform that agents are launched on, and the values that pass through it.

A provider keeps no state of its own. It finds a fleet by what the launch left on the hosts, in the cloud or in the
cluster: tags, labels and folders with the fleet's name. Any command can therefore remove what another one started,
even one that was killed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

from heyfleet.deploy.settings import Setting
from heyfleet.durations import format_duration
from heyfleet.errors import DeployError

Log = Callable[[str], None]
"""Receives progress, a line at a time."""

TAG_FLEET = "heyfleet:fleet"
TAG_EXPIRES = "heyfleet:expires"
"""Tags on every resource that costs money: the fleet's name, and when it ends in seconds since 1970, as text.

Kubernetes labels have `.` in place of `:`.
"""

_NS_PER_S = 1_000_000_000
STARTING, RUNNING, ENDED, UNKNOWN = "starting", "running", "ended", "unknown"
UNREACHABLE = "unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchSpec:
    """What to launch, without secrets: enough for `Provider.plan`."""

    fleet: str
    """The fleet's name: at most 40 lower-case letters, digits and `-`, a letter first. All its resources bear it."""
    agents: int
    join: str
    """HOST:PORT of the controller, as the agents see it."""
    tunnel: bool = False
    """Whether `join` is an address on this host, which the provider makes reachable for its agents until it is closed."""
    lifetime_s: int
    """Seconds after which every agent ends, together with the instance it runs on, whether or not anyone intervenes."""

    @property
    def lifetime(self) -> str:
        """The lifetime as people write it, such as 1h30m."""
        return format_duration(self.lifetime_s * _NS_PER_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchRequest(LaunchSpec):
    """A launch spec together with the secrets that its agents join with.

    Secrets never appear on a command line or in a log.
    """

    ca_pem: bytes
    """The controller's ca.pem."""
    token: bytes
    """A join token, as in the controller's join.token."""

    @classmethod
    def of(cls, spec: LaunchSpec, ca_pem: bytes, token: bytes, *, join: str = "") -> Self:
        """Complete a spec with its secrets and, where it is known only now, the controller's address."""
        return cls(
            fleet=spec.fleet,
            agents=spec.agents,
            join=join or spec.join,
            tunnel=spec.tunnel,
            lifetime_s=spec.lifetime_s,
            ca_pem=ca_pem,
            token=token,
        )

    def secrets(self) -> bytes:
        """Return CA and token in the format that deploy/ssh/host.sh reads from stdin."""
        return self.ca_pem.strip() + b"\n\n" + self.token.strip() + b"\nend\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """What one agent runs on: a host, a virtual machine, a task or a pod. A head node is an instance, too."""

    fleet: str
    id: str
    """The provider's own identifier."""
    name: str
    """The name that the agent asks for; the controller adds four hex digits to make it unique."""
    state: str
    """STARTING, RUNNING, ENDED, UNKNOWN, or UNREACHABLE if it could not be asked.

    Only the controller knows whether its agent has joined.
    """
    reason: str = ""
    """Why it ended, or why it has not started yet, where the provider knows."""
    expires_s: float = 0.0
    """When it ends, in seconds since 1970; 0 where that is not known."""
    is_head_node: bool = False
    """Whether it hosts the fleet's controller and no agent."""


# A provider has a method `list`, which hides the built-in type in the signatures below it.
Instances = list[Instance]
Lines = list[str]


class IncompleteError(DeployError):
    """Something was done, but not on every host; who asked for it must not believe that all is done."""

    def __init__(self, failures: Lines, what: str, removed: Lines | None = None) -> None:
        """`failures` has a line for each host, `what` says how many, and `removed` what was removed elsewhere."""
        super().__init__(f"{what}: {', '.join(failures)}")
        self.removed = removed or []


@dataclass(slots=True, kw_only=True)
class LaunchResult:
    """The outcome of a launch."""

    instances: list[Instance] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """One line for each failure to start instances, with its cause and cure."""
    replaced: list[str] = field(default_factory=list)
    """Ids of instances that others took the place of. `list` may still return them; ignore them."""


@dataclass(slots=True, kw_only=True)
class LaunchPlan:
    """What a launch would create, need and cost. Making a plan changes nothing."""

    resources: list[str]
    """One line for each kind of resource."""
    network: list[str] = field(default_factory=list)
    """Connections that must be possible."""
    policy: dict[str, Any] | None = None
    """The fewest permissions that suffice, as an IAM policy document or a Kubernetes Role."""
    usd_per_hour: float | None = None
    price_source: str = ""
    """Where the price comes from, or why it is unknown."""
    notes: list[str] = field(default_factory=list)

    def lines(self) -> Iterable[str]:
        """Yield the plan as text."""
        yield from self.resources
        yield from (f"network: {line}" for line in self.network)
        if self.usd_per_hour == 0:
            yield f"cost: nothing ({self.price_source})"
        elif self.usd_per_hour is not None:
            yield f"cost: {self.usd_per_hour:.3f} USD per hour ({self.price_source})"
        elif self.price_source:
            yield f"cost: unknown ({self.price_source})"
        yield from (f"note: {line}" for line in self.notes)
        if self.policy is not None:
            yield "required permissions:"
            yield from json.dumps(self.policy, indent=2).splitlines()


class Provider(Protocol):
    """A platform that agents are launched on, made from the settings that `settings.read` has checked.

    All methods block, and all may raise DeployError.
    """

    settings: ClassVar[tuple[Setting, ...]]
    tunnels: ClassVar[bool]
    """Whether its agents can reach a controller that listens only on this host's loopback interface."""

    def plan(self, spec: LaunchSpec) -> LaunchPlan:
        """Say what a launch would create and need. Reads from the platform at most; changes nothing."""
        ...

    def launch(self, request: LaunchRequest, log: Log) -> LaunchResult:
        """Start the requested number of instances, never more; those that can't be had are in `failures`.

        `log` is called before each step, such as a host or a batch. If it raises, nothing more is started.
        Every resource bears the fleet's name and expiry from its creation on, so that `reap` finds it even if this
        process is killed in the middle.
        """
        ...

    def list(self, fleet: str = "") -> Instances:
        """Return the instances of a fleet, or of all fleets. Instances that are gone for good may be missing."""
        ...

    def logs(self, fleet: str) -> Iterable[tuple[str, str]]:
        """Yield the name and the agent's log of each instance."""
        ...

    def stop(self, fleet: str, log: Log) -> Lines:
        """End a fleet, wait until its instances are gone and remove its resources; return a line for each.

        Raises IncompleteError, with those lines, if anything may be left.
        """
        ...

    def reap(self, log: Log, *, everything: bool = False) -> Lines:
        """Remove the resources of expired fleets, or of all fleets; return a line for each. Raises as `stop` does."""
        ...

    def close(self) -> None:
        """End what lives in this process only, such as tunnels. Agents keep running."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNodeRequest:
    """A head node to launch: the instance that hosts a fleet's controller."""

    fleet: str
    lifetime_s: int
    credentials: Mapping[str, bytes]
    """The controller's credentials by file name: ca.pem, ca.key and tokens.json. Secrets."""
    port: int
    """The port that the controller listens on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadNode:
    """A head node that was launched."""

    id: str
    """The provider's identifier of its instance."""
    internal_address: str
    """HOST:PORT of the controller for the provider's own agents."""
    external_address: str
    """HOST:PORT of the controller for everyone else; may be the same."""


@runtime_checkable
class HeadNodeProvider(Protocol):
    """A provider that can launch a head node: one more instance of the fleet, which `stop` and `reap` also remove."""

    def launch_head_node(self, request: HeadNodeRequest, log: Log) -> HeadNode:
        """Start a controller, and return once its addresses are known. It may not accept connections yet."""
        ...
