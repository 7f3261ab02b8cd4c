"""Targets files in vegeta's two formats: `METHOD URL` with headers and a body file below, or one JSON object a line."""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from heyfleet.errors import InputError
from heyfleet.plan import url as urls
from heyfleet.plan.files import read_file
from heyfleet.plan.mask import mask_line, mask_url
from heyfleet.plan.stages import Weight, parse_weight
from heyfleet.plan.values import parse_header, parse_method

_FIRST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s+(/\S*|\S+://\S*)")
_JSON_KEYS = frozenset({"method", "url", "body", "header", "name", "weight"})


class TargetsError(ValueError):
    """A targets file that can't be used: the line and the cure. `load` turns it into an InputError."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One target of the file."""

    line: int
    method: str
    url: str  # absolute, or a path; after `load` always a path
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    body_file: str = ""
    name: str = ""
    weight: Weight = (1, 1)


def parse(text: str) -> list[Entry]:
    """Return the targets of a file; one that begins with a brace is JSON. Raises TargetsError."""
    entries = list(_parse_json(text) if text.lstrip().startswith("{") else _parse_http(text))
    if not entries:
        raise TargetsError("it has no targets; write each on a line like: GET http://localhost:8080/")
    return entries


def _parse_http(text: str) -> Iterator[Entry]:
    method, url, at, body_file = "", "", 0, ""
    headers: list[tuple[str, str]] = []

    def entry() -> Entry:
        return Entry(at, method, url, tuple(headers), body_file=body_file)

    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line.startswith("#"):
            continue
        first = _FIRST_LINE.fullmatch(line)
        if first and not line.startswith("@"):
            if method:
                yield entry()
            method, url, at, headers, body_file = _method(number, first[1]), first[2], number, [], ""
        elif not line:
            if method:
                yield entry()
            method = ""
        elif not method:
            raise TargetsError(
                f"line {number}: {mask_line(line[:60])!r} is not a target like: GET http://localhost:8080/"
            )
        elif line.startswith("@"):
            body_file = line[1:]
        else:
            headers.append(_header(number, line))
    if method:
        yield entry()


def _parse_json(text: str) -> Iterator[Entry]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError):
            raise TargetsError(f"line {number}: not a JSON object; each line has one") from None
        if not isinstance(fields, dict) or not isinstance(fields.get("url"), str):
            raise TargetsError(f"line {number}: it needs an object with a url")
        if unknown := sorted(set(fields) - _JSON_KEYS):
            raise TargetsError(
                f"line {number}: {unknown[0]!r} is unknown; known are {', '.join(sorted(_JSON_KEYS))}"
            )
        yield Entry(
            number,
            _method(number, _word(number, fields, "method", "GET")),
            fields["url"],
            tuple(_json_headers(number, fields.get("header") or {})),
            _json_body(number, fields.get("body")),
            name=_word(number, fields, "name", ""),
            weight=_weight(number, fields.get("weight", 1)),
        )


def _word(number: int, fields: dict[str, Any], key: str, default: str) -> str:
    value = fields.get(key, default)
    if not isinstance(value, str):
        raise TargetsError(f"line {number}: {key} must be a string, not {type(value).__name__}")
    return value


def _json_headers(number: int, header: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(header, dict):
        raise TargetsError(f'line {number}: header must be an object such as {{"Accept": ["text/plain"]}}')
    for name, values in header.items():
        for value in values if isinstance(values, list) else [values]:
            yield _header(number, f"{name}: {value}")


def _json_body(number: int, body: Any) -> bytes:
    if body is None:
        return b""
    try:
        return b64decode(body, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise TargetsError(f"line {number}: body must be base64, as vegeta writes it") from None


def _weight(number: int, weight: Any) -> Weight:
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
    try:
        entries = parse(read_file(path, "--targets").decode("utf-8", "surrogateescape"))
        return resolve_host(entries, base)
    except TargetsError as error:
        raise InputError(f"--targets: {path}: {error}") from None


def resolve_host(entries: list[Entry], base: str) -> tuple[str, list[Entry]]:
    origin: tuple[str, str, int] | None = None
    first_line = 0
    resolved = []
    for entry in entries:
        url = entry.url
        if url.startswith("/") and not url.startswith("//"):
            if not base:
                raise TargetsError(
                    f"line {entry.line}: {mask_url(url)!r} is a path; give its host as a URL beside --targets"
                )
            url = f"{'/'.join(base.split('/', 3)[:3])}{url}"
        try:
            parts = urls.parse(url)
        except ValueError as error:
            raise TargetsError(f"line {entry.line}: {error}") from None
        address = (parts.scheme, parts.host, parts.port)
        if origin is not None and address != origin:
            raise TargetsError(
                f"line {entry.line}: {parts.scheme}://{parts.authority} is not the host of line {first_line}; "
                "a run has one host: give each host a file and a run of its own"
            )
        if origin is None:
            origin, first_line, base = address, entry.line, base or url
        if entry.body_file and entry.body:
            raise TargetsError(f"line {entry.line}: it has both a body and a body file")
        resolved.append(
            Entry(
                entry.line,
                entry.method,
                parts.request_target,
                entry.headers,
                read_file(entry.body_file, f"line {entry.line}") if entry.body_file else entry.body,
                name=entry.name,
                weight=entry.weight,
            )
        )
    return base, resolved
