"""Text of foreign origin on its way out: agents' facts, names, error texts, headers, file names.

Whatever is shown or written goes through `printable`, `cell` or `dump_json`. A terminal, a log or a parser then sees each
text as one line of visible characters, whoever wrote it.
"""

from __future__ import annotations

import re
from typing import Any

# A spreadsheet takes a cell that begins with one of these, also in full width, for a formula.
_FORMULA_SIGNS = tuple("=+-@\t\uff1d\uff0b\uff0d\uff20")
_BRIEF_READS = 1 << 14  # characters
_WEB_PAGE = re.compile(r"<(?:!doctype|html|\?xml)\b", re.IGNORECASE)
_MARKUP = re.compile(
    r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)|<[^>]*(?:>|\Z)", re.IGNORECASE | re.DOTALL
)
TEXT_LENGTH = 300  # of what another host says
_ELLIPSIS = "..."
_ESCAPED_BYTES = range(0xDC80, 0xDD00)  # of file names and arguments that are not UTF-8 (PEP 383)


def printable(text: str) -> str:
    r"""Return a text as one line in which everything invisible is escaped: `\x1b`, `\n`, `\u202e`.

    Escaped are control characters (C0, DEL, C1), format characters (bidirectional controls, zero-width characters), line
    and paragraph separators, blanks other than the space, lone surrogates, and code points without a character. A tab stays,
    because it only moves to the right. Applied twice, it changes nothing more.
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() or each == "\t" else _escape(each) for each in text)


def shorten(text: str, at_most: int = TEXT_LENGTH) -> str:
    """Return a text of at most so many characters, as it is received from another host."""
    return text if len(text) <= at_most else text[: at_most - len(_ELLIPSIS)] + _ELLIPSIS


def cell(text: str) -> str:
    """Return a text as a cell of a table that a spreadsheet may open; an apostrophe keeps it from being a formula."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA_SIGNS) else shown


def dump_json(value: Any, *, indent: int | None = 2) -> str:
    r"""Return a value as JSON with a final newline; strings keep their values, invisible characters are written as `\u202e`.

    Without `indent` it is one line. ValueError if a number is not finite.
    """
    import json  # many commands print no JSON

    def escape(character: str) -> str:
        return json.dumps(character)[1:-1]

    separators = None if indent else (",", ":")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    if not text.isprintable():  # outside of strings JSON has only newlines of its own
        text = "".join(each if each.isprintable() or each == "\n" else escape(each) for each in text)
    return text + "\n"


def plural(count: int, singular: str, plural_form: str = "") -> str:
    """Return a count with its noun: '1 request', '2 requests'."""
    return f"{count} {singular if count == 1 else plural_form or singular + 's'}"


def brief(text: str, at_most: int = TEXT_LENGTH) -> str:
    """Return an error text of a platform as one short line; of a web page, which a proxy may have sent, only the words."""
    text = text[:_BRIEF_READS]
    if _WEB_PAGE.search(text):
        text = _MARKUP.sub(" ", text)
    return shorten(" ".join(text.split()), at_most)


def _escape(character: str) -> str:
    if ord(character) in _ESCAPED_BYTES:
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
