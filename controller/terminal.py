"""stdout and stderr: what goes where, in which encoding, and what to do when nobody reads."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable


def complain(text: str) -> None:
    """One line on stderr, under the name of the program."""
    print("heyfleet:", " ".join(text.splitlines()), file=sys.stderr)


def say(text: str) -> None:
    """One line on stderr of something that goes on; whoever does not read it is no fault."""
    with contextlib.suppress(OSError):
        print("heyfleet:", text, file=sys.stderr, flush=True)


def write_out(chunks: Iterable[str]) -> None:
    """Write to stdout in UTF-8, whatever the locale; a reader that has left is no fault of ours."""
    try:
        sys.stdout.flush()
        for chunk in chunks:
            sys.stdout.buffer.write(chunk.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered goes nowhere, or the interpreter complains of it at exit.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
