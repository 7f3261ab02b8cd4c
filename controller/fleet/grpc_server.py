"""The gRPC transport of the controller: a server for agents and operators, and the calls that an operator makes."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, Self

# heyfleet forks only to execute, so gRPC need not prepare for forks; when it can't, it complains on stderr.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# gRPC's own log is for its developers. Errors that matter are raised.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from heyfleet.controller.fleet.agent_connection import AgentConnection, Stream
from heyfleet.controller.fleet.enrollment import JoinRefusedError
from heyfleet.controller.fleet.registry import AgentRegistry, AttachRejectedError
from heyfleet.errors import CannotStartError
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

_SHUTDOWN_GRACE_S = 1.0
_HELLO_LIMIT_S = 10.0
_READ_LIMIT_S = 60.0
# A controller sends the status of a run at least once a second.
_ANSWER_LIMIT_S = 120.0

if TYPE_CHECKING:  # generic in grpc's stubs, not at run time
    _Handler = grpc.RpcMethodHandler[Any, Any]
    _Context = grpc.aio.ServicerContext[Any, Any]


class OperatorService(Protocol):
    """What operators can call on a long-running controller."""

    def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """Carry out one run, from its request to its result."""
        ...

    def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """Return the result of an earlier run."""
        ...

    def roster(self, request: RosterRequest) -> RosterReply:
        """Return the agents that have attached."""
        ...


class Server:
    """Serves a fleet on one address, with mutual TLS, or on a socket file of this host if `tls` is None.

    It is a context manager that ends every stream and stops listening.

    `tls` is (CA, key, certificate) in PEM. `join` answers a request to join or raises JoinRefusedError.
    """

    def __init__(
        self,
        registry: AgentRegistry,
        tls: tuple[bytes, bytes, bytes] | None,
        join: Callable[[JoinRequest], JoinReply] | None = None,
        operator_service: OperatorService | None = None,
    ) -> None:
        self._registry = registry
        self._tls = tls
        self._enroll = join
        self._operator_service = operator_service
        self._server = grpc.aio.server(options=protocol.CHANNEL_OPTIONS)
        self._server.add_generic_rpc_handlers((_Router(self._handlers()),))

    def _handlers(self) -> dict[str, _Handler]:
        handlers: dict[str, _Handler] = {
            protocol.ATTACH: grpc.stream_stream_rpc_method_handler(
                self._attach, FromAgent.FromString, ToAgent.SerializeToString
            )
        }
        if self._enroll is not None:
            handlers[protocol.JOIN] = grpc.unary_unary_rpc_method_handler(
                self._join, JoinRequest.FromString, JoinReply.SerializeToString
            )
        if self._operator_service is not None:
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

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.stop()

    async def start(self, address: str) -> int:
        """Listen on an address and return its port. Raises CannotStartError."""
        if _is_taken(address):
            raise _can_not_listen(address)
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
            raise _can_not_listen(address)
        await self._server.start()
        return port

    async def stop(self) -> None:
        """End every stream and stop listening."""
        await self._server.stop(_SHUTDOWN_GRACE_S)

    async def _authorize(self, context: _Context, role: str) -> str | None:
        """Return the name in the peer's certificate, or None on a socket file; abort the call of another role."""
        if self._tls is None:
            return None
        common_names = list(context.auth_context().get("x509_common_name", [b""]))
        peer_role, _, name = bytes(common_names[0]).decode(errors="replace").partition(":")
        if peer_role != role:
            await context.abort(
                grpc.StatusCode.PERMISSION_DENIED,
                f"the call needs a certificate for the role {role!r}, not {peer_role!r}",
            )
        return name

    async def _join(self, request: JoinRequest, context: _Context) -> JoinReply:
        token_id = await self._authorize(context, protocol.ROLE_JOIN)
        assert self._enroll is not None
        try:
            if token_id is not None and token_id != request.token_id:
                raise JoinRefusedError("the certificate belongs to another token")
            return self._enroll(request)
        except JoinRefusedError as error:
            self._registry.reject(f"{request.name or 'an agent'} at {_peer_address(context)}", str(error))
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
            raise

    async def _attach(self, messages: AsyncIterator[FromAgent], context: _Context) -> AsyncIterator[ToAgent]:
        identity = await self._authorize(context, protocol.ROLE_AGENT)
        try:
            first = await asyncio.wait_for(anext(aiter(messages), None), _HELLO_LIMIT_S)
        except TimeoutError:
            first = None
        if first is None:
            return
        try:
            connection, stream = self._registry.attach(first.hello, identity)
        except AttachRejectedError as error:
            self._registry.reject(first.hello.agent or _peer_address(context), str(error))
            yield ToAgent(rejection=Rejection(reason=str(error)))
            return
        reader = asyncio.create_task(self._read(messages, connection, stream))
        try:
            while (message := await stream.outgoing.get()) is not None:
                yield message
        finally:
            reader.cancel()
            self._registry.detach(connection, stream)

    async def _read(
        self, messages: AsyncIterator[FromAgent], connection: AgentConnection, stream: Stream
    ) -> None:
        """Pass on an agent's messages until its side ends, which looks the same for an agent that is lost."""
        try:
            async for message in messages:
                if connection.stream is not stream:
                    return
                self._registry.on_message(connection, message)
        finally:
            self._registry.detach(connection, stream)
            stream.close()

    async def _run(self, messages: AsyncIterator[FromOperator], context: _Context) -> None:
        await self._authorize(context, protocol.ROLE_OPERATOR)
        assert self._operator_service is not None
        await _write_all(context, self._operator_service.run(messages))

    async def _collect(self, request: CollectRequest, context: _Context) -> None:
        await self._authorize(context, protocol.ROLE_OPERATOR)
        assert self._operator_service is not None
        await _write_all(context, self._operator_service.collect(request))

    async def _roster(self, request: RosterRequest, context: _Context) -> RosterReply:
        await self._authorize(context, protocol.ROLE_OPERATOR)
        assert self._operator_service is not None
        return self._operator_service.roster(request)


