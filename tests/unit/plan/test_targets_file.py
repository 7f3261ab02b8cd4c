"""Targets files in both of vegeta's formats, and the errors of malformed ones."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heyfleet.errors import InputError
from heyfleet.plan.targets_file import Entry, TargetsError, load, parse

HTTP = """\
# a comment
GET http://a.test/one
X-A: 1
X-B: two words

POST http://a.test/two
Content-Type: application/json
@body.json
GET http://a.test/three?x=1
  # another


DELETE http://a.test/four
"""


def test_the_http_format() -> None:
    assert parse(HTTP) == [
        Entry(2, "GET", "http://a.test/one", (("X-A", "1"), ("X-B", "two words"))),
        Entry(
            6,
            "POST",
            "http://a.test/two",
            (("Content-Type", "application/json"),),
            body_file="body.json",
            body_line=8,
        ),
        Entry(9, "GET", "http://a.test/three?x=1"),
        Entry(13, "DELETE", "http://a.test/four"),
    ]


def test_the_json_format() -> None:
    lines = [
        {"method": "PUT", "url": "http://a.test/", "body": base64.b64encode(b"\0x").decode()},
        {"url": "http://a.test/b", "header": {"X": ["1", "2"], "Y": "3"}, "weight": 2.5, "name": "b"},
    ]
    assert parse("\n\n".join(map(json.dumps, lines)) + "\n") == [
        Entry(1, "PUT", "http://a.test/", body=b"\0x"),
        Entry(3, "GET", "http://a.test/b", (("X", "1"), ("X", "2"), ("Y", "3")), name="b", weight=(25, 10)),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has no targets"),
        ("# only\n", "it has no targets"),
        ("nonsense\n", "line 1: 'nonsense' is not a target like"),
        ("GET http://a/\n\nX: 1\n", "line 3: 'X: 1' is not a target like"),
        ("GET http://a/\nno header\n", "line 2"),
        ("{\n", "line 1: not JSON: "),
        ('{"url": 3}', "line 1: it needs an object with a url"),
        ('{"url": "http://a/"}\n[]', "line 2"),
        ('{"url": "http://a/", "metod": "GET"}', "'metod' is unknown; known are body, header, method"),
        ('{"url": "http://a/", "method": 3}', "method must be text, not a number"),
        ('{"url": "http://a/", "method": "a b"}', "line 1: "),
        ('{"url": "http://a/", "body": "%"}', "body must be base64"),
        ('{"url": "http://a/", "body": 3}', "body must be base64"),
        ('{"url": "http://a/", "header": []}', None),
        ('{"url": "http://a/", "header": [1]}', "header must be an object"),
        ('{"url": "http://a/", "header": {"A": "b\\nc"}}', "line 1"),
        ('{"url": "http://a/", "weight": 0}', "weight"),
        ('{"url": "http://a/", "weight": "x"}', "weight"),
        ('{"url": "http://a/", "weight": null}', "line 1: weight must be a number, not null"),
        ('{"url": "http://a/", "weight": true}', "line 1: weight must be a number, not true or false"),
        ('{"url": "http://a/", "name": null}', "line 1: name must be text, not null"),
        ('{"url": "http://a/", "header": {"A": null}}', "line 1: header A must be text, not null"),
        ('{"url": "http://a/", "header": {"A": ["b", 1.0]}}', "line 1: header A must be text, not a number"),
        ('{"url": "http://a/", "url": "http://b/"}', "line 1: 'url' is there twice"),
        ('{"url": "http://a/", "weight": NaN}', "line 1: NaN is not a number"),
        ('{"url": "http://a/", "method": ' + "[" * 100_000, "line 1: not usable: it nests deeper than"),
        (
            "GET http://a/\n@one\n@two\n",
            "line 3: a second body for the target in line 1, after that in line 2",
        ),
        ("GET http://a/\n@ \n", "line 2: it names no file"),
    ],
)
def test_bad_files(text: str, words: str | None) -> None:
    if words is None:
        assert parse(text)
        return
    with pytest.raises(TargetsError) as error:
        parse(text)
    assert words in str(error.value)


def write(folder: Path, text: str) -> str:
    path = folder / "targets"
    path.write_text(text)
    return str(path)


def test_targets_are_reduced_to_paths_of_one_host(tmp_path: Path) -> None:
    url, entries = load(write(tmp_path, "GET http://a.test/x?y\nGET http://A.test:80/z\n"), "")
    assert url == "http://a.test/x?y"
    assert [entry.url for entry in entries] == ["/x?y", "/z"]


def test_paths_take_the_host_of_the_url(tmp_path: Path) -> None:
    url, entries = load(write(tmp_path, "GET /x\nPOST https://a.test:8443/y\n"), "https://a.test:8443/base")
    assert url == "https://a.test:8443/base"
    assert [entry.url for entry in entries] == ["/x", "/y"]


def test_a_base_may_have_a_query_and_no_path(tmp_path: Path) -> None:
    _, entries = load(write(tmp_path, "GET /x?u=http://b/\n"), "http://a.test?q")
    assert [entry.url for entry in entries] == ["/x?u=http://b/"]


def test_the_whole_server_is_a_target(tmp_path: Path) -> None:
    for text in ("OPTIONS *\n", '{"method": "OPTIONS", "url": "*"}\n'):
        _, (entry,) = load(write(tmp_path, text), "http://a.test/")
        assert (entry.method, entry.url) == ("OPTIONS", "*")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("GET http://a/\nGET http://b/\n", "line 2: http://b is not the host of line 1"),
        ("GET http://a/\nGET https://a/\n", "is not the host of"),
        ("GET /x\n", "line 1: '/x' is a path; give its host"),
        ("OPTIONS *\n", "line 1: '*' is a path; give its host"),
        ("GET ftp://a/\n", "line 1: URL 'ftp://a/'"),
    ],
)
def test_targets_of_several_hosts_are_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError) as error:
        load(write(tmp_path, text), "")
    assert words in str(error.value)


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\u0085"])
def test_line_ends_of_unicode_end_no_line(character: str) -> None:
    text = f"GET http://a/\nX: 1{character}GET http://b/{character}2\n"
    assert [entry.headers for entry in parse(text)] == [(("X", f"1{character}GET http://b/{character}2"),)]
    in_json = json.dumps({"url": "http://a/", "header": {"X": f"a{character}b"}}, ensure_ascii=False)
    assert [entry.headers for entry in parse(f"{in_json}\n")] == [(("X", f"a{character}b"),)]


@pytest.mark.parametrize("name", ["", " ", "a,b", "a[b]", "a\nb", "a\u202eb", "a\x9bb", "a\ud800"])
def test_a_name_that_no_report_can_show_is_refused_with_its_line(name: str) -> None:
    text = "".join(json.dumps({"url": "http://a/", "name": each}) + "\n" for each in ("good", name))
    with pytest.raises(TargetsError, match=r"^line 2: name: .* is not a name"):
        parse(text)


@pytest.mark.parametrize("character", ["\v", "\f", "\x1c", "\r"])
def test_control_characters_end_no_line(character: str) -> None:
    with pytest.raises(TargetsError, match=r"line 2: .* has a line break or control character"):
        parse(f"GET http://a/\nX: 1{character}GET http://b/{character}no header\n")


def test_lines_may_end_as_on_windows() -> None:
    assert parse(HTTP.replace("\n", "\r\n")) == parse(HTTP)


def test_a_body_is_never_standard_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: can't read '\./-': No such file"):
        load(write(tmp_path, "POST http://a.test/\n@-\n"), "")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_target(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "targets"
    path.write_bytes("GET http://a.test/one\nX: grün\n".encode(encoding))
    _, (entry,) = load(str(path), "")
    assert (entry.url, entry.headers) == ("/one", (("X", "grün"),))


def test_a_missing_body_is_reported_with_the_file_and_line_that_name_it(tmp_path: Path) -> None:
    path = write(tmp_path, "GET http://a/one\n\nPUT http://a/two\nX: 1\n@nowhere\n")
    with pytest.raises(InputError, match=rf"^--targets: {path}: line 5: can't read 'nowhere': No such file"):
        load(path, "")


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        assert parse(text)
    except TargetsError:
        return


def test_a_file_of_endless_targets_is_not_read_to_its_end() -> None:
    with pytest.raises(TargetsError, match="it has more than 1024 targets"):
        parse("GET http://a/\n" * 1026 + "this would be an error\n")
    assert len(parse("GET http://a/\n" * 1024)) == 1024
