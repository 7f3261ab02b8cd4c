"""A fuzz target: assignments as an agent receives them, through validation and what needs no network of its preparation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from heyfleet.agent.http.messages import render_plan
from heyfleet.agent.http.resolve import Resolution
from heyfleet.agent.policy import HostPolicy
from heyfleet.agent.worker import Setup, build_engine
from heyfleet.errors import CannotStartError, InputError
from heyfleet.plan.sharding import deal, request_order
from heyfleet.plan.validation import validate_assignment
from heyfleet.proto.plan_pb2 import (
    CONNECTION_RATE,
    HTTP_2,
    RATE,
    USERS,
    Assignment,
    Column,
    Header,
    Plan,
    Proxy,
    Resolve,
    Stage,
    StatusRange,
    Target,
    Think,
    Tls,
)

from ..plans import get, plan, whole

# Larger ones are valid, and only cost time here.
_MAX_SLOTS = 2000
_POLICIES = (
    HostPolicy(),
    HostPolicy(targets=("*.example.com", "10.0.0.0/8"), max_rate=5, max_connections=3, max_duration_ns=10**9),
)


_TEXTS = (
    *(
        "",
        "a",
        "/",
        "*",
        "http",
        "https",
        "1.2",
        "1.3",
        "epoll",
        "io_uring",
        "GET",
        "HEAD",
        "OPTIONS",
        "CONNECT",
        "host",
    ),
    *(
        "Host",
        "a.example.com",
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "127.1",
        "1.2.3.4\0.example.com",
        "a\r\nHost: b",
        "@x",
    ),
    *(
        "../x",
        "/x",
        "a" * 64,
        "/{seq}",
        "{csv:a}",
        "{csv:b}",
        "{rand:9-1}",
        "{",
        "p99<1s",
        "errors<1% for 1s",
        "\u00e9",
    ),
)
_NUMBERS = (
    0,
    1,
    2,
    3,
    10,
    100,
    599,
    4096,
    65535,
    65536,
    10**6,
    10**9,
    2**31 - 1,
    2**31,
    2**32 - 1,
    10**18,
    2**63 - 1,
)
_LEVELS = (0.0, 1.0, 0.1, 5e-324, -1.0, 1e9, 1e10, 1e300, float("inf"), float("nan"))


def plans(data: bytes) -> None:
    """Validate an assignment, made of bytes or changed by them, and prepare what is valid: a refusal has a reason."""
    if len(data) < 2:
        return
    assignment = Assignment()
    bases = _bases()
    if data[0] % (len(bases) + 1):
        assignment.CopyFrom(bases[data[0] % (len(bases) + 1) - 1])
    if data[1] & 2:
        _edit(assignment, data[2:])
    else:
        try:
            assignment.MergeFromString(data[2:])
        except DecodeError:
            return
    try:
        validate_assignment(assignment)
        _is_what_it_seems(assignment)
        _POLICIES[data[1] & 1].check_load(assignment)
        _prepare(assignment)
    except (InputError, CannotStartError, ValueError) as error:
        reason = str(error)
    else:
        return
    assert 0 < len(reason) < 5000


def _edit(assignment: Assignment, edits: bytes) -> None:
    """Set fields to values that are special; each edit is the number of a field and that of a value."""
    fields = list(_scalar_fields(assignment))
    for number, choice in zip(edits[::2], edits[1::2], strict=False):
        owner, field = fields[number % len(fields)]
        value = _value(field, choice)
        if field.is_repeated:
            getattr(owner, field.name).append(value)
        else:
            setattr(owner, field.name, value)


def _scalar_fields(message: Message) -> Iterator[tuple[Message, Any]]:
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None:
            yield message, field
        elif field.is_repeated:
            for each in getattr(message, field.name):
                yield from _scalar_fields(each)
        elif message.HasField(field.name):
            yield from _scalar_fields(getattr(message, field.name))


def _value(field: Any, choice: int) -> object:
    if field.type == FieldDescriptor.TYPE_STRING:
        return _TEXTS[choice % len(_TEXTS)]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _TEXTS[choice % len(_TEXTS)].encode()
    if field.type == FieldDescriptor.TYPE_DOUBLE:
        return _LEVELS[choice % len(_LEVELS)]
    if field.type == FieldDescriptor.TYPE_BOOL:
        return bool(choice & 1)
    if field.type == FieldDescriptor.TYPE_ENUM:
        return choice % 8
    number = _NUMBERS[choice % len(_NUMBERS)]
    return number & 0xFFFFFFFF if field.type == FieldDescriptor.TYPE_UINT32 else number


def _is_what_it_seems(assignment: Assignment) -> None:
    """Check what every later step relies on."""
    name = f"{assignment.run_id}.{assignment.agent}.records"
    assert PurePath("spool", name).parent == PurePath("spool")
    of = assignment.plan
    hosts = [of.target.host, of.proxy.host, of.tls.name, *of.sources]
    hosts += [host for rule in of.resolve for host in (rule.host, *rule.to_hosts)]
    assert all(host.isascii() and host.isprintable() and " " not in host for host in hosts)
    lines = [(header.name, header.value) for request in of.requests for header in request.headers]
    assert not any(set("\r\n\0") & set(name + value) for name, value in lines)


def _prepare(assignment: Assignment) -> None:
    of = assignment.plan
    shares = deal(of.workers or 2, assignment.connections, assignment.request_count)
    assert sum(share.connections for share in shares) <= assignment.connections
    assert sum(share.request_count for share in shares) == assignment.request_count
    share = shares[0]
    if share.connections * max(of.streams, 1) > _MAX_SLOTS:
        return
    http2 = of.http == HTTP_2
    messages, columns = render_plan(of, http2)
    addresses = Resolution([("127.0.0.1", 80)], 0)
    setup = Setup(
        assignment=assignment,
        policy=HostPolicy(),
        resolution=addresses,
        http2=http2,
        messages=messages,
        order=request_order([request.weight for request in of.requests]),
        columns=columns,
        workers=len(shares),
        connections=share.connections,
    )
    build_engine(setup, share)


def plan_seeds() -> Iterator[bytes]:
    """Return the initial inputs of the target."""
    for number, base in enumerate(_bases(), 1):
        yield bytes([number, 0])
        yield bytes([number, 2, *range(0, 250, 7)])
        yield bytes([0, 1]) + base.SerializeToString()
    changes = [
        Assignment(run_id="../../x"),
        Assignment(plan=Plan(target=Target(host="127.0.0.1\0.example.com"))),
        Assignment(plan=Plan(load_model=RATE)),
        Assignment(plan=Plan(requests=[get("/b", weight=4_000_000_000)])),
        Assignment(plan=Plan(proxy=Proxy(host="p\r\nHost: q", port=80))),
    ]
    for change in changes:
        yield bytes([1, 0]) + change.SerializeToString()


def _bases() -> list[Assignment]:
    """Return valid assignments, which together use every field."""
    rate = plan(
        target=Target(scheme="https", host="a.example.com", port=443),
        tls=Tls(name="a.example.com", insecure=True, version="1.3"),
        load_model=RATE,
        stages=[Stage(name="up", duration_ns=10**9, last=4), Stage(name="all", first=4, last=4)],
        duration_ns=10**9,
        warmup_ns=10**8,
        timeout_ns=10**9,
        connections=4,
        poisson=True,
        seed=7,
        resolve=[Resolve(host="b", port=1, to_hosts=["127.0.0.1", "::1"], to_port=2)],
        slo=["p99<1s"],
        abort_on=["errors>50% for 5s"],
        http=HTTP_2,
        streams=3,
        trace_rows=100,
        workers=2,
    )
    users = plan(
        requests=[
            get(
                "/{seq}?{csv:a}",
                headers=[Header(name="Host", value="a"), Header(name="X", value="{rand:1-9}")],
                body=b"{uuid} {csv:a}",
                method="POST",
                expected=[StatusRange(first=200, last=299)],
            )
        ],
        load_model=USERS,
        stages=[Stage(name="1", first=4, last=4)],
        think=Think(kind=Think.UNIFORM, low_ns=1, high_ns=2),
        connections=4,
        template=True,
        data=[Column(name="a", values=[b"1", b"2 3"])],
        sources=["127.0.0.1"],
        proxy=Proxy(host="p", port=3128, credentials="a:b"),
        dns_ttl_ns=10**9,
        io="epoll",
    )
    each = plan(
        requests=[get(), get("/b", weight=3)],
        load_model=CONNECTION_RATE,
        stages=[Stage(name="1", first=40, last=40)],
        connections=8,
        unix_socket="@x",
        disable_keepalive=True,
        decode=True,
    )
    return [
        whole(plan()),
        whole(rate),
        whole(users),
        whole(each, connections=4, request_count=5, first_connection=1, connection_stride=2),
    ]
