"""Agents that send false or repeated messages or break the protocol, over real gRPC on a socket file."""

from __future__ import annotations

import asyncio
import time
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
    """Return a consistent snapshot."""
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
    """Return the totals of snapshots."""
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
    """Follows the protocol; `messages` makes what it sends after the start."""

    def __init__(
        self,
        name: str,
        messages: Callable[[str], list[Snapshot | Done | str]],
        *,
        protocol_number: int = protocol.PROTOCOL,
    ) -> None:
        self.name = name
        self.acks: list[tuple[int, str]] = []
        self.released = False
        self.rejected = ""
        self.assignment: Assignment | None = None
        self._messages = messages
        self._protocol_number = protocol_number

    async def run(self, address: str) -> None:
        """Attach until the controller dismisses the agent; the message "break" breaks the stream and attaches again."""
        unsent = None
        while unsent is None or unsent:
            unsent = await self._attach(address, unsent)

    async def _attach(
        self, address: str, unsent: list[Snapshot | Done | str] | None
    ) -> list[Snapshot | Done | str]:
        async with grpc.aio.insecure_channel(address) as channel:
            call = channel.stream_stream(
                protocol.ATTACH,
                request_serializer=FromAgent.SerializeToString,
                response_deserializer=ToAgent.FromString,
            )()
            offers = [Offer(assignment=self.assignment)] if unsent and self.assignment else []
            facts = HostFacts(host="fake")
            hello = Hello(
                protocol=self._protocol_number, version="0", agent=self.name, facts=facts, offers=offers
            )
            await call.write(FromAgent(hello=hello))
            if unsent:
                unsent = await self._send(call, unsent)
                if unsent:
                    return unsent
            while (message := await call.read()) is not grpc.aio.EOF:
                assert isinstance(message, ToAgent)
                match message.WhichOneof("message"):
                    case "rejection":
                        self.rejected = message.rejection.reason
                    case "ping":
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
                        unsent = await self._send(call, self._messages(self.name))
                        if unsent:
                            return unsent
                    case "ack":
                        self.acks.append((message.ack.sequence, message.ack.refusal_reason))
                    case "release":
                        self.released = True
                    case "dismissal":
                        await call.done_writing()
                        return []
        return []

    async def _send(
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
                await asyncio.sleep(0.2)  # until the messages have arrived
                call.cancel()
                return messages[number + 1 :]
        return []


def play(folder: Path, agents: list[FakeAgent], requests: int = 0) -> Measurements:
    """Carry out one run with these agents."""
    return asyncio.run(_play(f"unix:{folder}/socket", agents, requests))


async def _play(address: str, agents: list[FakeAgent], requests: int) -> Measurements:
    plan = Plan(
        target=Target(scheme="http", host="nowhere", port=80),
        connections=len(agents),
        duration_ns=1000 * MS,
        request_count=requests,
    )
    registry = AgentRegistry()
    request = RunRequest(
        plan=plan, agents=len(agents), join_timeout_ns=20_000 * MS, lost_timeout_ns=1000 * MS
    )
    coordinator = registry.run_handler = RunCoordinator(registry, request)
    server = Server(registry, None)
    await server.start(address)
    tasks = [asyncio.create_task(agent.run(address)) for agent in agents]
    try:
        async with background(registry.renew_leases):
            measurements = await asyncio.wait_for(coordinator.run(), 30)
            coordinator.release()
            registry.dismiss_all("over")
            await asyncio.wait(tasks, timeout=5)
    finally:
        await server.stop()
    assert measurements is not None
    for task in tasks:
        if task.done():
            task.result()
        else:
            task.cancel()
    return measurements
