"""Rows of text in columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Iterator[str]:
    """Lines with the first column to the left and the others to the right, and behind each row its note."""
    whole = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    behind = ["", *(notes or [""] * len(rows))]
    for (name, *numbers), note in zip(whole, behind, strict=True):
        cells = [name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]
        yield f"  {'  '.join(cells)}{note}".rstrip()
