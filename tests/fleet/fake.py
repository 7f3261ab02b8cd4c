"""Agents that lie, stutter or break the protocol, over real gRPC on a socket file, against the controller's own parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import grpc.aio

from heyfleet.controller.executors.fleet import background
from heyfleet.controller.fleet.coordinator import RunCoordinator
from heyfleet.controller.fleet.grpc_server import Server
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.ext import Histogram
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import FromAgent, Hello, HostFacts, Offer, Pong, RunRequest, ToAgent
from heyfleet.proto.plan_pb2 import Assignment, Plan, Target
from heyfleet.proto.stats_pb2 import Done, Ready, Snapshot
from heyfleet.proto.stats_pb2 import Histogram as HistogramMessage
from heyfleet.results.measurements import Measurements

MS = 1_000_000


def snapshot(agent: str, sequence: int, values_ns: Iterable[int]) -> Snapshot:
    """One that adds up."""
    histogram = Histogram()
    for value_ns in values_ns:
        histogram.record(value_ns)
    message = HistogramMessage(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
        clamped=histogram.clamped,
    )
    return Snapshot(
        agent=agent,
        sequence=sequence,
        begin_ns=(sequence - 1) * 1000 * MS,
        end_ns=sequence * 1000 * MS,
        histograms={"latency": message} if histogram.count else {},
        responses={200: histogram.count} if histogram.count else {},
        sent=histogram.count,
    )


def done(agent: str, snapshots: list[Snapshot]) -> Done:
    """Their totals."""
    sent = sum(each.sent for each in snapshots)
    return Done(
        agent=agent,
        last_sequence=max((each.sequence for each in snapshots), default=0),
        planned=sent,
        sent=sent,
        responses=sent,
        elapsed_ns=1000 * MS,
        stopped_by="duration",
    )


class FakeAgent:
    """Does as it should, but for what a test changes: `messages` makes what it says once it was started."""

    def __init__(
        self,
        name: str,
        messages: Callable[[str], list[Snapshot | Done | str]],
        *,
        spoken: int = protocol.PROTOCOL,
    ) -> None:
        self.name = name
        self.acks: list[tuple[int, str]] = []
        self.released = False
        self.rejected = ""
        self.assignment: Assignment | None = None
        self._messages = messages
        self._spoken = spoken

    async def live(self, address: str) -> None:
        """Attach until the controller ends it; the message "break" breaks the stream, and attaches again."""
        left = None
        while left is None or left:
            left = await self._attach(address, left)

    async def _attach(
        self, address: str, left: list[Snapshot | Done | str] | None
    ) -> list[Snapshot | Done | str]:
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.stream_stream(
                protocol.ATTACH,
                request_serializer=FromAgent.SerializeToString,
                response_deserializer=ToAgent.FromString,
            )()
            offers = [Offer(assignment=self.assignment)] if left and self.assignment else []
            facts = HostFacts(host="fake")
            hello = Hello(protocol=self._spoken, version="0", agent=self.name, facts=facts, offers=offers)
            await call.write(FromAgent(hello=hello))
            if left:
                left = await self._say(call, left)
                if left:
                    return left
            while (message := await call.read()) is not grpc.aio.EOF:
                assert isinstance(message, ToAgent)
                match message.WhichOneof("message"):
                    case "rejection":
                        self.rejected = message.rejection.reason
                    case "ping":
                        import time

                        pong = Pong(
                            sequence=message.ping.sequence,
                            sent_ns=message.ping.sent_ns,
                            received_ns=time.monotonic_ns(),
                        )
                        await call.write(FromAgent(pong=pong))
                    case "assignment":
                        self.assignment = message.assignment
                        await call.write(FromAgent(ready=Ready(workers=1, io="epoll"), run_id=message.run_id))
                    case "start":
                        left = await self._say(call, self._messages(self.name))
                        if left:
                            return left
                    case "ack":
                        self.acks.append((message.ack.sequence, message.ack.refusal_reason))
                    case "release":
                        self.released = True
                    case "dismissal":
                        await call.done_writing()
                        return []
        return []

    async def _say(
        self,
        call: Any,
        messages: list[Snapshot | Done | str],
    ) -> list[Snapshot | Done | str]:
        assert self.assignment is not None
        run_id = self.assignment.run_id
        for number, message in enumerate(messages):
            if isinstance(message, Snapshot):
                await call.write(FromAgent(snapshot=message, run_id=run_id))
            elif isinstance(message, Done):
                await call.write(FromAgent(done=message, run_id=run_id))
            else:
                await asyncio.sleep(0.2)  # for what was written to arrive
                call.cancel()
                return messages[number + 1 :]
        return []


def play(folder: Path, agents: list[FakeAgent], requests: int = 0) -> Measurements:
    """One run of these agents, to its end."""
    return asyncio.run(_play(f"unix:{folder}/socket", agents, requests))


async def _play(address: str, agents: list[FakeAgent], requests: int) -> Measurements:
    plan = Plan(
        target=Target(scheme="http", host="nowhere", port=80),
        connections=len(agents),
        duration_ns=1000 * MS,
        request_count=requests,
    )
    fleet = AgentRegistry()
    wanted = RunRequest(plan=plan, agents=len(agents), join_timeout_ns=20_000 * MS, lost_timeout_ns=1000 * MS)
    conductor = fleet.receiver = RunCoordinator(fleet, wanted)
    server = Server(fleet, None)
    await server.start(address)
    lives = [asyncio.create_task(agent.live(address)) for agent in agents]
    try:
        async with background(fleet.beat):
            measured = await asyncio.wait_for(conductor.conduct(), 30)
            conductor.release()
            fleet.dismiss("over")
            await asyncio.wait(lives, timeout=5)
    finally:
        await server.stop()
    assert measured is not None
    for life in lives:
        if life.done():
            life.result()
        else:
            life.cancel()
    return measured
