"""Foreign text is shown as one line of visible characters, in every format that takes it."""

from __future__ import annotations

import ast
import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet import console
from heyfleet.errors import HeyfleetError
from heyfleet.text import brief, cell, dump_json, plural, printable

ROOT = Path(__file__).parents[3]
ANY_TEXT = st.text(st.characters(exclude_categories=()))


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain ü 日本 ■ 😀", "plain ü 日本 ■ 😀"),
        ("a\x1b[2J\x07", "a\\x1b[2J\\x07"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("\x9b31m\x85\x7f", "\\x9b31m\\x85\\x7f"),
        ("\u202egnp\u2066\u2069", "\\u202egnp\\u2066\\u2069"),
        ("a\u200bb\ufeff\u2028\u2029", "a\\u200bb\\ufeff\\u2028\\u2029"),
        ("\ud800\ufffe\U000e0041", "\\ud800\\ufffe\\U000e0041"),
        ("name\udc9b", "name\\x9b"),
        ("a\tb", "a\tb"),
    ],
)
def test_what_is_invisible_is_escaped(foreign: str, shown: str) -> None:
    assert printable(foreign) == shown


@given(ANY_TEXT)
def test_a_shown_text_is_one_visible_line_and_stays_as_it_is(foreign: str) -> None:
    shown = printable(foreign)
    assert shown.replace("\t", "").isprintable()
    assert printable(shown) == shown
    shown.encode()


@given(ANY_TEXT)
def test_json_has_the_same_value_and_nothing_invisible(foreign: str) -> None:
    for indent in (2, None):
        text = dump_json({"name": [foreign, 1.5, None]}, indent=indent)
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == json.loads(json.dumps({"name": [foreign, 1.5, None]}))
        text.encode()


def test_json_has_no_number_that_others_can_t_read() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json(float("nan"))


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", "\uff1d"])
def test_a_cell_is_never_a_formula(sign: str) -> None:
    line = io.StringIO()
    csv.writer(line).writerow([cell(f"{sign}SUM(A1)"), cell("GET /")])
    assert next(csv.reader([line.getvalue()])) == [f"'{sign}SUM(A1)", "GET /"]


def test_an_error_is_one_line_whatever_it_quotes() -> None:
    error = HeyfleetError("no host 'a\x1b[31m\nheyfleet: run ffff is over'", "use\u202eanother")
    assert str(error) == "no host 'a\\x1b[31m heyfleet: run ffff is over'; use\\u202eanother"


def test_a_line_can_t_forge_another(capsys: pytest.CaptureFixture[str]) -> None:
    forged = "joined\nheyfleet: run ffff is over\r\x1b[K"
    console.info(forged)
    console.info(forged, program="heyfleet agent")
    console.write_stderr([forged])
    console.error(forged)
    console.write_lines([forged])
    out, err = capsys.readouterr()
    assert (out.count("\n"), err.count("\n")) == (1, 4)
    assert (out + err).replace("\n", "").isprintable()


def test_a_file_name_that_is_not_utf8_reaches_no_terminal(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    console.write_stdout(["name\udc9b\n"])
    assert b"\x9b" not in capsysbinary.readouterr().out


def _prints(source: str) -> list[int]:
    """Return the lines of calls that print, past console.py."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = {id(call): ast.unparse(call.func) for call in calls}
    printing = {"print", "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write"}
    return [call.lineno for call in calls if names[id(call)] in printing]


def test_a_print_is_found() -> None:
    assert _prints("import click\nclick.echo(1)\nself.console.print(2)\nprint(3)") == [2, 4]


def test_only_the_console_prints() -> None:
    folders = ("agent", "cli", "controller", "deploy", "plan", "results")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(paths) > 100
    found = {str(path.relative_to(ROOT)): lines for path in paths if (lines := _prints(path.read_text()))}
    assert found == {}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no  route\n to <host>", "no route to <host>"),
        (
            "<HTML><style>a { b: c }</style><script>x < y</script><b>502</b>\n<!-- a > b -->Bad&nbsp;Gateway",
            "502 Bad&nbsp;Gateway",
        ),
        ("<!DOCTYPE html><p>cut <!-- here", "cut"),
        ("<?xml version='1.0'?><Error><Code>SlowDown</Code></Error>", "SlowDown"),
        ("a" * 400, "a" * 297 + "..."),
    ],
)
def test_an_error_text_of_a_platform_is_one_short_line(text: str, shown: str) -> None:
    assert brief(text) == shown


def test_one_thing_is_not_several() -> None:
    assert [plural(count, "task") for count in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]
    assert plural(2, "match", "matches") == "2 matches"
