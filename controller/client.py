"""The operator's client of a long-running controller: runs, results of earlier runs, the list of agents, join tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import uvloop

from heyfleet import __version__
from heyfleet.controller.fleet import enrollment
from heyfleet.controller.fleet.grpc_server import CallFailedError, OperatorChannel
from heyfleet.controller.security.folder import CredentialsError, load_operator
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import CannotStartError, InputError
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromOperator,
    ResultReceived,
    RosterReply,
    RosterRequest,
    RunRequest,
    RunResult,
    RunStatus,
    Stop,
    ToOperator,
)
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.results.codec import from_message
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements


class Controller:
    """A `heyfleet controller` at an address, with the operator's credentials in a folder."""

    def __init__(self, address: str, folder: str) -> None:
        """Read the credentials. Raises InputError."""
        if not folder:
            raise InputError(
                "--controller needs credentials",
                "name a folder with the controller's ca.pem and operator.pem: --credentials DIR",
            )
        self._folder = folder
        self._address = enrollment.with_default_port(address)
        try:
            self._tls = load_operator(folder)
        except CredentialsError as error:
            raise InputError(f"--credentials: {error.cause}", error.cure) from None

    def run(
        self,
        request: RunRequest,
        interrupts: Interrupts,
        on_status: Callable[[RunStatus], None],
        on_interval: IntervalSink,
    ) -> Measurements:
        """Carry out a run. A signal stops the load; the report still follows.

        Raises CannotStartError if the controller refuses the run, CallFailedError if the call fails, also during the run, and
        Interrupted if a signal came before the start.
        """
        request.protocol, request.version = PROTOCOL, __version__
        return uvloop.run(self._run(request, interrupts, on_status, on_interval))

    async def _run(
        self,
        request: RunRequest,
        interrupts: Interrupts,
        on_status: Callable[[RunStatus], None],
        on_interval: IntervalSink,
    ) -> Measurements:
        outgoing: asyncio.Queue[FromOperator | None] = asyncio.Queue()
        outgoing.put_nowait(FromOperator(run=request))
        loop = asyncio.get_running_loop()
        stop = FromOperator(stop=Stop())
        channel = OperatorChannel(self._address, self._tls)
        answers = channel.run(_messages(outgoing))
        try:
            with interrupts.stop_with(lambda: loop.call_soon_threadsafe(outgoing.put_nowait, stop)):
                measurements = await _read_result(answers, interrupts, on_status, on_interval)
            outgoing.put_nowait(FromOperator(result_received=ResultReceived()))
            outgoing.put_nowait(None)
            async for _ in answers:
                pass
            return measurements
        finally:
            await channel.close()

    def collect(self, run_id: str) -> Measurements:
        """Return what the controller has of a run; of the latest one if `run_id` is empty.

        Raises CannotStartError if there is no such run, and CallFailedError.
        """
        return uvloop.run(self._collect(run_id))

    async def _collect(self, run_id: str) -> Measurements:
        channel = OperatorChannel(self._address, self._tls)
        request = CollectRequest(protocol=PROTOCOL, version=__version__, run_id=run_id)
        try:
            return await _read_result(channel.collect(request), None, lambda status: None, ignore)
        finally:
            await channel.close()

    def roster(self) -> RosterReply:
        """Return the agents that the controller knows now. Raises InputError."""
        try:
            reply = asyncio.run(self._roster())
        except CallFailedError as error:
            raise InputError(error.cause, error.cure) from None
        if reply.HasField("refusal"):
            raise InputError(reply.refusal.reason)
        return reply

    async def _roster(self) -> RosterReply:
        channel = OperatorChannel(self._address, self._tls)
        try:
            return await channel.roster(RosterRequest(protocol=PROTOCOL, version=__version__))
        finally:
            await channel.close()

    def issue_token(self, uses: int, valid_s: float) -> tuple[bytes, bytes]:
        """Return the CA and a new join token, good for `uses` agents and `valid_s` seconds.

        The folder must be the controller's own, with its ca.key. Raises InputError.
        """
        credentials = enrollment.load_credentials(self._folder)
        _, token = credentials.tokens.issue(credentials.authority, uses, valid_s)
        return credentials.authority.ca_pem, token.encode()


async def _messages(outgoing: asyncio.Queue[FromOperator | None]) -> AsyncIterator[FromOperator]:
    while (message := await outgoing.get()) is not None:
        yield message


async def _read_result(
    answers: AsyncIterator[ToOperator],
    interrupts: Interrupts | None,
    on_status: Callable[[RunStatus], None],
    on_interval: IntervalSink,
) -> Measurements:
    chunks: list[bytes] = []
    async for answer in answers:
        match answer.WhichOneof("message"):
            case "status":
                on_status(answer.status)
            case "interval":
                on_interval(answer.interval)
            case "refusal":
                if interrupts is not None and interrupts.signum:
                    raise Interrupted
                raise CannotStartError(answer.refusal.reason)
            case "result" if answer.result:
                chunks.append(answer.result)
            case "result":
                return from_message(RunResult.FromString(b"".join(chunks)))
    raise CallFailedError("the controller ended the call without a result")
