"""Many agents that only stream snapshots:  python -m bench.simulated ADDRESS FOLDER FIRST COUNT SNAPSHOTS

Each has its own connection with mutual TLS and sends a snapshot of four histograms every second, all at the same instants,
like agents that were started together. Prints the delays of acknowledgements, in seconds, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from heyfleet.ext import Histogram
from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import FromAgent, Hello, Pong, ToAgent
from heyfleet.proto.stats_pb2 import Done, Ready, Snapshot
from heyfleet.proto.stats_pb2 import Histogram as HistogramMessage

METRICS = ("latency", "request_write", "wait", "read")
SAMPLES = 20_000


def payload(seed: int) -> HistogramMessage:
    """Return a histogram of log-normal latencies around 3 ms."""
    histogram, draw = Histogram(), random.Random(seed)  # noqa: S311
    for _ in range(SAMPLES):
        histogram.record(int(draw.lognormvariate(15, 0.6)))
    return HistogramMessage(
        counts_v2=histogram.encode(),
        count=histogram.count,
        sum_ns=histogram.sum_ns,
        min_ns=histogram.min_ns,
        max_ns=histogram.max_ns,
    )


class Agent:
    """A simulated agent with one stream."""

    def __init__(self, name: str, histograms: dict[str, HistogramMessage], snapshots: int) -> None:
        self.name = name
        self.delays_s: list[tuple[int, float]] = []
        self._histograms = histograms
        self._snapshots = snapshots
        self._sent_s: dict[int, float] = {}
        self._writing = asyncio.Lock()  # gRPC allows one write at a time on a stream

    async def live(self, address: str, folder: Path) -> None:
        """Attach to the controller and take part in its run until dismissed."""
        credentials = grpc.ssl_channel_credentials(
            (folder / "ca.pem").read_bytes(),
            (folder / f"{self.name}.key").read_bytes(),
            (folder / f"{self.name}.pem").read_bytes(),
        )
        options = [
            *protocol.CHANNEL_OPTIONS,
            ("grpc.ssl_target_name_override", protocol.SERVER_NAME),
            ("grpc.use_local_subchannel_pool", 1),
        ]
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            call = channel.stream_stream(
                protocol.ATTACH,
                request_serializer=FromAgent.SerializeToString,
                response_deserializer=ToAgent.FromString,
            )()
            await call.write(
                FromAgent(hello=Hello(protocol=protocol.PROTOCOL, version="bench", agent=self.name))
            )
            await self._listen(call)

    async def _write(self, call: Any, message: FromAgent) -> None:
        async with self._writing:
            await call.write(message)

    async def _listen(self, call: Any) -> None:
        load: asyncio.Task[None] | None = None
        while (message := await call.read()) is not grpc.aio.EOF:
            run_id = message.run_id
            match message.WhichOneof("message"):
                case "ping":
                    pong = Pong(
                        sequence=message.ping.sequence,
                        sent_ns=message.ping.sent_ns,
                        received_ns=time.monotonic_ns(),
                    )
                    await self._write(call, FromAgent(pong=pong))
                case "assignment":
                    await self._write(call, FromAgent(ready=Ready(workers=1), run_id=run_id))
                case "start":
                    load = asyncio.create_task(self._stream(call, run_id, message.start.at_ns))
                case "ack":
                    sent_s = self._sent_s.pop(message.ack.sequence)
                    self.delays_s.append((message.ack.sequence, time.monotonic() - sent_s))
                case "dismissal":
                    await call.done_writing()
                    break
        if load is not None:
            await load

    async def _stream(self, call: Any, run_id: str, at_ns: int) -> None:
        for sequence in range(1, self._snapshots + 1):
            due_s = at_ns / 1e9 + sequence
            await asyncio.sleep(due_s - time.monotonic())
            snapshot = Snapshot(
                agent=self.name,
                sequence=sequence,
                begin_ns=(sequence - 1) * 10**9,
                end_ns=sequence * 10**9,
                histograms=self._histograms,
                responses={200: SAMPLES},
                sent=SAMPLES,
            )
            self._sent_s[sequence] = due_s
            await self._write(call, FromAgent(snapshot=snapshot, run_id=run_id))
        sent = SAMPLES * self._snapshots
        done = Done(
            agent=self.name,
            last_sequence=self._snapshots,
            planned=sent,
            sent=sent,
            responses=sent,
            elapsed_ns=self._snapshots * 10**9,
            stopped_by="duration",
        )
        await self._write(call, FromAgent(done=done, run_id=run_id))


async def main(address: str, folder: Path, first: int, count: int, snapshots: int) -> None:
    """Run these agents until they are dismissed."""
    histograms = {metric: payload(seed) for seed, metric in enumerate(METRICS)}
    agents = [Agent(f"sim-{number}", histograms, snapshots) for number in range(first, first + count)]
    await asyncio.gather(*(agent.live(address, folder) for agent in agents))
    delays = [(sequence, delay_s) for agent in agents for sequence, delay_s in agent.delays_s]
    print(json.dumps(delays))


if __name__ == "__main__":
    address_, folder_, first_, count_, snapshots_ = sys.argv[1:]
    asyncio.run(main(address_, Path(folder_), int(first_), int(count_), int(snapshots_)))
