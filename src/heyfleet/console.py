"""Lines on stderr and reports on stdout, for the command line and the live view of a run."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable


def error(text: str) -> None:
    """Print one line on stderr, prefixed with the name of the program."""
    info(" ".join(text.splitlines()))


def info(text: str) -> None:
    """Print one line of progress on stderr."""
    print("heyfleet:", text, file=sys.stderr, flush=True)


def is_terminal() -> bool:
    """Return whether stderr is a terminal on which a line can be rewritten."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def write_stdout(chunks: Iterable[str] | Iterable[bytes]) -> None:
    """Write to stdout, text as UTF-8 whatever the locale. Raises OutputError."""
    sys.stdout.flush()
    for chunk in chunks:
        data = chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else chunk
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
