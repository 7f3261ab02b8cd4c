"""gRPC, and nothing else: an agent joins its controller, attaches, and attaches again when the stream breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

# What gRPC says by itself is for its developers; what matters of it we say in words.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio

from heyfleet import __version__
from heyfleet.agent.credentials import Token, new_key
from heyfleet.agent.service import AgentService
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import FromAgent, JoinReply, JoinRequest, ToAgent

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 2.0
_JOIN_TIMEOUT_S = 10.0


if TYPE_CHECKING:  # it takes no parameters at run time
    _Call = grpc.aio.StreamStreamCall[Any, ToAgent]


class Denied(Exception):
    """The controller does not want this agent, or is not ours: trying again is of no use."""


class Unreachable(Exception):
    """The controller could not be reached, or the stream to it broke: trying again may help."""


@dataclass(frozen=True)
class Certificate:
    """What an agent shows its controller, and checks it by; all in PEM."""

    ca_pem: bytes
    key_pem: bytes
    certificate_pem: bytes


def _channel(address: str, certificate: Certificate | None) -> grpc.aio.Channel:
    """Mutual TLS, or a socket file of this host. A channel of its own each time: an old one waits before it tries again."""
    options: list[tuple[str, int | str]] = [*protocol.CHANNEL_OPTIONS, ("grpc.use_local_subchannel_pool", 1)]
    if certificate is None:
        return grpc.aio.insecure_channel(address, options=options)
    credentials = grpc.ssl_channel_credentials(
        certificate.ca_pem, certificate.key_pem, certificate.certificate_pem
    )
    options.append(("grpc.ssl_target_name_override", protocol.SERVER_NAME))
    return grpc.aio.secure_channel(address, credentials, options=options)


async def join(address: str, ca_pem: bytes, token: Token, name: str) -> tuple[str, Certificate]:
    """Turn a token into a name and a certificate of one's own. Denied, Unreachable."""
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
            raise _meant(address, error) from None
    return reply.agent, Certificate(ca_pem, key_pem, reply.certificate_pem)


def _meant(address: str, error: grpc.aio.AioRpcError) -> Denied | Unreachable:
    details = error.details() or str(error.code())
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return Denied(
            f"the controller at {address} has a certificate of another CA: --ca must be the ca.pem of that controller"
        )
    if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return Denied(f"the controller at {address} refuses: {details}")
    if error.code() == grpc.StatusCode.UNIMPLEMENTED:
        return Denied(f"what listens at {address} is not a controller of heyfleet agents")
    return Unreachable(details.rpartition("last error: ")[2] or details)


async def attach(address: str, certificate: Certificate | None, carrier: AgentService) -> None:
    """One stream, to its end. Denied, Unreachable; returns when the agent was dismissed."""
    async with _channel(address, certificate) as channel:
        call = channel.stream_stream(
            protocol.ATTACH,
            request_serializer=FromAgent.SerializeToString,
            response_deserializer=ToAgent.FromString,
        )()
        outgoing: asyncio.Queue[FromAgent] = asyncio.Queue()
        outgoing.put_nowait(FromAgent(hello=carrier.hello()))
        writer = asyncio.create_task(_write(call, outgoing))
        try:
            await _read(address, call, carrier, outgoing)
        except grpc.aio.AioRpcError as error:
            raise _meant(address, error) from None
        finally:
            carrier.detached()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
                await writer
            call.cancel()


async def _write(call: _Call, outgoing: asyncio.Queue[FromAgent]) -> None:
    while True:
        message = await outgoing.get()
        await call.write(message)
        outgoing.task_done()


async def _read(
    address: str,
    call: _Call,
    carrier: AgentService,
    outgoing: asyncio.Queue[FromAgent],
) -> None:
    welcomed = False
    while True:
        message = await call.read()
        if message is grpc.aio.EOF or not isinstance(message, ToAgent):
            raise Unreachable("the controller ended the stream")
        if message.HasField("rejection"):
            raise Denied(f"the controller at {address} refuses: {message.rejection.reason}")
        if not welcomed:
            welcomed = True
            carrier.attached(outgoing.put_nowait)
        carrier.on_message(message)
        if carrier.dismissed:
            await carrier.drain("dismissed", 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(outgoing.join(), 1)
            await call.done_writing()
            return


class Backoff:
    """Between two attempts: longer each time, and not for ever."""

    def __init__(self, timeout_s: float, say: Callable[[str], None]) -> None:
        self._timeout_s = timeout_s
        self._say = say
        self.renew()

    def renew(self) -> None:
        """The controller was heard."""
        self._since_s = time.monotonic()
        self._wait_s = _FIRST_WAIT_S
        self._told = False

    async def wait(self, address: str, why: Unreachable) -> None:
        """Wait for the next attempt; raises `why` when the time is up."""
        if time.monotonic() - self._since_s >= self._timeout_s:
            raise why
        if not self._told and self._wait_s > 4 * _FIRST_WAIT_S:
            self._told = True
            self._say(
                f"the controller at {address} can't be reached ({why}); trying for {self._timeout_s:g} s"
            )
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
