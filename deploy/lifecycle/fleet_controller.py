"""What deployment needs of a controller, as protocols: the command line connects the two, so neither imports the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class RosterEntry:
    """One agent that the controller knows."""

    agent: str
    """The unique name: the one that the agent asked for, `-` and four hex digits."""
    attached: bool
    cores: int = 0
    open_files: int = 0
    """The agent's limit on open files; 0 if unknown."""
    left: str = ""
    """Why the agent left for good; empty if it did not."""

    @property
    def requested_name(self) -> str:
        """The name that the agent asked for, which is its instance's name."""
        return self.agent.rpartition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """The agents of a controller at one moment."""

    agents: list[RosterEntry]
    rejections: list[str] = field(default_factory=list)
    """One line for each agent that was rejected, with the reason."""


class FleetController(Protocol):
    """A controller that keeps running. All methods may raise InputError."""

    def roster(self) -> Roster:
        """Return the agents that the controller knows now."""
        ...

    def issue_token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """Return the CA certificate and a new join token that admits `uses` agents for `valid_s` seconds."""
        ...


class HeadNodeController(FleetController, Protocol):
    """A controller that is yet to be launched on a head node, with copies of credentials that are here."""

    def credentials(self) -> Mapping[str, bytes]:
        """Return by name the files that the controller needs, with all tokens issued so far. Secrets."""
        ...

    def connect(self, address: str) -> None:
        """Use this HOST:PORT from now on; `roster` fails before."""
        ...
