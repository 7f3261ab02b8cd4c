"""What an agent offers of the runs that it holds fits into one message."""

from __future__ import annotations

from typing import Any

from heyfleet.agent.held_run import HeldRun, newest_offers
from heyfleet.proto.control_pb2 import FromAgent, Hello
from heyfleet.proto.plan_pb2 import Assignment, Plan, Request
from heyfleet.proto.protocol import MESSAGE_BYTES_AT_MOST, OFFERS_AT_MOST

RUNNER: Any = None


def held(number: int, body_bytes: int = 0) -> HeldRun:
    plan = Plan(requests=[Request(body=bytes(body_bytes))])
    run = HeldRun(Assignment(run_id=f"{number}", plan=plan), RUNNER, since_ns=0)
    run.seal = bytes([number])
    return run


def test_offers_carry_the_seal_of_the_start() -> None:
    (offer,) = newest_offers([held(7)])
    assert (offer.assignment.run_id, offer.seal) == ("7", b"\7")


def test_the_newest_runs_are_offered() -> None:
    offers = newest_offers([held(number) for number in range(OFFERS_AT_MOST + 3)])
    numbers = [int(offer.assignment.run_id) for offer in offers]
    assert numbers == list(range(3, OFFERS_AT_MOST + 3))


def test_runs_with_large_plans_do_not_keep_an_agent_from_attaching() -> None:
    offers = newest_offers([held(number, 2 << 20) for number in range(12)])
    assert [offer.assignment.run_id for offer in offers] == [f"{number}" for number in range(5, 12)]
    assert FromAgent(hello=Hello(offers=offers)).ByteSize() < MESSAGE_BYTES_AT_MOST
    (largest,) = newest_offers([held(1), held(2, MESSAGE_BYTES_AT_MOST - (1 << 20))])[-1:]
    assert largest.assignment.run_id == "2"
