"""Targets files in vegeta's two formats: `METHOD URL` with headers and a body file below, or one JSON object a line."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from heyfleet.documents import numbered_lines, parse_json
from heyfleet.errors import InputError
from heyfleet.files import MAX_DATA_BYTES, read_file, read_text_file
from heyfleet.mask import mask_line, mask_url
from heyfleet.plan import url as urls
from heyfleet.plan.conflicts import MAX_BREAKDOWNS
from heyfleet.plan.stages import Weight, parse_weight
from heyfleet.plan.values import parse_header, parse_method, parse_request_name

_FIRST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s+(/\S*|\S+://\S*|\*)", re.ASCII)
# Only a line feed ends a line; Unicode has more blanks and line ends, which may stand in a URL.
_BLANKS = " \t\r"
_JSON_KEYS = frozenset({"method", "url", "body", "header", "name", "weight"})


class TargetsError(ValueError):
    """A targets file that can't be used: the line and the cure. `load` turns it into an InputError."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One target of the file."""

    line: int
    method: str
    url: str  # absolute, a path, or * (OPTIONS only); after `load` never absolute
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_file: str = ""
    body_line: int = 0  # of the file that names the body's file
    name: str = ""
    weight: Weight = (1, 1)


def parse(text: str) -> list[Entry]:
    """Return the targets of a file; one that begins with a brace is JSON. Raises TargetsError."""
    is_json = bool(re.match(r"[ \t\r\n]*+\{", text))
    lines = ((number, line.strip(_BLANKS)) for number, line in numbered_lines(text))
    entries = list(islice((_parse_json if is_json else _parse_http)(lines), MAX_BREAKDOWNS + 1))
    if len(entries) > MAX_BREAKDOWNS:
        raise TargetsError(
            f"it has more than {MAX_BREAKDOWNS} targets, each with statistics of its own;"
            " one request with a placeholder takes any number of rows: --template and --data"
        )
    if not entries:
        raise TargetsError("it has no targets; write each on a line like: GET http://localhost:8080/")
    return entries


def _parse_http(lines: Iterator[tuple[int, str]]) -> Iterator[Entry]:
    entry: Entry | None = None
    for number, line in lines:
        if line.startswith("#"):
            continue
        first = _FIRST_LINE.fullmatch(line)
        if first or not line:
            if entry:
                yield entry
            entry = Entry(number, _method(number, first[1]), first[2]) if first else None
        elif not entry:
            raise TargetsError(
                f"line {number}: {mask_line(line[:60])!r} is not a target like: GET http://localhost:8080/"
            )
        elif line.startswith("@"):
            entry = _with_body_file(entry, number, line[1:].strip(_BLANKS))
        else:
            entry = replace(entry, headers=(*entry.headers, _header(number, line)))
    if entry:
        yield entry


def _with_body_file(entry: Entry, number: int, name: str) -> Entry:
    if not name:
        raise TargetsError(f"line {number}: it names no file; write the path of the body behind the @")
    if entry.body_file:
        raise TargetsError(
            f"line {number}: a second body for the target in line {entry.line}, after that in line {entry.body_line};"
            " a request has one"
        )
    return replace(entry, body_file=name, body_line=number)


def _parse_json(lines: Iterator[tuple[int, str]]) -> Iterator[Entry]:
    for number, line in lines:
        if not line:
            continue
        try:
            fields = parse_json(line)
        except ValueError as error:
            raise TargetsError(f"line {number}: {error}; each line has one JSON object") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("url"), str):
            raise TargetsError(f"line {number}: it needs an object with a url")
        if unknown := sorted(set(fields) - _JSON_KEYS):
            raise TargetsError(
                f"line {number}: {unknown[0]!r} is unknown; known are {', '.join(sorted(_JSON_KEYS))}"
            )
        yield Entry(
            number,
            _method(number, _text(number, "method", fields.get("method", "GET"))),
            fields["url"],
            tuple(_json_headers(number, fields.get("header") or {})),
            _json_body(number, fields.get("body")),
            name=_name(number, _text(number, "name", fields["name"])) if "name" in fields else "",
            weight=_weight(number, fields.get("weight", 1)),
        )


