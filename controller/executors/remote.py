"""Runs, and results of runs, from a controller that keeps running elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import uvloop

from heyfleet import __version__
from heyfleet.controller.executors.local import ResultsElsewhereError
from heyfleet.controller.executors.options import run_request
from heyfleet.controller.fleet.enrollment import with_port
from heyfleet.controller.fleet.grpc_server import CallFailed, Operator
from heyfleet.controller.live import Live
from heyfleet.controller.security.folder import CredentialsError, load_operator
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import InputError
from heyfleet.plan.sections.fleet import FleetOptions
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromOperator,
    ResultReceived,
    RunRequest,
    RunResult,
    RunStatus,
    Stop,
    ToOperator,
)
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.results.codec import from_message
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements


class RemoteExecutor:
    """Executes a plan on the fleet of a controller elsewhere."""

    def __init__(self, options: FleetOptions) -> None:
        self._options = options
        self._began = False

    def execute(self, plan: Plan, interrupts: Interrupts, take: IntervalSink = ignore) -> Measurements:
        """The whole run; InputError if it can't begin, Interrupted if it was ended before it began."""
        request = run_request(self._options, plan)
        request.protocol, request.version = PROTOCOL, __version__
        live = Live(quiet=self._options.quiet)
        try:
            return uvloop.run(
                _run(operator(self._options), request, interrupts, lambda view: self._show(live, view), take)
            )
        except CallFailed as error:
            if self._began:
                raise ResultsElsewhereError(
                    f"{error}; agents end their load and keep its results: when the controller is there again,"
                    f" `heyfleet collect --controller {self._options.controller}` has the report"
                ) from None
            raise InputError(str(error)) from None
        finally:
            live.close()

    def _show(self, live: Live, view: RunStatus) -> None:
        self._began = self._began or view.elapsed_ns > 0
        live.show(view)


def operator(options: FleetOptions) -> tuple[str, tuple[bytes, bytes, bytes]]:
    """Address and credentials, as the flags name them."""
    if not options.credentials_folder:
        raise InputError(
            "--controller needs --credentials DIR, with the ca.pem and operator.pem of that controller"
        )
    try:
        return with_port(options.controller), load_operator(options.credentials_folder)
    except CredentialsError as error:
        raise InputError(f"--credentials: {error}") from None


def collect(options: FleetOptions, run_id: str) -> Measurements:
    """What the controller keeps of a run; of the latest, if it is not named."""
    request = CollectRequest(protocol=PROTOCOL, version=__version__, run_id=run_id)
    try:
        return uvloop.run(_collect(operator(options), request))
    except CallFailed as error:
        raise InputError(str(error)) from None


async def _run(
    reach: tuple[str, tuple[bytes, bytes, bytes]],
    request: RunRequest,
    interrupts: Interrupts,
    show: Callable[[RunStatus], None],
    take: IntervalSink,
) -> Measurements:
    said: asyncio.Queue[FromOperator | None] = asyncio.Queue()
    said.put_nowait(FromOperator(run=request))
    loop = asyncio.get_running_loop()
    interrupts.running(lambda: loop.call_soon_threadsafe(said.put_nowait, FromOperator(stop=Stop())))
    channel = Operator(*reach)
    answers = channel.run(_all_of(said))
    try:
        measured = await _result(answers, show, interrupts, take)
        said.put_nowait(FromOperator(result_received=ResultReceived()))
        said.put_nowait(None)
        async for _ in answers:
            pass
        return measured
    finally:
        await channel.close()


async def _collect(reach: tuple[str, tuple[bytes, bytes, bytes]], request: CollectRequest) -> Measurements:
    channel = Operator(*reach)
    try:
        return await _result(channel.collect(request), lambda view: None, None, ignore)
    finally:
        await channel.close()


async def _result(
    answers: AsyncIterator[ToOperator],
    show: Callable[[RunStatus], None],
    interrupts: Interrupts | None,
    take: IntervalSink,
) -> Measurements:
    parts: list[bytes] = []
    async for answer in answers:
        match answer.WhichOneof("message"):
            case "status":
                show(answer.status)
            case "interval":
                take(answer.interval)
            case "refusal":
                if interrupts is not None and interrupts.signum:
                    raise Interrupted
                raise InputError(answer.refusal.reason)
            case "result" if answer.result:
                parts.append(answer.result)
            case "result":
                return from_message(RunResult.FromString(b"".join(parts)))
    raise CallFailed("the controller ended the call without a result")


async def _all_of(said: asyncio.Queue[FromOperator | None]) -> AsyncIterator[FromOperator]:
    while (message := await said.get()) is not None:
        yield message
