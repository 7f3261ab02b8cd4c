"""Lines on stderr and reports on stdout. Nothing else prints, so that no text reaches a terminal as it came."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from heyfleet.text import printable

_ERASE_LINE = "\r\x1b[K"


def error(text: str) -> None:
    """Print one line on stderr, prefixed with the name of the program."""
    info(" ".join(text.splitlines()))


def info(text: str, program: str = "heyfleet") -> None:
    """Print one line of progress on stderr."""
    print(f"{program}:", printable(text), file=sys.stderr, flush=True)


def write_stderr(lines: Iterable[str]) -> None:
    """Write lines to stderr without a prefix, each as one line whatever it contains."""
    for line in lines:
        print(printable(line), file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Return whether stderr is a terminal on which a line can be rewritten."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def rewrite(text: str) -> None:
    """Replace the last line on stderr, which must be a terminal; "" only removes it."""
    print(f"{_ERASE_LINE}{printable(text)}", end="", file=sys.stderr, flush=True)


def write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout, each as one line whatever it contains; see `write_stdout`."""
    write_stdout(f"{printable(line)}\n" for line in lines)


def write_stdout(chunks: Iterable[str] | Iterable[bytes]) -> None:
    """Write a document to stdout, text as UTF-8 whatever the locale. Raises OutputError.

    The document's format has escaped what must not be printed; lines go through `write_lines`.
    """
    sys.stdout.flush()
    for chunk in chunks:
        data = chunk.encode("utf-8", "backslashreplace") if isinstance(chunk, str) else chunk
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
