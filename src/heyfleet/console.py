"""Lines on stderr and reports on stdout, for the command line and the live view of a run."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable


def error(text: str) -> None:
    """Print one line on stderr, prefixed with the name of the program."""
    print("heyfleet:", " ".join(text.splitlines()), file=sys.stderr)


def info(text: str) -> None:
    """Print one line of progress on stderr; a closed stderr is ignored."""
    with contextlib.suppress(OSError):
        print("heyfleet:", text, file=sys.stderr, flush=True)


def write_stdout(chunks: Iterable[str] | Iterable[bytes]) -> None:
    """Write to stdout, text as UTF-8 whatever the locale; a reader that has left is not an error."""
    try:
        sys.stdout.flush()
        for chunk in chunks:
            data = chunk.encode("utf-8", "surrogateescape") if isinstance(chunk, str) else chunk
            sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Send the rest of the buffer nowhere, or the interpreter reports the broken pipe again at exit.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, sys.stdout.fileno())
        os.close(devnull)
