"""Text tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from heyfleet.text import printable


def table(header: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()) -> Iterator[str]:
    """Return the lines of a table, the first column left-aligned, the others right-aligned, notes after the rows."""
    lines = [header, *([printable(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    suffixes = ["", *(notes or [""] * len(rows))]
    for (name, *values), suffix in zip(lines, suffixes, strict=True):
        cells = [name.ljust(widths[0]), *map(str.rjust, values, widths[1:])]
        yield f"  {'  '.join(cells)}{suffix}".rstrip()
