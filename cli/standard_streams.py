"""Standard streams that work whatever the caller made of them: closed, full, or a pipe whose reader has left.

The rules, for every command:

- What can't be written to stderr is dropped. It never ends a run, and never goes anywhere else.
- A reader of stdout that has left is no error. Any other failure of stdout is an OutputError.
- A closed descriptor is occupied, so that no file or connection takes its number and gets the text meant for a stream.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TextIO

from heyfleet.errors import HeyfleetError

STDIN, STDOUT, STDERR = 0, 1, 2


class OutputError(HeyfleetError):
    """Text or a report that stdout did not take."""


class _Descriptor(io.FileIO):
    """A descriptor for output that waits while it is full, and after its first failure drops what is written to it."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "w", closefd=False)
        self._failed = False

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]
        """Write some of the bytes and return how many; all of them after a failure."""
        if not self._failed:
            try:
                while (count := super().write(data)) is None:  # a non-blocking descriptor
                    select.select([], [self], [])
                return count
            except OSError as error:
                self._failed = True
                self._on_failure(error)
        return memoryview(data).nbytes

    def _on_failure(self, error: OSError) -> None:
        """Do nothing about a failure."""


class _Output(_Descriptor):
    """Descriptor of stdout."""

    def _on_failure(self, error: OSError) -> None:
        """Raise an OutputError unless the reader has left."""
        if error.errno != errno.EPIPE:
            reason = "it is closed" if error.errno == errno.EBADF else error.strerror
            raise OutputError(f"can't write to stdout: {reason}")


def prepare() -> None:
    """Occupy closed descriptors and replace stdout and stderr; a program's own replacements are left alone."""
    # The wrong direction, so that reading stdin and writing stdout fail as on a closed descriptor.
    _occupy(STDIN, os.O_WRONLY)
    _occupy(STDOUT, os.O_RDONLY)
    _occupy(STDERR, os.O_WRONLY)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(STDIN, closefd=False)), "utf-8")
    if sys.stdout is sys.__stdout__:
        sys.stdout = _text_stream(sys.stdout, _Output(STDOUT), "surrogateescape")
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text_stream(sys.stderr, _Descriptor(STDERR), "backslashreplace")


def _occupy(number: int, flags: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        try:
            opened = os.open(os.devnull, flags)
        except OSError:  # there is no /dev
            reader, writer = os.pipe()
            opened, other = (reader, writer) if flags == os.O_RDONLY else (writer, reader)
            os.close(other)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)
        else:
            os.set_inheritable(number, True)


def _text_stream(previous: TextIO | None, raw: io.FileIO, errors: str) -> TextIO:
    """Return a stream of UTF-8, whatever the locale, in place of the previous one."""
    if previous is not None:
        previous.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", errors, line_buffering=raw.isatty() or raw.fileno() == STDERR
    )
