"""gRPC, and nothing else: the controller's server for agents and operators, and an operator's calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

# gRPC would want to take part in every fork, and complain on stderr when it can't; we only ever fork to execute.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# What it says by itself is for its developers; what matters of it we say in words.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromAgent,
    FromOperator,
    JoinReply,
    JoinRequest,
    Rejection,
    RosterReply,
    RosterRequest,
    ToAgent,
    ToOperator,
)

_GRACE_S = 1.0


if TYPE_CHECKING:  # they take no parameters at run time
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Context = grpc.aio.ServicerContext[Any, Any]


class JoinRefused(Exception):
    """Nobody joins with that: one line of why."""


class Operators(Protocol):
    """What operators may ask of a controller that keeps running."""

    def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """One run, from its request to its result."""
        ...

    def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """The result of an earlier run."""
        ...

    def roster(self, request: RosterRequest) -> RosterReply:
        """Who is there."""
        ...


class Server:
    """Serves a fleet on one address: mutual TLS, or a socket file of this host where `tls` is None.

    `tls` is (CA, key, certificate) in PEM; `join` turns a request into a reply or raises JoinRefused.
    """

    def __init__(
        self,
        fleet: AgentRegistry,
        tls: tuple[bytes, bytes, bytes] | None,
        join: Callable[[JoinRequest], JoinReply] | None = None,
        operators: Operators | None = None,
    ) -> None:
        self._fleet = fleet
        self._tls = tls
        self._join_with = join
        self._operators = operators
        self._server = grpc.aio.server(options=protocol.CHANNEL_OPTIONS)
        self._server.add_generic_rpc_handlers((_Calls(self._handlers()),))

    def _handlers(self) -> dict[str, _Handler]:
        handlers: dict[str, _Handler] = {
            protocol.ATTACH: grpc.stream_stream_rpc_method_handler(
                self._attach, FromAgent.FromString, ToAgent.SerializeToString
            )
        }
        if self._join_with is not None:
            handlers[protocol.JOIN] = grpc.unary_unary_rpc_method_handler(
                self._join, JoinRequest.FromString, JoinReply.SerializeToString
            )
        if self._operators is not None:
            handlers[protocol.RUN] = grpc.stream_stream_rpc_method_handler(
                self._run, FromOperator.FromString, ToOperator.SerializeToString
            )
            handlers[protocol.COLLECT] = grpc.unary_stream_rpc_method_handler(
                self._collect, CollectRequest.FromString, ToOperator.SerializeToString
            )
            handlers[protocol.ROSTER] = grpc.unary_unary_rpc_method_handler(
                self._roster, RosterRequest.FromString, RosterReply.SerializeToString
            )
        return handlers

    async def start(self, address: str) -> int:
        """Listen; the port. OSError with the address in words."""
        try:
            if self._tls is None:
                port = self._server.add_insecure_port(address)
            else:
                ca, key, certificate = self._tls
                credentials = grpc.ssl_server_credentials(
                    [(key, certificate)], root_certificates=ca, require_client_auth=True
                )
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError:
            port = 0
        if port == 0:
            raise OSError(f"can't listen on {address}: it is in use, or not an address of this host")
        await self._server.start()
        return port

    async def stop(self) -> None:
        """End every stream and stop listening."""
        await self._server.stop(_GRACE_S)

    async def _role(self, context: _Context, role: str) -> str | None:
        """The name in the peer's certificate; None on a socket of this host. Ends the call of any other role."""
        if self._tls is None:
            return None
        names = list(context.auth_context().get("x509_common_name", [b""]))
        has, _, name = bytes(names[0]).decode(errors="replace").partition(":")
        if has != role:
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED, f"this needs the certificate of an {role}, not of {has!r}"
            )
        return name

    async def _join(self, request: JoinRequest, context: _Context) -> JoinReply:
        token_id = await self._role(context, protocol.ROLE_JOIN)
        assert self._join_with is not None
        try:
            if token_id is not None and token_id != request.token_id:
                raise JoinRefused("the certificate belongs to another token")
            return self._join_with(request)
        except JoinRefused as refusal:
            self._fleet.turn_away(f"{request.name or 'an agent'} at {_peer(context)}", str(refusal))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(refusal))
            raise

    async def _attach(self, messages: AsyncIterator[FromAgent], context: _Context) -> AsyncIterator[ToAgent]:
        identity = await self._role(context, protocol.ROLE_AGENT)
        first = await anext(aiter(messages), None)
        if first is None:
            return
        try:
            session, stream = self._fleet.attach(first.hello, identity)
        except AttachRejectedError as rejection:
            self._fleet.turn_away(first.hello.agent or _peer(context), str(rejection))
            yield ToAgent(rejection=Rejection(reason=str(rejection)))
            return
        reader = asyncio.create_task(self._read(messages, session, stream))
        try:
            while (message := await stream.outgoing.get()) is not None:
                yield message
        finally:
            reader.cancel()
            self._fleet.detach(session, stream)

    async def _read(
        self, messages: AsyncIterator[FromAgent], session: AgentConnection, stream: Stream
    ) -> None:
        """Until the agent's side ends, which for a lost agent looks like any other end."""
        try:
            async for message in messages:
                if session.stream is not stream:
                    return
                self._fleet.receive(session, message)
        finally:
            self._fleet.detach(session, stream)
            stream.close()

    async def _run(
        self, messages: AsyncIterator[FromOperator], context: _Context
    ) -> AsyncGenerator[ToOperator, None]:
        await self._role(context, protocol.ROLE_OPERATOR)
        assert self._operators is not None
        async with aclosing(self._operators.run(messages)) as answers:
            async for answer in answers:
                yield answer

    async def _collect(self, request: CollectRequest, context: _Context) -> AsyncGenerator[ToOperator, None]:
        await self._role(context, protocol.ROLE_OPERATOR)
        assert self._operators is not None
        async for answer in self._operators.collect(request):
            yield answer

    async def _roster(self, request: RosterRequest, context: _Context) -> RosterReply:
        await self._role(context, protocol.ROLE_OPERATOR)
        assert self._operators is not None
        return self._operators.roster(request)


