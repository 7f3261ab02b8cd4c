"""Text of files: UTF-8, or the encoding that a byte order mark announces."""

from __future__ import annotations

import codecs

# The byte order marks, and the encodings that they announce. That of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes, undecodable: str = "strict") -> str:
    """Return bytes as text, without a byte order mark. ValueError names the line that is not text.

    `undecodable` names what becomes of bytes that are not in the encoding, as for `bytes.decode`. Where that is "strict",
    they are refused, and so are NULs, which only binary files have.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if data.startswith(mark)), (b"", "utf-8"))
    try:
        text = data[len(mark) :].decode(encoding, undecodable)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, len(mark) + error.start) + 1
        raise ValueError(f"is not text in {encoding.upper()}: line {line}") from None
    if undecodable == "strict" and "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(f"is not text: line {line} has a NUL byte")
    return text
