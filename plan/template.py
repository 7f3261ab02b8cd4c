"""The grammar of placeholders in URLs, header values and bodies: {seq}, {rand:1-100}, {uuid} and {csv:COLUMN}."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from urllib.parse import unquote_to_bytes

from heyfleet.plan.octets import to_text

KNOWN = "{seq}, {rand:LOW-HIGH}, {uuid} and {csv:COLUMN}"
# A lowercase word directly after a brace is a placeholder, or was meant to be one; JSON has a quote there.
_PLACEHOLDER = re.compile(r"\{\{([a-z]+(?::[^{}\r\n]*)?)\}\}|\{([a-z]+)(?::([^{}\r\n]*))?\}")
_RANGE = re.compile(r"(-?\d{1,18})-(-?\d{1,18})")


class TemplateError(ValueError):
    """A malformed placeholder: which one, and the cure."""


@dataclass(frozen=True, slots=True)
class Value:
    """One placeholder."""

    kind: str  # "seq", "rand", "uuid" or "csv"
    low: int = 0
    high: int = 0
    column: str = ""


Piece = str | Value


def parse(text: str) -> list[Piece]:
    """Return a text split at its placeholders; {{word}} stands for the text {word}. Raises TemplateError."""
    return [piece for piece in _pieces(text) if piece != ""]


def count(text: str, limit: int) -> int:
    """Return the number of placeholders and escaped ones in a text, or `limit` if there are more."""
    return sum(1 for _ in islice(_PLACEHOLDER.finditer(text), limit))


def _pieces(text: str) -> Iterator[Piece]:
    at = 0
    plain = ""
    for match in _PLACEHOLDER.finditer(text):
        plain += text[at : match.start()]
        at = match.end()
        if match[1] is not None:
            plain += f"{{{match[1]}}}"
            continue
        yield plain
        plain = ""
        yield _value(match[0], match[2], match[3])
    yield plain + text[at:]


def _value(whole: str, kind: str, argument: str | None) -> Value:
    if kind in ("seq", "uuid") and argument is None:
        return Value(kind)
    if kind == "csv" and argument:
        return Value(kind, column=argument)
    if kind == "rand" and (limits := _RANGE.fullmatch(argument or "")):
        low, high = int(limits[1]), int(limits[2])
        if low > high:
            raise TemplateError(f"{whole}: the range ends before it begins; write {{rand:{high}-{low}}}")
        return Value(kind, low, high)
    raise TemplateError(f"{whole} is not a placeholder; use {KNOWN}, or {{{whole}}} for the text itself")


def with_column_names(request_target: str) -> str:
    """Return a request target whose columns have the names that were typed: the URL's parser has percent-encoded them."""
    return _PLACEHOLDER.sub(
        lambda match: to_text(unquote_to_bytes(match[0])) if match[2] == "csv" else match[0], request_target
    )


def values(text: str) -> list[Value]:
    """Return the placeholders of a text. Raises TemplateError."""
    return [piece for piece in parse(text) if isinstance(piece, Value)]
