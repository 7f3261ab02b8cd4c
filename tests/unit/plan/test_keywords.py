"""Python values as options: seconds stay exact, bytes stay bytes, and what can't be a value is refused."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.keywords import options_from_values
from heyfleet.plan.options import RunOptions

URL = "http://localhost/"
S = 1_000_000_000


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, {}),
        ({"requests": None}, {}),
        ({"n": 1000, "c": 20}, {"requests": 1000, "connections": 20}),
        ({"requests": "10k"}, {"requests": 10_000}),
        ({"duration": 3}, {"duration_ns": 3 * S}),
        ({"z": 1.5}, {"duration_ns": 3 * S // 2}),
        ({"duration": 1e-7}, {"duration_ns": 100}),
        ({"timeout": timedelta(minutes=1)}, {"timeout_ns": 60 * S}),
        ({"timeout": 0}, {"timeout_ns": 0}),
        ({"rate": 500}, {"rate": 500.0}),
        ({"rate": 0.5}, {"rate": 0.5}),
        ({"headers": {"A": "1", "B": 2}}, {"headers": (("A", "1"), ("B", "2"))}),
        ({"header": [("A", "1"), "B: 2"]}, {"headers": (("A", "1"), ("B", "2"))}),
        ({"H": "A: 1"}, {"headers": (("A", "1"),)}),
        ({"slo": ["p99<1s", "errors<1%"]}, {"slo": ("p99<1s", "errors<1%")}),
        ({"rate": 1e-5}, {"rate": 1e-5}),
        ({"headers": {"A": b"gr\xc3\xbcn"}}, {"headers": (("A", "gr\u00fcn"),)}),
        ({"headers": [("A", b"1"), b"B: 2"]}, {"headers": (("A", "1"), ("B", "2"))}),
        ({"for_": 3600}, {"for_": "1h"}),
        ({"for_": timedelta(minutes=90)}, {"for_": "1h30m"}),
        ({"with_": {"python": "python3", "port": 22}}, {"with_": ("python=python3", "port=22")}),
        ({"with_": "python=python3"}, {"with_": ("python=python3",)}),
        ({"disable_keepalive": True}, {"disable_keepalive": True}),
        ({"disable_keepalive": False}, {}),
        ({"body_file": Path("body.json")}, {"body_file": "body.json"}),
    ],
)
def test_values(values: dict[str, object], expected: dict[str, object]) -> None:
    assert options_from_values(values, URL) == RunOptions(url=URL, **expected)  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"abc", b"\x00\xff", "gr\u00fcn".encode()])
def test_bytes_stay_bytes(body: bytes) -> None:
    assert make_plan(options_from_values({"body": body}, URL)).requests[0].body == body


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"request": 5}, "request: there is no such option; did you mean requests"),
        ({"body": {"a": 1}}, "body: .* is a dict, which no option takes"),
        ({"headers": 5}, "headers: 5 is not a text, a list or a mapping"),
        ({"headers": [5]}, "headers: 5 is not a text or a pair"),
        ({"duration": -1}, "duration: '-1s' is not a duration"),
        ({"duration": 1e300}, r"duration: 1e\+300 is not a number of seconds; the maximum is 876000h"),
        ({"duration": float("inf")}, "duration: inf is not a number of seconds"),
        ({"duration": float("nan")}, "duration: nan is not a number of seconds"),
        ({"duration": 10**400}, "is not a number of seconds"),
        ({"headers": {"A": b"\xe9"}}, "is not UTF-8"),
        ({"user": "\ud800:x"}, "user: .* has half of a surrogate pair"),
        ({"body": "\ud800"}, "body: .* has half of a surrogate pair"),
        ({"with_": 3}, "with_: 3 is not a text, a list or a mapping"),
        ({"rate": True}, "rate: a value is missing"),
        ({"connections": 1.5}, "connections: '1.5' is not a whole number"),
    ],
)
def test_bad_values(values: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        options_from_values(values, URL)
