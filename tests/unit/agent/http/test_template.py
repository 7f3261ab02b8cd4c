"""Requests with placeholders as a server gets them, held against what Python makes of the same text."""

from __future__ import annotations

import re
import uuid
from typing import Any

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heyfleet.agent.http.template import Compiler
from heyfleet.plan.template import Value, parse
from heyfleet.proto.plan_pb2 import Column, Header, Plan, Request, Target

from ....engines import make_engine
from ....http2_peer import DATA, HEADERS, Frame, Http2Peer, hello
from ....recorder import Recorder

COLUMNS = {"id": [b"1", b"22", b"333"], "name": [b"a b", b"c&d", "\N{SNOWMAN}".encode()]}
SEEDED = 7


def plan(request: Request, **more: Any) -> Plan:
    data = [Column(name=name, values=values) for name, values in COLUMNS.items()]
    return Plan(
        target=Target(scheme="http", host="a", port=80), requests=[request], template=True, data=data, **more
    )


def request(
    target: str = "/", body: bytes = b"", method: str = "GET", headers: dict[str, str] | None = None
) -> Request:
    given_headers = {"Host": "a", **(headers or {})}
    return Request(
        method=method,
        request_target=target,
        headers=[Header(name=name, value=value) for name, value in given_headers.items()],
        body=body,
    )


def send(made: Plan, count: int, port: int, *, http2: bool = False, seed: int = SEEDED, **more: Any) -> None:
    compiler = Compiler(made)
    segments = compiler.http2(made.requests[0]) if http2 else compiler.http1(made.requests[0])
    engine = make_engine(
        io="epoll",
        addresses=[("127.0.0.1", port)],
        messages=[(segments, made.requests[0].method == "HEAD")],
        columns=compiler.columns,
        connections=1,
        request_count=count,
        seed=seed,
        http2=http2,
        timeout_ns=5_000_000_000,
        **more,
    )
    engine.start(1)
    engine.run()
    assert engine.totals["responses"] == count


def expected(text: str, number: int) -> str:
    """What can be told beforehand, by Python; u stands for a UUID, and of a range there is its begin."""
    made = ""
    for piece in parse(text):
        if not isinstance(piece, Value):
            made += piece
        elif piece.kind == "csv":
            made += COLUMNS[piece.column][number % 3].decode("latin-1")
        else:
            made += {"seq": str(number), "rand": str(piece.low), "uuid": "u"}[piece.kind]
    return made


def without_chance(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", "u", text)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_placeholders_anywhere_in_a_request(method: str) -> None:
    body = '{"id": {seq}, "n": "{csv:name}", "s": "{csv:id}{uuid}"}'
    made = plan(request("/{seq}/{csv:name}?{csv:id}", body.encode(), method, {"X-Id": "{csv:id}-{seq}"}))
    with Recorder() as server:
        send(made, 12, server.port)
    for number, (head, got) in enumerate(server.requests):
        line, *fields = head.decode("latin-1").split("\r\n")
        name = ["a%20b", "c&d", "%E2%98%83"][number % 3]
        assert line == f"{method} /{number}/{name}?{COLUMNS['id'][number % 3].decode()} HTTP/1.1"
        assert f"X-Id: {COLUMNS['id'][number % 3].decode()}-{number}" in fields
        assert f"Content-Length: {len(got)}" in fields
        assert without_chance(got.decode("latin-1")) == expected(body, number)
    assert len(server.requests) == 12


PLACEHOLDER = st.sampled_from(["{seq}", "{uuid}", "{csv:id}", "{csv:name}", "{rand:3-3}"])
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=126, blacklist_characters="{}"), max_size=200)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(PLACEHOLDER, TEXT), max_size=12).map("".join))
def test_bodies_equal_a_rendering_in_python(body: str) -> None:
    with Recorder() as server:
        send(plan(request("/", f"<{body}>".encode(), "POST")), 4, server.port)
    for number, (_, got) in enumerate(server.requests):
        assert without_chance(got.decode("latin-1")) == expected(f"<{body}>", number)


