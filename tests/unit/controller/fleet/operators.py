"""Operators of a long-running controller in virtual time, as gRPC would call it for them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field

from heyfleet.controller.fleet.daemon import Daemon
from heyfleet.proto.control_pb2 import (
    CollectRequest,
    FromOperator,
    Interval,
    ResultReceived,
    RunRequest,
    RunResult,
    RunStatus,
    Stop,
)
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.results.codec import from_message
from heyfleet.results.measurements import Measurements


@dataclass(kw_only=True)
class Answers:
    """What an operator has received."""

    statuses: list[RunStatus] = field(default_factory=list)
    intervals: list[Interval] = field(default_factory=list)
    measurements: Measurements | None = None
    refusal: str = ""


@dataclass(kw_only=True)
class Operator:
    """One operator with one run. Times are in seconds after its call."""

    request: RunRequest
    stop_s: float | None = None
    disconnect_s: float | None = None
    confirms: bool = True
    closes: bool = True  # its side, when it has the result
    pause_s: float = 0.0  # between reading two answers
    answers: Answers = field(default_factory=Answers)

    async def call(self, daemon: Daemon) -> None:
        """Request the run, and read to the end of the call."""
        task = asyncio.ensure_future(self._call(daemon))
        if self.disconnect_s is not None:
            asyncio.get_running_loop().call_later(self.disconnect_s, task.cancel)
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    async def _call(self, daemon: Daemon) -> None:
        loop = asyncio.get_running_loop()
        outgoing: asyncio.Queue[FromOperator | None] = asyncio.Queue()
        self.request.protocol = PROTOCOL
        outgoing.put_nowait(FromOperator(run=self.request))
        if self.stop_s is not None:
            loop.call_later(self.stop_s, outgoing.put_nowait, FromOperator(stop=Stop()))
        chunks: list[bytes] = []
        async with aclosing(daemon.run(_messages(outgoing))) as stream:
            async for answer in stream:
                await asyncio.sleep(self.pause_s)
                match answer.WhichOneof("message"):
                    case "status":
                        self.answers.statuses.append(answer.status)
                    case "interval":
                        self.answers.intervals.append(answer.interval)
                    case "refusal":
                        self.answers.refusal = answer.refusal.reason
                    case "result" if answer.result:
                        chunks.append(answer.result)
                    case "result":
                        self.answers.measurements = from_message(RunResult.FromString(b"".join(chunks)))
                        if self.confirms:
                            outgoing.put_nowait(FromOperator(result_received=ResultReceived()))
                        if self.closes:
                            outgoing.put_nowait(None)


async def _messages(outgoing: asyncio.Queue[FromOperator | None]) -> AsyncIterator[FromOperator]:
    while (message := await outgoing.get()) is not None:
        yield message


async def collect(daemon: Daemon, run_id: str = "", protocol: int = PROTOCOL) -> Answers:
    """Collect the results of a finished run."""
    answers, chunks = Answers(), list[bytes]()
    async for answer in daemon.collect(CollectRequest(protocol=protocol, run_id=run_id)):
        if answer.HasField("refusal"):
            answers.refusal = answer.refusal.reason
        elif answer.result:
            chunks.append(answer.result)
        else:
            answers.measurements = from_message(RunResult.FromString(b"".join(chunks)))
    return answers