def _can_not_listen(address: str) -> CannotStartError:
    return CannotStartError(
        f"can't listen on {address}: it is in use, or not an address of this host", "use another --listen"
    )


def _is_taken(address: str) -> bool:
    """Whether somebody else listens on one of the addresses that a name has; gRPC is content with one that is free."""
    host, _, port = address.rpartition(":")
    if address.startswith(protocol.LOCAL_PREFIX) or port == "0":
        return False
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, ValueError):
        return False  # gRPC will refuse it
    return any(_is_in_use(family, place) for family, _, _, _, place in found)


def _is_in_use(family: int, place: Any) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            probe.listen()
        except OSError as error:  # such as an address of IPv6 where there is none, which gRPC leaves out
            return error.errno == errno.EADDRINUSE
    return False


class _Router(grpc.GenericRpcHandler):
    """Finds handlers by the path of a call, so that no generated gRPC code is needed."""

    def __init__(self, handlers: dict[str, _Handler]) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> _Handler | None:
        return self._handlers.get(handler_call_details.method)


async def _write_all(context: _Context, answers: AsyncGenerator[ToOperator, None]) -> None:
    """Send the answers of a call to its operator.

    One that does not read counts as one that has gone: other runs wait for the end of its run, and a result takes memory.
    """
    async with aclosing(answers):
        async for answer in answers:
            async with asyncio.timeout(_READ_LIMIT_S):
                await context.write(answer)


def _peer_address(context: _Context) -> str:
    """Return 10.0.0.1:4711 for gRPC's ipv4:10.0.0.1:4711."""
    return str(context.peer()).partition(":")[2]


class CallFailedError(CannotStartError):
    """A controller that can't be reached, or that refuses the certificate."""


class OperatorChannel:
    """An operator's channel to the controller at `address`. `tls` is (CA, key, certificate) in PEM.

    All calls raise CallFailedError.
    """

    def __init__(self, address: str, tls: tuple[bytes, bytes, bytes]) -> None:
        ca, key, certificate = tls
        self._address = address
        credentials = grpc.ssl_channel_credentials(ca, key, certificate)
        options = (*protocol.CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", protocol.SERVER_NAME))
        self._channel = grpc.aio.secure_channel(address, credentials, options=options)

    async def run(self, messages: AsyncIterator[FromOperator]) -> AsyncGenerator[ToOperator, None]:
        """Request a run; yield its status, its seconds and its result."""
        call = self._channel.stream_stream(
            protocol.RUN,
            request_serializer=FromOperator.SerializeToString,
            response_deserializer=ToOperator.FromString,
        )
        async for answer in self._answers(call(messages)):
            yield answer

    async def collect(self, request: CollectRequest) -> AsyncGenerator[ToOperator, None]:
        """Request the result of an earlier run."""
        call = self._channel.unary_stream(
            protocol.COLLECT,
            request_serializer=CollectRequest.SerializeToString,
            response_deserializer=ToOperator.FromString,
        )
        async for answer in self._answers(call(request)):
            yield answer

    async def roster(self, request: RosterRequest) -> RosterReply:
        """Request the list of agents."""
        call = self._channel.unary_unary(
            protocol.ROSTER,
            request_serializer=RosterRequest.SerializeToString,
            response_deserializer=RosterReply.FromString,
        )
        try:
            reply: RosterReply = await call(request, timeout=_ANSWER_LIMIT_S)
        except grpc.aio.AioRpcError as error:
            raise self._translate_error(error) from None
        return reply

    async def _answers(self, answers: AsyncIterable[ToOperator]) -> AsyncGenerator[ToOperator, None]:
        iterator = aiter(answers)
        try:
            while (answer := await asyncio.wait_for(anext(iterator, None), _ANSWER_LIMIT_S)) is not None:
                yield answer
        except TimeoutError:
            raise CallFailedError(
                f"the controller at {self._address} sent nothing for {_ANSWER_LIMIT_S:g} s"
            ) from None
        except grpc.aio.AioRpcError as error:
            raise self._translate_error(error) from None

    def _translate_error(self, error: grpc.aio.AioRpcError) -> CallFailedError:
        details = error.details() or ""
        controller = f"the controller at {self._address}"
        if "CERTIFICATE_VERIFY_FAILED" in details:
            return CallFailedError(
                f"{controller} has a certificate of another CA", "use the credentials of this controller"
            )
        if error.code() == grpc.StatusCode.UNAVAILABLE:
            reason = details.rpartition("last error: ")[2] or details
            return CallFailedError(
                f"{controller} can't be reached, or refuses the operator certificate ({reason})"
            )
        return CallFailedError(f"{controller}: {details or error.code()}")

    async def close(self) -> None:
        """End all calls."""
        await self._channel.close()
