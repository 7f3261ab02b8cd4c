"""Whatever field a message has, its texts are cut, and its numbers and lists are within bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from heyfleet.controller.fleet.receipt import InvalidMessageError, bound
from heyfleet.controller.fleet.registry import AgentRegistry
from heyfleet.proto.control_pb2 import FromAgent, Hello, HostFacts, JoinRequest, Offer, Pong
from heyfleet.proto.plan_pb2 import Assignment, Plan, Target
from heyfleet.proto.protocol import PROTOCOL
from heyfleet.proto.stats_pb2 import Done, HostState, Ready, WorkerFacts
from heyfleet.text import TEXT_LENGTH, shorten


def test_what_an_honest_agent_sends_stays_as_it_is() -> None:
    host = HostState(cores=2, steal_ns=10**15, allowance_exceeded={"bw_in": 7, "pps": 9})
    done = Done(
        agent="a1", sent=2**40, workers=[WorkerFacts(cpu_ns=10**12)], host=host, fault="é" * TEXT_LENGTH
    )
    for message in (FromAgent(done=done, run_id="r1"), FromAgent(pong=Pong(received_ns=-(10**18)))):
        before = message.SerializeToString(deterministic=True)
        bound(message)
        assert message.SerializeToString(deterministic=True) == before


def test_texts_are_cut() -> None:
    long = "x" * 10**6
    message = FromAgent(
        done=Done(fault=long, tls=long, workers=[WorkerFacts()]),
        run_id=long,
    )
    bound(message)
    assert message.ByteSize() < 1000
    assert message.done.fault == shorten(long) == "x" * (TEXT_LENGTH - 3) + "..."
    request = JoinRequest(name=long, secret=long)
    bound(request)
    assert request.ByteSize() < 1000


def test_offered_shares_are_not_changed() -> None:
    assignment = Assignment(
        run_id="x" * 1000, plan=Plan(target=Target(host="y" * 1000), duration_ns=2**64 - 1)
    )
    hello = Hello(offers=[Offer(assignment=assignment)])
    bound(hello)
    assert hello.offers[0].assignment == assignment


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Done(planned=2**63), "its planned is 9223372036854775808"),
        (Done(elapsed_ns=-(2**63)), "its elapsed_ns is -9223372036854775808"),
        (Done(workers=[WorkerFacts(cpu_ns=2**64 - 1)]), "its cpu_ns is"),
        (Done(host=HostState(allowance_exceeded={"a": 2**63})), "its allowance_exceeded is"),
        (Done(host=HostState(allowance_exceeded={"a" * 301: 1})), "a name of 301 characters"),
        (Ready(addresses=["a"] * 1025), "it has 1025 addresses"),
        (Hello(facts=HostFacts(open_files=2**64 - 1)), "its open_files is"),
        (Hello(offers=[Offer(last_sequence=2**64 - 1)]), "its last_sequence is"),
        (Pong(received_ns=2**63 - 1), "its received_ns is"),
        (JoinRequest(signing_request_pem=bytes(100_000)), "its signing_request_pem has 100000 bytes"),
    ],
)
def test_what_no_honest_agent_sends_is_refused(message: Done, reason: str) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        bound(message)
    assert reason in str(caught.value)
    assert len(str(caught.value)) < 200


def test_unknown_fields_are_dropped() -> None:
    unknown = b"\xfa\x3f" + b"\x80\x80\x40" + bytes(1 << 20)  # field 1023
    for message in (
        FromAgent.FromString(unknown),
        Hello(facts=HostFacts.FromString(unknown)),
        Done.FromString(unknown),
    ):
        assert message.ByteSize() > 1 << 20
        bound(message)
        assert message.ByteSize() < 100


@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer keeps what was freed")
def test_what_a_controller_keeps_of_large_messages_is_small() -> None:
    before_kib = resident_kib()
    registry = AgentRegistry()
    for number in range(20):
        hello = Hello(
            protocol=PROTOCOL, agent=f"a{number}", facts=HostFacts(host="h", kernel="k" * (8 << 20))
        )
        registry.attach(Hello.FromString(hello.SerializeToString()), None)
        registry.attach(Hello.FromString(hello.SerializeToString()), None)
    assert len(registry.attached) == 20
    assert resident_kib() - before_kib < 100 << 10  # of 320 MiB


def resident_kib() -> int:
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0])
