"""JSON and CSV of people and strangers, with limits that are checked before the content is used.

JSON has one meaning for every reader: names that are there twice, NaN and numbers too large to compute with are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from heyfleet.encodings import decode

if TYPE_CHECKING:  # most runs read no document, and should start at once
    import json

MAX_DEPTH = 100  # levels of nesting; deeper ones would exhaust the stack of whatever walks through them
_MAX_FIELD_CHARACTERS = 1 << 30  # of CSV: as many as the largest file has
_MAX_DIGITS = 40  # of a whole number; all that a schema of heyfleet can hold have fewer
_CSV_LINE = re.compile(r"[^\r\n]*+(?:\r\n?|\n)|[^\r\n]++")
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[{\]}]', re.DOTALL)


def parse_json(text: str | bytes) -> Any:
    """Return the value of a JSON text. ValueError says what is wrong with it, and where."""
    if isinstance(text, bytes):
        text = decode(text)
    _check_depth(text)
    from json import JSONDecodeError

    try:
        return _decoder().decode(text)
    except JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}"
        raise ValueError(f"not JSON: {error.msg} in {place}") from None


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text, without \n or \r\n, behind their numbers; no list of all lines is made."""
    begin, number = 0, 1
    while (end := text.find("\n", begin)) >= 0:
        yield number, text[begin:end].removesuffix("\r")
        begin, number = end + 1, number + 1
    if begin < len(text):
        yield number, text[begin:]


def csv_rows(text: str, *, strict: bool = False) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a CSV text, without empty ones, each behind the number of its last line. ValueError names the line.

    Fields may have any length. With `strict`, quotes that are not closed or stand within a field are errors.
    """
    import csv

    csv.field_size_limit(_MAX_FIELD_CHARACTERS)
    reader = csv.reader((match[0] for match in _CSV_LINE.finditer(text)), strict=strict)
    try:
        yield from ((reader.line_num, row) for row in reader if row)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: not CSV: {error}") from None


def parse_integer(text: str) -> int:
    """Return a whole number. ValueError if no one can have counted that far."""
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a whole number of {len(text)} digits is too large")
    return int(text)


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        found = match[0]
        if found in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"not usable: it nests deeper than {MAX_DEPTH} levels")
        elif found in "]}":
            depth -= 1


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} is there twice in one object")
    return values


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:_MAX_DIGITS]} is too large")
    return value


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not a number in JSON")


@cache
def _decoder() -> json.JSONDecoder:
    from json import JSONDecoder

    return JSONDecoder(
        object_pairs_hook=_unique_names,
        parse_int=parse_integer,
        parse_float=_number,
        parse_constant=_refuse_constant,
    )
