"""Behaviors of the faulty server, as URLs select them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from heyfleet.lab.behavior import (
    PAGES,
    PARAMETERS,
    SHORTHANDS,
    Behavior,
    ParsedTarget,
    help_text,
    parse_query,
    parse_target,
)

DOCUMENT = Path(__file__).parents[3] / "docs/reference/lab-faulty.md"


@pytest.mark.parametrize(
    ("target", "parsed"),
    [
        ("/", ParsedTarget("help", Behavior(), "help")),
        ("/stats", ParsedTarget("stats", Behavior(), "stats")),
        ("/echo?delay=1s", ParsedTarget("echo", Behavior(delay=1.0), "echo")),
        ("/ok", ParsedTarget("ok", Behavior())),
        ("/ok?", ParsedTarget("ok", Behavior())),
        ("/status/503", ParsedTarget("status", Behavior(status=503))),
        ("/ok?status=503", ParsedTarget("ok", Behavior(status=503))),
        (
            "/status/503?delay=20ms&jitter=5ms",
            ParsedTarget("status", Behavior(503, delay=0.02, jitter=0.005)),
        ),
        ("/tail/1%/20ms", ParsedTarget("tail", Behavior(tail=(0.01, 0.02)))),
        ("/ok?tail=1%25/20ms", ParsedTarget("ok", Behavior(tail=(0.01, 0.02)))),
        ("/garbage", ParsedTarget("garbage", Behavior(garbage=512))),
        ("/garbage?garbage=7", ParsedTarget("garbage", Behavior(garbage=7))),
        ("/ok?chunked&reset", ParsedTarget("ok", Behavior(chunks=(1, 2, 3), reset_after=0))),
        ("/half", ParsedTarget("half", Behavior(hang_after=10))),
        ("/te-and-cl?length=7", ParsedTarget("te-and-cl", Behavior(chunks=(1, 2, 3), length="7"))),
        ("/ok?label=mine", ParsedTarget("mine", Behavior(label="mine"))),
        ("/ok?header=A:%20b%0d%0aC:%ff", ParsedTarget("ok", Behavior(header="A: b\r\nC:\xff"))),
        ("http://some.where:80/status/404?size=1KiB", ParsedTarget("status", Behavior(404, 1024))),
        ("http://some.where", ParsedTarget("help", Behavior(), "help")),
    ],
)
def test_target(target: str, parsed: ParsedTarget) -> None:
    assert parse_target(target) == parsed


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/status", "status=: '' is not a whole number"),
        ("/status/99", "status=99: 99 is too small; the minimum is 100"),
        ("/ok?delay=fast", "delay=fast: 'fast' is not a duration"),
        ("/ok?size=1GiB", "size=1GiB: 1GiB is too large"),
        ("/ok?nonsense=1", "nonsense: no such parameter"),
        ("/ok?stats", "stats: no such parameter"),
        ("/reset/7", "reset: takes no value"),
        ("/ok?to-close=maybe", "to-close=maybe: 'maybe' is not a whole number"),
        ("/reset?close", "close-after, reset-after and hang-after exclude each other"),
        ("/ok?label=\xe9", "query: only ASCII"),
    ],
)
def test_a_bad_parameter_is_named_in_one_line(target: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_target(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/favicon.ico", "/echo/7", "//ok", "*"])
def test_an_unknown_path_is_named(path: str) -> None:
    with pytest.raises(LookupError, match=f"^{re.escape(path)}: no such behavior"):
        parse_target(f"{path}?size=1")


def test_the_default_answers_only_what_asks_for_nothing() -> None:
    default = parse_query("delay=20ms")
    for target in ("/", "/ok", "http://some.where"):
        assert parse_target(target, default) == ParsedTarget("ok", Behavior(delay=0.02))
    for target in ("/ok?size=5", "/help", "/status/200"):
        assert parse_target(target, default).behavior == Behavior()


def test_every_parameter_can_be_named_in_the_path() -> None:
    for name, spec in PARAMETERS.items():
        if spec["bare"]:
            assert parse_target(f"/{name}") == parse_target(f"/{name}/{spec['bare']}")
            assert parse_target(f"/{name}").behavior != Behavior()


def test_the_list_and_the_guide_name_everything() -> None:
    guide = DOCUMENT.read_text()
    for name in (*PAGES, *SHORTHANDS):
        assert f"/{name} " in help_text()
        assert f"`/{name}`" in guide
    for name in PARAMETERS:
        assert f"?{name}= " in help_text()
        assert f"| `{name}` |" in guide