def _text(number: int, key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TargetsError(f"line {number}: {key} must be text, not {_kind(value)}")
    return value


def _name(number: int, name: str) -> str:
    try:
        return parse_request_name(name)
    except ValueError as error:
        raise TargetsError(f"line {number}: name: {error}") from None


def _kind(value: Any) -> str:
    """Return what a JSON value is, but not the value, which may be a secret."""
    kinds = {bool: "true or false", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _json_headers(number: int, header: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(header, dict):
        raise TargetsError(f'line {number}: header must be an object such as {{"Accept": ["text/plain"]}}')
    for name, values in header.items():
        for value in values if isinstance(values, list) else [values]:
            yield _header(number, f"{name}: {_text(number, f'header {name}', value)}")


def _json_body(number: int, body: Any) -> bytes:
    if body is None:
        return b""
    try:
        return b64decode(body, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise TargetsError(f"line {number}: body must be base64, as vegeta writes it") from None


def _weight(number: int, weight: Any) -> Weight:
    if isinstance(weight, bool) or not isinstance(weight, int | float | str):
        raise TargetsError(f"line {number}: weight must be a number, not {_kind(weight)}")
    try:
        return parse_weight(str(weight))
    except ValueError as error:
        raise TargetsError(f"line {number}: weight: {error}") from None


def _method(number: int, text: str) -> str:
    try:
        return parse_method(text)
    except ValueError as error:
        raise TargetsError(f"line {number}: {error}") from None


def _header(number: int, text: str) -> tuple[str, str]:
    try:
        return parse_header(text)
    except ValueError as error:
        raise TargetsError(f"line {number}: {error}") from None


def load(path: str, base: str) -> tuple[str, list[Entry]]:
    """Return a URL of the one host that all targets of a file have, and the targets, reduced to their paths.

    `base` is the URL of the command line, whose host targets without one get; it may be empty. Raises InputError.
    """
    text = read_text_file(path, "--targets", MAX_DATA_BYTES, undecodable="surrogateescape")
    try:
        base, entries = resolve_host(parse(text), base)
    except TargetsError as error:
        raise InputError(f"--targets: {path}: {error}") from None
    return base, [_with_body(entry, f"--targets: {path}: line {entry.body_line}") for entry in entries]


def _with_body(entry: Entry, source: str) -> Entry:
    # No pipes: several targets may name the same file.
    return replace(entry, body=read_file(entry.body_file, source, pipes=False)) if entry.body_file else entry


def resolve_host(entries: list[Entry], base: str) -> tuple[str, list[Entry]]:
    """Return what `load` returns, before the bodies are read. Raises TargetsError."""
    origin: tuple[str, str, int] | None = None
    first_line = 0
    resolved = []
    for entry in entries:
        parts = _parse_url(entry, base)
        address = (parts.scheme, parts.host, parts.port)
        if origin is not None and address != origin:
            raise TargetsError(
                f"line {entry.line}: {parts.scheme}://{parts.authority} is not the host of line {first_line}; "
                "a run has one host: give each host a file and a run of its own"
            )
        if origin is None:
            origin, first_line, base = address, entry.line, base or entry.url
        resolved.append(replace(entry, url=parts.request_target))
    return base, resolved


def _parse_url(entry: Entry, base: str) -> urls.Url:
    """Return the URL of an entry; one that is only a path, or *, has the host of `base`."""
    try:
        if entry.url != urls.WHOLE_SERVER and not re.match("/(?!/)", entry.url):
            return urls.parse(entry.url)
        request_target = urls.parse_request_target(entry.url)
        if base:
            return replace(urls.parse(base), request_target=request_target)
    except ValueError as error:
        raise TargetsError(f"line {entry.line}: {error}") from None
    raise TargetsError(
        f"line {entry.line}: {mask_url(entry.url)!r} is a path; give its host as a URL beside --targets"
    )
