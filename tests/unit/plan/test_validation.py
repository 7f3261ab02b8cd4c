"""Plans, assignments and requests for runs as they are received: each field is checked, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from heyfleet.errors import InputError
from heyfleet.plan.build import whole_plan
from heyfleet.plan.validation import (
    InvalidPlanError,
    validate_assignment,
    validate_plan,
    validate_run_request,
)
from heyfleet.proto.control_pb2 import RunRequest
from heyfleet.proto.plan_pb2 import (
    CONNECTION_RATE,
    HTTP_2,
    IPV4,
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

from ...plans import get, plan, whole

Path = tuple[str | int, ...]

LARGEST = {
    FieldDescriptor.TYPE_UINT32: 2**32 - 1,
    FieldDescriptor.TYPE_UINT64: 2**64 - 1,
    FieldDescriptor.TYPE_INT64: 2**63 - 1,
    FieldDescriptor.TYPE_DOUBLE: float("inf"),
    FieldDescriptor.TYPE_ENUM: 99,
}
# Numbers that may have any value of their type.
WITHOUT_BOUNDS = {"plan.seed"}
# Texts that may have this value: long ones are limited by the size of a message.
LONG = "/" + "a" * 200_000
LONG_ALLOWED = {
    *("plan.requests.request_target", "plan.requests.headers.value", "plan.requests.headers.name"),
    *("plan.data.name", "plan.requests.method"),
}


def full_assignment() -> Assignment:
    """Return a valid assignment in which every message occurs."""
    request = get(
        "/{seq}?{csv:a}",
        headers=[Header(name="Host", value="a"), Header(name="X", value="{csv:a}")],
        expected=[StatusRange(first=200, last=299)],
    )
    whole_plan = plan(
        target=Target(scheme="https", host="a.example", port=443),
        tls=Tls(name="a.example", version="1.3"),
        requests=[request],
        load_model=USERS,
        stages=[Stage(name="up", duration_ns=10**9, last=4), Stage(name="all", first=4, last=4)],
        think=Think(kind=Think.UNIFORM, low_ns=1, high_ns=2),
        duration_ns=10**9,
        connections=4,
        template=True,
        data=[Column(name="a", values=[b"1", b"2"])],
        sources=["127.0.0.1"],
        resolve=[Resolve(host="b", to_hosts=["127.0.0.1"], to_port=1)],
        proxy=Proxy(host="p", port=3128, credentials="a:b"),
        slo=["p99<1s"],
        abort_on=["errors>50% for 5s"],
        io="epoll",
        http=HTTP_2,
        family=IPV4,
        trace_rows=100,
    )
    return whole(whole_plan)


def fields(message: Message, prefix: str = "") -> Iterator[tuple[str, Message, Any]]:
    """Yield each scalar field of a message and of the first of each message below it, with its path."""
    for field in message.DESCRIPTOR.fields:
        name = f"{prefix}{field.name}"
        if field.message_type is None:
            yield name, message, field
        elif field.is_repeated:
            yield from fields(getattr(message, field.name)[0], f"{name}.")
        elif field.name not in ("target",) or message.HasField(field.name):
            yield from fields(getattr(message, field.name), f"{name}.")


def accepts(name: str, value: Any) -> bool:
    """Whether an assignment is accepted after one field was set."""
    assignment = full_assignment()
    found = {path: (owner, field) for path, owner, field in fields(assignment)}
    owner, field = found[name]
    if field.is_repeated:
        getattr(owner, field.name).append(value)
    else:
        setattr(owner, field.name, value)
    try:
        validate_assignment(assignment)
    except InvalidPlanError as error:
        line = str(error)
    else:
        return True
    assert 0 < len(line) < 1000
    assert "\n" not in line
    return False


def of_type(*types: int) -> list[str]:
    return [name for name, _, field in fields(full_assignment()) if field.type in types]


def test_the_full_assignment_is_valid() -> None:
    validate_assignment(full_assignment())


@pytest.mark.parametrize("name", of_type(*LARGEST))
def test_every_number_has_bounds(name: str) -> None:
    field = next(field for path, _, field in fields(full_assignment()) if path == name)
    assert accepts(name, LARGEST[field.type]) == (name in WITHOUT_BOUNDS)


@pytest.mark.parametrize("name", of_type(FieldDescriptor.TYPE_DOUBLE))
@pytest.mark.parametrize("value", [float("nan"), -1.0, 1e300])
def test_every_level_is_a_number(name: str, value: float) -> None:
    assert not accepts(name, value)


@pytest.mark.parametrize("text", ["a\0b", "a\r\nb", "a\nb", "a\x7fb", "\x1b[31m"])
@pytest.mark.parametrize("name", of_type(FieldDescriptor.TYPE_STRING))
def test_no_text_has_control_characters(name: str, text: str) -> None:
    assert not accepts(name, text)


@pytest.mark.parametrize("name", of_type(FieldDescriptor.TYPE_STRING))
def test_names_are_not_long(name: str) -> None:
    if name not in LONG_ALLOWED:
        assert not accepts(name, LONG)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "plan.target.host",
            "plan.proxy.host",
            "plan.resolve.to_hosts",
            "plan.resolve.host",
            "plan.sources",
        ),
        *("plan.tls.name", "plan.requests.headers.value"),
    ],
)
@pytest.mark.parametrize(
    "text", ["127.0.0.1\0.example.com", "a\r\nHost: b", "a b", "a/b", "a@b", "a" * 64 + "/"]
)
def test_every_field_that_names_a_place_is_checked_strictly(name: str, text: str) -> None:
    assert not accepts(name, text)


BAD_PLANS: list[tuple[str, dict[str, Any]]] = [
    ("the plan has no requests", {"requests": []}),
    ("weights is 0", {"requests": [get(weight=0)]}),
    ("its weight is 0", {"requests": [get(weight=0), get("/b")]}),
    ("weights is 4000000000", {"requests": [get(weight=4_000_000_000)]}),
    ("two requests are called", {"requests": [get(), get()]}),
    ("more than 1024", {"requests": [get(f"/{number}") for number in range(1025)]}),
    ("has 0 Host headers", {"requests": [get(headers=[])]}),
    ("has 2 Host headers", {"requests": [get(headers=[Header(name="Host"), Header(name="host")])]}),
    ("can't be set", {"requests": [get(headers=[Header(name="Host"), Header(name="Content-Length", value="9")])]}),
    ("in capitals", {"requests": [get(method="get")]}),
    ("opens a tunnel", {"requests": [get(method="CONNECT")]}),
    ("does not begin with /", {"requests": [get(request_target="http://other/")]}),
    ("space or control character", {"requests": [get("/a b")]}),
    *(
        ("does not begin with /", {
            "template": True,
            "requests": [get(path, method="OPTIONS")],
            "data": [Column(name="a", values=[b"@other.test"])],
        })
        for path in ("{csv:a}/", "{seq}/", "*{csv:a}")
    ),
    ("not a range of status codes", {"requests": [get(expected=[StatusRange(first=299, last=200)])]}),
    ("the plan never ends", {"request_count": 0}),
    ("needs a stage", {"load_model": RATE}),
    ("needs a stage", {"load_model": USERS}),
    ("a closed loop has no stages", {"stages": [Stage(name="1", first=1, last=1)]}),
    ("every stage is 0", {"load_model": RATE, "stages": [Stage(name="1")]}),
    ("it must be from 0", {"load_model": RATE, "stages": [Stage(name="1", first=-1, last=-1)]}),
    ("the lowest rate is 1e-09", {"load_model": RATE, "stages": [Stage(name="1", first=1e-10, last=1e-10)]}),
    ("longer than 8760h", {"think": Think(kind=Think.EXPONENTIAL, low_ns=10**17)}),
    ("has no end", {"load_model": RATE, "stages": [Stage(name="1", first=1, last=2)]}),
    ("has no end", {"load_model": RATE, "stages": [Stage(name=n, first=1, last=1) for n in "ab"]}),
    ("two stages", {"load_model": RATE, "stages": [Stage(name="a", duration_ns=1, last=1)] * 2}),
    ("too many", {"load_model": RATE, "stages": [Stage(name=str(n), duration_ns=1, last=1) for n in range(257)]}),
    ("one endless stage", {"load_model": CONNECTION_RATE, "stages": [Stage(name="1", duration_ns=1, last=1)]}),
    ("longer than 876000h", {"duration_ns": 2**63}),
    ("all stages together", {
        "load_model": RATE,
        "stages": [Stage(name=str(n), duration_ns=2 * 10**18, last=1) for n in range(2)],
    }),
    ("goes from more to less", {"think": Think(kind=Think.UNIFORM, low_ns=2, high_ns=1)}),
    ("not http or https", {"target": Target(scheme="ftp", host="a", port=80)}),
    ("is not a host name", {"target": Target(scheme="http", port=80)}),
    ("is not a port", {"target": Target(scheme="http", host="a")}),
    ("is not a host name", {"target": Target(scheme="https", host="a", port=443)}),  # no TLS name
    ("is not an IPv4 or IPv6 address", {"resolve": [Resolve(to_hosts=["a", "127.0.0.1"])]}),
    ("is not a threshold", {"slo": ["nothing"]}),
    ("no stage or request", {"abort_on": ["p99[other]<1s"]}),
    ("no column 'b'", {"template": True, "requests": [get("/{csv:b}")]}),
    ("more than 100000 placeholders", {
        "template": True,
        "requests": [get(f"/{number}", body=b"{seq}{{seq}}" * 25_001) for number in range(2)],
    }),
    ("number of hosts", {"resolve": [Resolve(port=n, to_hosts=["10.0.0.1"] * 2049) for n in (1, 2)]}),
    ("is not a placeholder", {"template": True, "requests": [get("/{nothing}")]}),
    ("same number of values", {"template": True, "data": [Column(name="a")]}),
    ("same number of values", {"template": True, "data": [
        Column(name="a", values=[b"1"]), Column(name="b", values=[b"1", b"2"])
    ]}),
    ("two columns", {"template": True, "data": [Column(name="a", values=[b"1"])] * 2}),
    ("of no use", {"data": [Column(name="a", values=[b"1"])]}),
    ("use each row once", {"template": True, "data_once": True, "data": [Column(name="a", values=[b"1"])]}),
    ("can't hold a line break", {
        "template": True,
        "data": [Column(name="a", values=[b"1", b"2\r\nX: y"])],
        "requests": [get(headers=[Header(name="Host"), Header(name="X", value="{csv:a}")])],
    }),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "changes"), BAD_PLANS)
def test_a_plan_that_can_not_be_carried_out_is_refused(reason: str, changes: dict[str, Any]) -> None:
    validate_plan(plan())
    with pytest.raises(InputError, match=reason):
        validate_plan(plan(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"connections": 0},
        {"connections": 3},
        {"first_connection": 1},
        {"first_connection": 2**32 - 1},
        {"connection_stride": 2},
        {"connection_stride": 2**32 - 1},
        {"request_count": 0},
        {"request_count": 11},
        {"trace_rows": 1},
        {"run_id": ""},
        {"run_id": "../../../x"},
        {"run_id": "/etc/x"},
        {"run_id": "a\0"},
        {"run_id": "A"},
        {"run_id": "a" * 33},
        {"agent": "../x"},
        {"agent": ""},
    ],
)
def test_an_assignment_is_a_share_of_its_plan(changes: dict[str, Any]) -> None:
    validate_assignment(whole(plan(connections=2)))
    validate_assignment(whole(plan(connections=2), connections=1, first_connection=1, connection_stride=2))
    with pytest.raises(InvalidPlanError):
        validate_assignment(whole(plan(connections=2), **changes))


def test_streams_are_bounded_over_all_connections() -> None:
    of = plan(connections=1000, http=HTTP_2, streams=1000, request_count=10**7)
    validate_assignment(whole(of))
    of.connections += 1
    with pytest.raises(
        InvalidPlanError, match="-c 1001 with --streams 1000 are 1001000 HTTP/2 streams on one agent"
    ):
        validate_assignment(whole(of))
    with pytest.raises(InvalidPlanError, match="lower one of them, or use more agents"):
        whole_plan(of)


@pytest.mark.parametrize(
    "changes",
    [
        {"plan": Plan()},
        {"agents": 2**32 - 1},
        {"min_agents": 3},
        {"min_agents": 2**32 - 1, "agents": 0},
        {"join_timeout_ns": 2**64 - 1},
        {"lost_timeout_ns": 2**64 - 1},
    ],
)
def test_a_request_for_a_run_is_checked(changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "plan": plan(),
        "agents": 2,
        "min_agents": 1,
        "join_timeout_ns": 10**9,
        "lost_timeout_ns": 10**9,
    }
    validate_run_request(RunRequest(**values))
    with pytest.raises(InvalidPlanError):
        validate_run_request(RunRequest(**{**values, **changes}))
