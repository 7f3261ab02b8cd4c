"""The operator's side of a long-running controller: runs, results and the list of its agents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from heyfleet import __version__
from heyfleet.errors import InputError

if TYPE_CHECKING:
    from heyfleet.proto.control_pb2 import RosterReply


class Controller:
    """A `heyfleet controller` that runs somewhere, as the commands of a fleet see it. All may raise InputError."""

    def __init__(self, address: str, folder: str) -> None:
        from heyfleet.controller.executors.remote import operator
        from heyfleet.plan.sections.fleet import FleetOptions

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
        if reply.HasField("refusal"):
            raise InputError(reply.refusal.reason)
        return reply

    def token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """Its CA and a new join token for so many agents; the folder must be the controller's own, with its ca.key."""
        from heyfleet.controller.fleet import enrollment as joining

        found = joining.credentials(self._folder)
        _, text = found.tokens.issue(found.authority, uses, valid_s)
        return found.authority.ca_pem, text.encode()