class _Calls(grpc.GenericRpcHandler):
    """Calls by their path: the schema names them, so no generated code is needed."""

    def __init__(self, handlers: dict[str, _Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler | None:
        return self._handlers.get(handler_call_details.method)


def _peer(context: _Context) -> str:
    """ipv4:10.0.0.1:4711 as people write it."""
    return str(context.peer()).partition(":")[2]


class CallFailed(Exception):
    """A controller can't be reached, or does not want us: one line that names the address and the cure."""


class Operator:
    """An operator's calls to a controller at `address`, with (CA, key, certificate) in PEM."""

    def __init__(self, address: str, tls: tuple[bytes, bytes, bytes]) -> None:
        ca, key, certificate = tls
        self._address = address
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        options = (*protocol.CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", protocol.SERVER_NAME))
        self._channel = grpc.aio.secure_channel(address, credentials, options=options)

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """One run; CallFailed."""
        call = self._channel.stream_stream(
            protocol.RUN,
            request_serializer=FromOperator.SerializeToString,
            response_deserializer=ToOperator.FromString,
        )
        async for answer in self._answers(call(messages)):
            yield answer

    async def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """The result of an earlier run; CallFailed."""
        call = self._channel.unary_stream(
            protocol.COLLECT,
            request_serializer=CollectRequest.SerializeToString,
            response_deserializer=ToOperator.FromString,
        )
        async for answer in self._answers(call(request)):
            yield answer

    async def roster(self, request: RosterRequest) -> RosterReply:
        """Who is there; CallFailed."""
        call = self._channel.unary_unary(
            protocol.ROSTER,
            request_serializer=RosterRequest.SerializeToString,
            response_deserializer=RosterReply.FromString,
        )
        try:
            reply: RosterReply = await call(request)
        except grpc.aio.AioRpcError as error:
            raise CallFailed(f"the controller at {self._address}: {_words(error)}") from None
        return reply

    async def _answers(self, answers: AsyncIterable[ToOperator]) -> AsyncGenerator[ToOperator, None]:
        try:
            async for answer in answers:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise CallFailed(f"the controller at {self._address}: {_words(error)}") from None

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()


def _words(error: grpc.aio.AioRpcError) -> str:
    details = error.details() or ""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return "its certificate is not of our CA: are these the credentials of this controller?"
    if error.code() == grpc.StatusCode.UNAVAILABLE:
        return f"can't be reached, or refuses our certificate ({details.rpartition('last error: ')[2] or details})"
    return details or str(error.code())