@pytest.mark.parametrize(("low", "high"), [(1, 6), (-3, 3), (7, 7), (-(10**18) + 1, 10**18 - 1)])
def test_random_numbers(low: int, high: int) -> None:
    with Recorder() as server:
        send(plan(request(f"/{{rand:{low}-{high}}}")), 200, server.port)
    numbers = [int(target[1:]) for target in server.targets]
    assert all(low <= number <= high for number in numbers)
    if high - low in range(1, 10):
        assert set(numbers) == set(range(low, high + 1))


def test_uuids_are_all_different_and_of_version_4() -> None:
    with Recorder() as server:
        send(plan(request("/{uuid}{uuid}")), 300, server.port)
    found = [uuid.UUID(target[at : at + 36]) for target in server.targets for at in (1, 37)]
    assert len(set(found)) == 600
    assert {(each.version, each.variant) for each in found} == {(4, uuid.RFC_4122)}


def test_equal_seeds_give_equal_requests() -> None:
    seen = []
    for seed in (1, 1, 2):
        with Recorder() as server:
            send(plan(request("/{uuid}/{rand:1-1000000}")), 5, server.port, seed=seed)
        seen.append(server.targets)
    assert seen[0] == seen[1] != seen[2]


def test_a_request_without_placeholders_equals_render() -> None:
    with Recorder() as server:
        send(plan(request("/x", b"abc", "PUT", {"Accept": "b"})), 1, server.port)
    assert server.requests == [(b"PUT /x HTTP/1.1\r\nHost: a\r\nAccept: b\r\nContent-Length: 3\r\n", b"abc")]


@pytest.mark.parametrize("padding", [0, 90, 200, 5000])
def test_templates_over_http2(padding: int) -> None:
    """String lengths of one, two and three bytes."""
    made = plan(
        request(
            "/{seq}/{csv:name}",
            b"<{seq}{csv:id}>",
            "POST",
            {"X-Pad": "p" * padding + "{seq}", "X-Id": "{csv:id}"},
        )
    )
    with Http2Peer(lambda _, stream: hello(stream)) as peer:
        send(made, 12, peer.port, http2=True)
    heads = [each for each in peer.frames if each.type == HEADERS]
    decoder = hpack.Decoder()
    for number, frame in enumerate(heads):
        fields = dict(decoder.decode(frame.payload, raw=True))
        got = body_of(peer.frames, frame.stream)
        assert fields[b":path"].decode() == f"/{number}/{['a%20b', 'c&d', '%E2%98%83'][number % 3]}"
        assert fields[b"x-pad"].decode() == "p" * padding + str(number)
        assert fields[b"x-id"] == COLUMNS["id"][number % 3]
        assert fields[b"content-length"] == str(len(got)).encode()
        assert got.decode() == expected("<{seq}{csv:id}>", number)
    assert len(heads) == 12


def body_of(frames: list[Frame], stream: int) -> bytes:
    return b"".join(each.payload for each in frames if each.type == DATA and each.stream == stream)


def test_fields_that_exceed_a_frame_are_refused() -> None:
    compiler = Compiler(plan(request("/{seq}", headers={"X-Long": "x" * 25000})))
    with pytest.raises(ValueError, match="the size of an HTTP/2 frame"):
        compiler.http2(compiler._plan.requests[0])


@pytest.mark.parametrize(
    "segments", [[("column", 0)], [("string", 3), ("text", b"a")], [("text", b"a")] * 600, [("nonsense",)]]
)
def test_invalid_segments_are_refused(segments: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"a template|a string|not in"):
        make_engine(
            io="epoll",
            addresses=[("127.0.0.1", 9)],
            messages=[(segments, False)],
            connections=1,
            request_count=1,
        )
