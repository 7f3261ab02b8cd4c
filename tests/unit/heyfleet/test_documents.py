"""JSON, YAML and CSV of strangers: every text has a value or an error of one line, soon and in little memory."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.documents import MAX_DEPTH, csv_rows, parse_json
from heyfleet.yaml_documents import YamlError, compose_yaml, load_yaml

ALIAS_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{chr(name)}: &{chr(name)} [{', '.join([f'*{chr(name - 1)}'] * 10)}]\n"
    for name in range(ord("b"), ord("k"))
)


@pytest.mark.parametrize("value", [None, 1.5, -7, 2**64, 'a[{\\"', [[], {"a": [{}]}], {"": {}}])
def test_json_has_the_value_that_it_says(value: object) -> None:
    assert parse_json(json.dumps(value)) == value
    assert parse_json(json.dumps(value).encode("utf-16")) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON: Expecting value in column 1"),
        ('{"a"\n', "not JSON: "),
        ("[1,\n2\n", "in line 3"),
        ("[" * 5000, f"deeper than {MAX_DEPTH} levels"),
        ('{"a":' * 100_000, f"deeper than {MAX_DEPTH} levels"),
        ("[NaN]", "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("1e999", "1e999 is too large"),
        ("9" * 5000, "5000 digits is too large"),
        ('{"a": 1, "b": 2, "a": 3}', "'a' is there twice"),
        (b"\0", "not text: line 1 has a NUL byte"),
        (b"\xff", "not text in UTF-8"),
    ],
)
def test_json_that_is_refused(text: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as caught:
        parse_json(text)
    assert "\n" not in str(caught.value)


def test_brackets_within_text_are_no_nesting() -> None:
    text = "[" * 200 + '"' + "\\"
    assert parse_json(json.dumps([text, text])) == [text, text]
    assert parse_json("[" + ",".join(["[]"] * 1000) + "]") == [[]] * 1000


@given(st.text(alphabet='{}[]",:\\ 1aeN-.'))
def test_any_text_is_json_or_refused(text: str) -> None:
    try:
        parse_json(text)
    except ValueError:
        return
    json.loads(text)


def test_yaml_has_the_value_that_it_says() -> None:
    assert load_yaml("a: &a [1, b]\nc: *a\n") == {"a": [1, "b"], "c": [1, "b"]}
    assert load_yaml("") is None
    root = compose_yaml("a: 1\n")
    assert isinstance(root, yaml.MappingNode)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [\n", "line 3: not YAML: "),
        ("a: 1\nb: \x07\n", "line 2: not YAML: it has a control character"),
        ("[" * 5000, f"line 1: it nests deeper than {MAX_DEPTH} levels"),
        ("- " * 100_000 + "a", f"line 1: it nests deeper than {MAX_DEPTH} levels"),
        (ALIAS_BOMB, "it is too large once its aliases are written out"),
        (f"a: &a {'x' * 1_000_000}\nb: [{'*a, ' * 1000}]\n", "line 2: it is too large"),
        ("a: &a\n  - *a\n", "line 2: an alias stands within what it stands for"),
        ("a: *b\n", "line 1: not YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "line 2: not YAML: "),
    ],
)
def test_yaml_that_is_refused(text: str, words: str) -> None:
    for read in (compose_yaml, load_yaml):
        with pytest.raises(YamlError) as caught:
            read(text)
        assert words in str(caught.value)


def test_names_that_are_there_twice_are_refused_or_left_to_the_caller() -> None:
    with pytest.raises(YamlError, match="line 3: b: it is there twice, first in line 2"):
        load_yaml("a:\n  b: 1\n  b: 2\n")
    assert compose_yaml("a: 1\na: 2\n") is not None
    assert load_yaml("a: &a {b: 1}\nc:\n  <<: *a\n  b: 2\n")["c"] == {"b": 2}


@pytest.mark.parametrize("text", ["a: 1\nb: 2026-13-45\n", f"a: 1\nb: {'9' * 5000}\n"])
def test_a_yaml_value_that_python_refuses_has_a_line(text: str) -> None:
    with pytest.raises(YamlError, match="line 2: a value can't be used: "):
        load_yaml(text)


def test_csv_fields_have_any_length() -> None:
    field = "x" * 1_000_000
    assert list(csv_rows(f'a,b\n"{field}","1\n2"\n\n')) == [(1, ["a", "b"]), (3, [field, "1\n2"])]


def test_line_ends_of_unicode_end_no_row() -> None:
    assert list(csv_rows("a\u2028b\u0085c\vd\n")) == [(1, ["a\u2028b\u0085c\vd"])]


def test_open_quotes_are_refused_with_their_line() -> None:
    with pytest.raises(ValueError, match="line 2: not CSV: "):
        list(csv_rows('a\n"b', strict=True))
