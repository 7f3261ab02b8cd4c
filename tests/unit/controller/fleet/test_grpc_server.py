"""The controller's gRPC transport against peers that say nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from heyfleet.controller.fleet import grpc_server
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.controller.security.folder import Credentials
from heyfleet.errors import CannotStartError
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromAgent,
    FromOperator,
    RosterReply,
    RosterRequest,
    RunStatus,
    ToAgent,
    ToOperator,
)
from heyfleet.proto.protocol import ATTACH, ROLE_OPERATOR


def test_a_stream_on_which_no_agent_says_hello_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grpc_server, "_HELLO_LIMIT_S", 0.2)
    address = f"unix:{tmp_path}/socket"

    async def attach() -> object:
        server = grpc_server.Server(AgentRegistry(), None)
        await server.start(address)
        try:
            async with grpc.aio.insecure_channel(address) as channel:
                call = channel.stream_stream(
                    ATTACH,
                    request_serializer=FromAgent.SerializeToString,
                    response_deserializer=ToAgent.FromString,
                )()
                return await asyncio.wait_for(call.read(), 60)
        finally:
            await server.stop()

    assert asyncio.run(attach()) is grpc.aio.EOF


class Silent:
    """A daemon that answers once, if at all."""

    def __init__(self, answers: int) -> None:
        self._answers = answers

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncIterator[ToOperator]:
        for _ in range(self._answers):
            yield ToOperator(status=RunStatus(stage="queued"))
        await asyncio.Event().wait()

    async def collect(self, request: CollectRequest) -> AsyncIterator[ToOperator]:
        await asyncio.Event().wait()
        yield ToOperator()

    def roster(self, request: RosterRequest) -> RosterReply:
        return RosterReply()


@pytest.mark.parametrize("answers", [0, 3])
def test_an_operator_gives_a_silent_controller_up(monkeypatch: pytest.MonkeyPatch, answers: int) -> None:
    monkeypatch.setattr(grpc_server, "_ANSWER_LIMIT_S", 1.0)
    credentials = Credentials.in_memory()
    ca, received = credentials.authority, list[Any]()

    async def call() -> None:
        key, certificate = ca.server()
        operator = ca.client(ROLE_OPERATOR, "operator", timedelta(hours=1))
        service: Any = Silent(answers)
        server = grpc_server.Server(AgentRegistry(), (ca.ca_pem, key, certificate), operator_service=service)
        port = await server.start("127.0.0.1:0")
        channel = grpc_server.OperatorChannel(f"127.0.0.1:{port}", (ca.ca_pem, *operator))
        try:
            async for answer in channel.run(_nothing()):
                received.append(answer)
        finally:
            await channel.close()
            await server.stop()

    with pytest.raises(grpc_server.CallFailedError, match="sent nothing for 1 s"):
        asyncio.run(asyncio.wait_for(call(), 60))
    assert len(received) == answers


class Talkative(Silent):
    """A daemon that never stops to answer, and knows when a call is over."""

    def __init__(self) -> None:
        super().__init__(0)
        self.is_over = asyncio.Event()

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncIterator[ToOperator]:
        try:
            while True:
                yield ToOperator(result=bytes(1 << 20))
        finally:
            self.is_over.set()

    def collect(self, request: CollectRequest) -> AsyncIterator[ToOperator]:
        return self.run(_nothing())


@pytest.mark.parametrize("name", ["run", "collect"])
def test_a_call_whose_operator_does_not_read_is_ended(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(grpc_server, "_READ_LIMIT_S", 0.5)
    ca = Credentials.in_memory().authority

    async def call() -> None:
        key, certificate = ca.server()
        service: Any = Talkative()
        server = grpc_server.Server(AgentRegistry(), (ca.ca_pem, key, certificate), operator_service=service)
        port = await server.start("127.0.0.1:0")
        operator = ca.client(ROLE_OPERATOR, "operator", timedelta(hours=1))
        channel = grpc_server.OperatorChannel(f"127.0.0.1:{port}", (ca.ca_pem, *operator))
        answers = channel.run(_nothing()) if name == "run" else channel.collect(CollectRequest())
        try:
            await anext(answers)
            await service.is_over.wait()
        finally:
            await channel.close()
            await server.stop()

    asyncio.run(asyncio.wait_for(call(), 60))


async def _nothing() -> AsyncIterator[FromOperator]:
    await asyncio.Event().wait()
    yield FromOperator()


def test_a_name_with_an_address_that_is_taken_is_not_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agents that dial the name would be spread over both."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        places = [("127.0.0.2", port), ("127.0.0.1", port)]
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, 1, 6, "", place) for place in places]
        )

        async def listen() -> None:
            server = grpc_server.Server(AgentRegistry(), None)
            try:
                await server.start(f"localhost:{port}")
            finally:
                await server.stop()

        with pytest.raises(CannotStartError, match="it is in use"):
            asyncio.run(listen())
