"""The agent's gRPC client against servers that misbehave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from heyfleet.agent import grpc_client
from heyfleet.agent.errors import UnreachableError
from heyfleet.agent.service import AgentService
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import FromAgent, Ping, ToAgent, Welcome


class _Controller(grpc.GenericRpcHandler):
    """Accepts streams, and sends some messages and nothing more."""

    def __init__(self, messages: list[ToAgent]) -> None:
        self._messages = messages

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            self._attach, FromAgent.FromString, ToAgent.SerializeToString
        )

    async def _attach(self, messages: AsyncIterator[FromAgent], context: Any) -> AsyncIterator[ToAgent]:
        for message in self._messages:
            yield message
        await asyncio.Event().wait()


@pytest.mark.parametrize(
    "messages", [[], [ToAgent(welcome=Welcome(lease_ns=200_000_000)), ToAgent(ping=Ping(sequence=1))]]
)
def test_a_controller_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[ToAgent]
) -> None:
    monkeypatch.setattr(grpc_client, "_SILENCE_LIMIT_S", 0.2)
    address = f"unix:{tmp_path}/socket"

    async def attach() -> None:
        server = grpc.aio.server(options=protocol.CHANNEL_OPTIONS)
        server.add_generic_rpc_handlers((_Controller(messages),))
        server.add_insecure_port(address)
        await server.start()
        service = AgentService("a1", tmp_path)
        service.lease_ns = 200_000_000
        try:
            await asyncio.wait_for(grpc_client.attach(address, None, service), 60)
        finally:
            service.close()
            await server.stop(0)

    with pytest.raises(UnreachableError, match="the controller sent nothing for"):
        asyncio.run(attach())
