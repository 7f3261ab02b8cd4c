"""The agent's gRPC calls: join a controller, and serve one stream of it. The only module of the agent that imports grpc."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, Any

# gRPC's own log lines are for its developers; the errors below say what matters to a user.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from heyfleet import __version__
from heyfleet.agent.credentials import Certificate, Token, new_key
from heyfleet.agent.errors import DeniedError, UnreachableError
from heyfleet.agent.service import AgentService
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import FromAgent, JoinReply, JoinRequest, ToAgent
from heyfleet.text import shorten

_JOIN_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 1.0
# A controller sends at least a ping a second. One that is silent for this long, or for a longer lease, is given up.
_SILENCE_LIMIT_S = 10.0

if TYPE_CHECKING:  # it takes no parameters at run time
    _Call = grpc.aio.StreamStreamCall[Any, ToAgent]


async def join(address: str, ca_pem: bytes, token: Token, name: str) -> tuple[str, Certificate]:
    """Exchange a token for the agent's name and a certificate of its own; DeniedError, UnreachableError."""
    key_pem, request_pem = new_key()
    request = JoinRequest(
        protocol=protocol.PROTOCOL,
        version=__version__,
        token_id=token.token_id,
        secret=token.secret,
        name=name,
        signing_request_pem=request_pem,
    )
    async with _channel(address, Certificate(ca_pem, token.key_pem, token.certificate_pem)) as channel:
        call = channel.unary_unary(
            protocol.JOIN,
            request_serializer=JoinRequest.SerializeToString,
            response_deserializer=JoinReply.FromString,
        )
        try:
            reply = await call(request, timeout=_JOIN_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            raise _translate_error(address, error) from None
    return reply.agent, Certificate(ca_pem, key_pem, reply.certificate_pem)


async def attach(address: str, certificate: Certificate | None, service: AgentService) -> None:
    """Serve one stream; return when the service has left. Raises DeniedError and UnreachableError."""
    async with _channel(address, certificate) as channel:
        call = channel.stream_stream(
            protocol.ATTACH,
            request_serializer=FromAgent.SerializeToString,
            response_deserializer=ToAgent.FromString,
        )()
        outgoing: asyncio.Queue[FromAgent] = asyncio.Queue()
        outgoing.put_nowait(FromAgent(hello=service.hello()))
        writer = asyncio.create_task(_write(call, outgoing))
        reader = asyncio.create_task(_read(address, call, service, outgoing))
        leaving = asyncio.create_task(service.left.wait())
        try:
            await asyncio.wait({reader, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if service.left.is_set():
                await _close(call, reader)
            else:
                await reader
        except grpc.aio.AioRpcError as error:
            raise _translate_error(address, error) from None
        finally:
            service.detach()
            for task in (leaving, writer, reader):
                task.cancel()
                with contextlib.suppress(
                    asyncio.CancelledError,
                    asyncio.InvalidStateError,
                    grpc.aio.AioRpcError,
                    DeniedError,
                    UnreachableError,
                ):
                    await task
            call.cancel()


async def _write(call: _Call, outgoing: asyncio.Queue[FromAgent]) -> None:
    while True:
        message = await outgoing.get()
        await call.write(message)
        outgoing.task_done()


async def _read(address: str, call: _Call, service: AgentService, outgoing: asyncio.Queue[FromAgent]) -> None:
    """Pass messages on to the service until the stream ends, which is always an error."""
    while True:
        limit_s = max(_SILENCE_LIMIT_S, service.lease_ns / 1e9)
        try:
            async with asyncio.timeout(limit_s):
                message = await call.read()
        except TimeoutError:
            raise UnreachableError(f"the controller sent nothing for {limit_s:g} s") from None
        if message is grpc.aio.EOF or not isinstance(message, ToAgent):
            raise UnreachableError("the controller ended the stream")
        if message.HasField("rejection"):
            raise DeniedError(f"the controller at {address} refuses: {shorten(message.rejection.reason)}")
        if not service.is_attached:  # the first message is the welcome
            service.attach(outgoing)
        service.on_message(message)


async def _close(call: _Call, reader: asyncio.Task[None]) -> None:
    """Close this side of the stream, and wait until the controller has read everything and closes its own."""
    with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        await call.done_writing()
        await asyncio.wait({reader}, timeout=_CLOSE_TIMEOUT_S)


def _channel(address: str, certificate: Certificate | None) -> grpc.aio.Channel:
    """Open a channel: mutual TLS, or a socket file of this host.

    Each attempt has a pool of its own, since a shared one keeps gRPC's own waits between attempts.
    """
    options: list[tuple[str, int | str]] = [*protocol.CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    if certificate is None:
        return grpc.aio.insecure_channel(address, options=options)
    credentials = grpc.ssl_channel_credentials(
        certificate.ca_pem, certificate.key_pem, certificate.certificate_pem
    )
    options.append(("grpc.ssl_target_name_override", protocol.SERVER_NAME))
    return grpc.aio.secure_channel(address, credentials, options=options)


def _translate_error(address: str, error: grpc.aio.AioRpcError) -> DeniedError | UnreachableError:
    details = error.details() or str(error.code())
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return DeniedError(
            f"the controller at {address} has a certificate of another CA",
            "--ca must be the ca.pem of that controller",
        )
    if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return DeniedError(f"the controller at {address} refuses: {details}")
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return DeniedError(
            f"the server at {address} is not a controller of heyfleet agents",
            "--join takes the address that the controller listens on",
        )
    return UnreachableError(details.rpartition("last error: ")[2] or details)
