"""The grammar of placeholders."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.plan.template import Piece, TemplateError, Value, parse, with_column_names


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", []),
        ("plain", ["plain"]),
        ("{seq}", [Value("seq")]),
        (
            "/a/{seq}?b={rand:1-100}&u={uuid}",
            ["/a/", Value("seq"), "?b=", Value("rand", 1, 100), "&u=", Value("uuid")],
        ),
        ("{rand:-5--1}{rand:-5-7}", [Value("rand", -5, -1), Value("rand", -5, 7)]),
        ("{csv:a b}", [Value("csv", column="a b")]),
        (
            '{"id": {seq}, "x": {"y": "{uuid}"}}',
            ['{"id": ', Value("seq"), ', "x": {"y": "', Value("uuid"), '"}}'],
        ),
        ("{{seq}} {{csv:x}} {{other}}", ["{seq} {csv:x} {other}"]),
        ('{ seq } {} {1} { "a": 1 } {Seq} } {', ['{ seq } {} {1} { "a": 1 } {Seq} } {']),
        ("a{\n}b", ["a{\n}b"]),
    ],
)
def test_placeholders(text: str, pieces: list[Piece]) -> None:
    assert parse(text) == pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{foo}", "{foo} is not a placeholder; use {seq}"),
        ("{seq:3}", "{seq:3} is not a placeholder"),
        ("{csv}", "{csv} is not a placeholder"),
        ("{csv:}", "{csv:} is not a placeholder"),
        ("{rand}", "{rand} is not a placeholder"),
        ("{rand:1}", "{rand:1} is not a placeholder"),
        ("{rand:9-1}", "write {rand:1-9}"),
        ("{rand:1-99999999999999999999}", "is not a placeholder"),
        ("{foo}", "or {{foo}} for the text itself"),
    ],
)
def test_bad_placeholders(text: str, words: str) -> None:
    with pytest.raises(TemplateError) as error:
        parse(f"before {text} after")
    assert words in str(error.value)


@given(st.text(st.characters(blacklist_characters="{}")))
def test_text_without_braces_is_text(text: str) -> None:
    assert parse(text) == ([text] if text else [])


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        pieces = parse(text)
    except TemplateError:
        return
    assert all(pieces)


@pytest.mark.parametrize(
    ("target", "typed"),
    [
        ("/{csv:gr%C3%B6%C3%9Fe}?{csv:a%20b}", "/{csv:größe}?{csv:a b}"),
        ("/%C3%B6/{seq}{{csv:%C3%B6}}{csv:id}", "/%C3%B6/{seq}{{csv:%C3%B6}}{csv:id}"),
    ],
)
def test_columns_in_a_url_have_the_names_that_were_typed(target: str, typed: str) -> None:
    assert with_column_names(target) == typed
