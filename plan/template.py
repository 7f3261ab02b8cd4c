"""Placeholders in URLs, header values and bodies: {seq}, {rand:1-100}, {uuid}, {csv:column}; pure, for both ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

KNOWN = "{seq}, {rand:LOW-HIGH}, {uuid} and {csv:COLUMN}"
# A word of small letters right behind a brace is a placeholder, or was meant to be one; JSON has quotes there.
_PLACEHOLDER = re.compile(r"\{\{([a-z]+(?::[^{}\r\n]*)?)\}\}|\{([a-z]+)(?::([^{}\r\n]*))?\}")
_RANGE = re.compile(r"(-?\d{1,18})-(-?\d{1,18})")


class TemplateError(ValueError):
    """A placeholder that is none: which, and the cure."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a placeholder stands for."""

    kind: str  # "seq", "rand", "uuid" or "csv"
    low: int = 0
    high: int = 0
    column: str = ""


Piece = str | Value


def parse(text: str) -> list[Piece]:
    """A text cut at its placeholders; TemplateError. {{word}} is the text {word}."""
    return [piece for piece in _pieces(text) if piece != ""]


def _pieces(text: str) -> Iterator[Piece]:
    at = 0
    plain = ""
    for found in _PLACEHOLDER.finditer(text):
        plain += text[at : found.start()]
        at = found.end()
        if found[1] is not None:
            plain += f"{{{found[1]}}}"
            continue
        yield plain
        plain = ""
        yield _value(found[0], found[2], found[3])
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
    raise TemplateError(f"{whole} is no placeholder; there are {KNOWN}; a literal one is {{{whole}}}")


def values(text: str) -> list[Value]:
    """The placeholders of a text; TemplateError."""
    return [piece for piece in parse(text) if isinstance(piece, Value)]
