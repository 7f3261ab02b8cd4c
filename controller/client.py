"""Deploy and the controller put together: what a fleet needs of both, for one run or to stay."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from heyfleet import __version__, console
from heyfleet.errors import InputError

if TYPE_CHECKING:
    from heyfleet.deploy.fleet_spec import FleetSpec
    from heyfleet.deploy.lifecycle.run_fleet import RunFleet
    from heyfleet.proto.control_pb2 import RosterReply


def fleet_for_run(given: dict[str, Any], agents: int) -> RunFleet:
    """The fleet that the flags of `heyfleet run` ask for, and its fleet file. Nothing is made yet."""
    from heyfleet.deploy.fleet_spec import asked
    from heyfleet.deploy.lifecycle.run_fleet import RunFleet
    from heyfleet.deploy.settings import SettingError

    found = asked(
        given["fleet_file"],
        given["with_"],
        on=given["on"],
        hosts=given["hosts"],
        agents=agents,
        join=given["join"],
        for_=given["for_"],
    )
    if not found.agents:
        raise SettingError(f"--agents: how many? Or `agents:` in the fleet file; --on {found.on} can't tell")
    if not found.join and not found.engine.tunnels:
        raise SettingError(
            f"--join HOST:PORT is missing: where agents of --on {found.on} reach this command, as seen from there"
        )
    return RunFleet(
        found.engine,
        name=found.name,
        agents=found.agents,
        join=found.join,
        lifetime_s=found.lifetime_s,
        keep=given["keep"],
        remedy=remedy(given),
        complain=console.error,
    )


def remedy(given: dict[str, Any]) -> str:
    """The command that removes a fleet that these flags describe, but for its name."""
    words = ["heyfleet fleet down"]
    for flag, name in (("--on", "on"), ("--hosts", "hosts"), ("--fleet-file", "fleet_file")):
        if given[name]:
            words.append(f"{flag} {given[name]}")
    words += [f"--with {pair}" for pair in given["with_"]]
    return " ".join(words)


class Controller:
    """A `heyfleet controller` that runs somewhere, as the commands of a fleet see it. All may raise InputError."""

    def __init__(self, address: str, folder: str) -> None:
        from heyfleet.controller.executors.options import FleetOptions
        from heyfleet.controller.executors.remote import operator

        self.address, self._tls = operator(FleetOptions(controller=address, credentials_folder=folder))
        self._folder = folder

    def roster(self) -> RosterReply:
        """Who is there now."""
        from heyfleet.controller.fleet.grpc_server import CallFailed, Operator
        from heyfleet.proto.control_pb2 import RosterRequest
        from heyfleet.proto.protocol import PROTOCOL

        async def ask() -> RosterReply:
            channel = Operator(self.address, self._tls)
            try:
                return await channel.roster(RosterRequest(protocol=PROTOCOL, version=__version__))
            finally:
                await channel.close()

        try:
            reply = asyncio.run(ask())
        except CallFailed as error:
            raise InputError(str(error)) from None
        if reply.HasField("refused"):
            raise InputError(reply.refused.reason)
        return reply

    def token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """Its CA and a new join token for so many agents; the folder must be the controller's own, with its ca.key."""
        from heyfleet.controller.fleet import enrollment as joining

        found = joining.credentials(self._folder)
        _, text = found.tokens.issue(found.authority, uses, valid_s)
        return found.authority.ca_pem, text.encode()


def described(given: dict[str, Any]) -> FleetSpec:
    """What the flags of `heyfleet fleet`, and its fleet file, ask for."""
    from heyfleet.deploy.fleet_spec import asked

    return asked(
        given["fleet_file"],
        given["with_"],
        on=given["on"],
        hosts=given["hosts"],
        name=given["name"],
        agents=given.get("count", 0),
        join=given.get("join", ""),
        for_=given.get("for_", ""),
    )
