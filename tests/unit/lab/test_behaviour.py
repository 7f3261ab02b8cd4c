from __future__ import annotations

import re
from pathlib import Path

import pytest

from heyfleet.lab.behaviour import (
    PAGES,
    PARAMETERS,
    SHORTHANDS,
    Asked,
    Behaviour,
    from_query,
    from_target,
    listing,
)

DOCUMENT = Path(__file__).parents[3] / "docs/reference/lab-faulty.md"


@pytest.mark.parametrize(
    ("target", "asked"),
    [
        ("/", Asked("help", Behaviour(), "help")),
        ("/stats", Asked("stats", Behaviour(), "stats")),
        ("/echo?delay=1s", Asked("echo", Behaviour(delay=1.0), "echo")),
        ("/ok", Asked("ok", Behaviour())),
        ("/ok?", Asked("ok", Behaviour())),
        ("/status/503", Asked("status", Behaviour(status=503))),
        ("/ok?status=503", Asked("ok", Behaviour(status=503))),
        ("/status/503?delay=20ms&jitter=5ms", Asked("status", Behaviour(503, delay=0.02, jitter=0.005))),
        ("/tail/1%/20ms", Asked("tail", Behaviour(tail=(0.01, 0.02)))),
        ("/ok?tail=1%25/20ms", Asked("ok", Behaviour(tail=(0.01, 0.02)))),
        ("/garbage", Asked("garbage", Behaviour(garbage=512))),
        ("/garbage?garbage=7", Asked("garbage", Behaviour(garbage=7))),
        ("/ok?chunked&reset", Asked("ok", Behaviour(chunks=(1, 2, 3), reset_after=0))),
        ("/half", Asked("half", Behaviour(hang_after=10))),
        ("/te-and-cl?length=7", Asked("te-and-cl", Behaviour(chunks=(1, 2, 3), length="7"))),
        ("/ok?label=mine", Asked("mine", Behaviour(label="mine"))),
        ("/ok?header=A:%20b%0d%0aC:%ff", Asked("ok", Behaviour(header="A: b\r\nC:\xff"))),
        ("http://some.where:80/status/404?size=1KiB", Asked("status", Behaviour(404, 1024))),
        ("http://some.where", Asked("help", Behaviour(), "help")),
    ],
)
def test_target(target: str, asked: Asked) -> None:
    assert from_target(target) == asked


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/status", "status=: not a number from 100 to 999"),
        ("/status/99", "status=99: not a number from 100 to 999"),
        ("/ok?delay=fast", "delay=fast: not a duration"),
        ("/ok?size=1GiB", "size=1GiB: not a size"),
        ("/ok?nonsense=1", "nonsense: no such parameter"),
        ("/ok?stats", "stats: no such parameter"),
        ("/reset/7", "reset: takes no value"),
        ("/ok?to-close=maybe", "to-close=maybe: not a number from 0 to 1"),
        ("/reset?close", "close-after, reset-after, hang-after: only one at a time"),
        ("/ok?label=\xe9", "query: only ASCII"),
    ],
)
def test_a_bad_parameter_is_named_in_one_line(target: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        from_target(target)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["/favicon.ico", "/echo/7", "//ok", "*"])
def test_an_unknown_path_is_named(path: str) -> None:
    with pytest.raises(LookupError, match=f"^{re.escape(path)}: no such behaviour"):
        from_target(f"{path}?size=1")


def test_the_default_answers_only_what_asks_for_nothing() -> None:
    default = from_query("delay=20ms")
    for target in ("/", "/ok", "http://some.where"):
        assert from_target(target, default) == Asked("ok", Behaviour(delay=0.02))
    for target in ("/ok?size=5", "/help", "/status/200"):
        assert from_target(target, default).behaviour == Behaviour()


def test_every_parameter_can_be_named_in_the_path() -> None:
    for name, how in PARAMETERS.items():
        if how["bare"]:
            assert from_target(f"/{name}") == from_target(f"/{name}/{how['bare']}")
            assert from_target(f"/{name}").behaviour != Behaviour()


def test_the_list_and_the_guide_name_everything() -> None:
    guide = DOCUMENT.read_text()
    for name in (*PAGES, *SHORTHANDS):
        assert f"/{name} " in listing()
        assert f"`/{name}`" in guide
    for name in PARAMETERS:
        assert f"?{name}= " in listing()
        assert f"| `{name}` |" in guide
