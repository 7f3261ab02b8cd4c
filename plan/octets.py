"""Text as the bytes that go on the wire: what was typed, in UTF-8; bytes that are not UTF-8 stay what they were."""

from __future__ import annotations


def to_octets(text: str) -> bytes:
    """Return the bytes of a text. Raises ValueError for half of a surrogate pair, which has none."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise ValueError(f"{text!r} has half of a surrogate pair, which no encoding can send") from None


def to_text(octets: bytes) -> str:
    """Return the text that `to_octets` turns into these bytes again."""
    return octets.decode("utf-8", "surrogateescape")
