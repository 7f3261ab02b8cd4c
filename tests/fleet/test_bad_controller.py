"""A real agent process whose controller sends assignments that no controller of ours would make."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from heyfleet.proto import protocol
from heyfleet.proto.control_pb2 import Dismissal, FromAgent, Ping, Release, Start, ToAgent, Welcome
from heyfleet.proto.plan_pb2 import CONNECTION_RATE, RATE, Assignment, Plan, Proxy, Resolve, Stage, Target

from .. import plans
from .processes import Fleet

LIMIT_S = 60
HOST = "127.0.0.1\0.example.com"
BAD = [
    Assignment(),
    plans.whole(plans.plan(), run_id="../../../x"),
    plans.whole(plans.plan(), run_id="/x"),
    plans.whole(plans.plan(), run_id="a\0b"),
    plans.whole(plans.plan(), agent="../../x"),
    plans.whole(plans.plan(requests=[])),
    plans.whole(plans.plan(requests=[plans.get(weight=4_000_000_000)])),
    plans.whole(plans.plan(load_model=RATE)),
    plans.whole(plans.plan(load_model=9)),
    plans.whole(plans.plan(load_model=CONNECTION_RATE, stages=[Stage(name="1", first=float("nan"))])),
    plans.whole(plans.plan(target=Target(scheme="http", host=HOST, port=80))),
    plans.whole(plans.plan(proxy=Proxy(host=HOST, port=80))),
    plans.whole(plans.plan(resolve=[Resolve(to_hosts=[HOST])])),
    plans.whole(plans.plan(workers=2**32 - 1, connections=2**32 - 1)),
    plans.whole(plans.plan(), connections=2**32 - 1),
    plans.whole(Plan()),
]


class BadController(grpc.GenericRpcHandler):
    """Sends the bad assignments, then a good one, and dismisses the agent when it has carried that out."""

    def __init__(self, good: Assignment) -> None:
        self._good = good
        self.refusals: list[str] = []
        self.sent = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            self._attach, FromAgent.FromString, ToAgent.SerializeToString
        )

    async def _attach(self, messages: AsyncIterator[FromAgent], context: Any) -> AsyncIterator[ToAgent]:
        assert (await anext(messages)).HasField("hello")
        yield ToAgent(welcome=Welcome())
        for assignment in BAD:
            yield ToAgent(assignment=assignment, run_id=assignment.run_id)
            answer = await anext(messages)
            assert answer.WhichOneof("message") == "refusal", answer
            assert answer.run_id == assignment.run_id
            self.refusals.append(answer.refusal.reason)
        yield ToAgent(assignment=self._good, run_id=self._good.run_id)
        async for answer in messages:
            match answer.WhichOneof("message"):
                case "ready":
                    yield ToAgent(start=Start(at_ns=time.monotonic_ns()), run_id=self._good.run_id)
                case "done":
                    self.sent = answer.done.sent
                    yield ToAgent(release=Release(), run_id=self._good.run_id)
                    yield ToAgent(dismissal=Dismissal(reason="over"))
                case "bye":
                    return
                case "refusal":
                    raise AssertionError(answer.refusal.reason)
                case _:
                    yield ToAgent(ping=Ping(sequence=1))


def test_an_agent_refuses_what_breaks_the_format_and_goes_on(fleet: Fleet, faulty: Any) -> None:
    port = int(faulty.url("/").rstrip("/").rpartition(":")[2])
    target = Target(scheme="http", host="127.0.0.1", port=port)
    stages = [Stage(name="1", first=50, last=50)]
    good = plans.whole(
        plans.plan(target=target, request_count=20, load_model=RATE, stages=stages), run_id="good"
    )
    controller = BadController(good)
    spool = fleet.folder / "a" / "b" / "c" / "spool"
    address = f"unix:{fleet.folder}/socket"

    async def serve() -> int:
        server = grpc.aio.server(options=protocol.CHANNEL_OPTIONS)
        server.add_generic_rpc_handlers((controller,))
        server.add_insecure_port(address)
        await server.start()
        limits = ("--max-rate", "100", "--allow-target", "127.0.0.1", "--allow-target", "*.example.com")
        agent = fleet.start("agent", "--join", address, "--name", "a1", "--spool", str(spool), *limits)
        try:
            return await asyncio.to_thread(agent.end, LIMIT_S)
        finally:
            await server.stop(0)

    assert asyncio.run(serve()) == 0
    assert len(controller.refusals) == len(BAD)
    assert all(controller.refusals)
    assert controller.sent == 20
    assert [path for path in fleet.folder.rglob("*") if path.is_file()] == []
