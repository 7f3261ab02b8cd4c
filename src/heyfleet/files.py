"""The one reader of files that people and strangers give: bounded, with one kind of error, and never waiting for ever.

A path may name a regular file or, where `pipes` allows it, a FIFO, a process substitution (`<(command)`) or `-`, which
is standard input. Directories, sockets and devices other than /dev/null are refused. A FIFO that nobody opens for
writing is given up after `WRITER_WAIT_S`; one that has a writer is read until all of its writers have closed it, however
long that takes.

Every error is one InputError that begins with `source`, the flag or line that named the file.
"""

from __future__ import annotations

import os
import re
import select
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from heyfleet.encodings import decode
from heyfleet.errors import InputError
from heyfleet.mask import mask_text

STANDARD_INPUT = "-"
MAX_DATA_BYTES = 1 << 30  # bodies, targets, data, results of other tools
MAX_TEXT_BYTES = 16 << 20  # what people write by hand, certificates and keys
WRITER_WAIT_S = 10.0
_NULL_DEVICE = os.makedev(1, 3)  # /dev/null, which stands for an empty file
_POLL_MS = 50
_PIECE_BYTES = 1 << 20
_CONTENT = re.compile(r"^[{\[<]|\n")  # in a name: it is the content, such as JSON or a key in PEM

# What came from standard input, by the source that read it: it can be read only once, but a plan may be made again.
_standard_input: dict[str, bytes] = {}


def read_file(
    path: str | os.PathLike[str],
    source: str,
    limit_bytes: int = MAX_DATA_BYTES,
    *,
    pipes: bool = True,
    error: type[InputError] = InputError,
) -> bytes:
    """Return the bytes of a file, or raise `error` if it can't be read or is larger than the limit."""
    name = os.fspath(path)
    if name == STANDARD_INPUT and pipes:
        return _read_standard_input(source, limit_bytes, error)
    if name == STANDARD_INPUT:
        name = os.path.join(os.curdir, name)  # the file, and in errors not standard input
    with _open(name, source, error) as descriptor:
        status = os.fstat(descriptor)
        _check_kind(status, name, source, error, pipes=pipes)
        if stat.S_ISREG(status.st_mode) and status.st_size > limit_bytes:
            raise _too_large(name, source, limit_bytes, error)
        is_pipe = stat.S_ISFIFO(status.st_mode)
        return _read(descriptor, name, source, limit_bytes, error, may_lack_writer=is_pipe)


def read_text_file(
    path: str | os.PathLike[str],
    source: str,
    limit_bytes: int = MAX_TEXT_BYTES,
    *,
    undecodable: str = "strict",
    pipes: bool = True,
    error: type[InputError] = InputError,
) -> str:
    """Return the text of a file in UTF-8, or in the encoding that its byte order mark announces; see `decode`."""
    data = read_file(path, source, limit_bytes, pipes=pipes, error=error)
    try:
        return decode(data, undecodable)
    except ValueError as reason:
        raise error(f"{source}: {_display(os.fspath(path))} {reason}", "save it as UTF-8") from None


@contextmanager
def open_file(
    path: str | os.PathLike[str], source: str, *, error: type[InputError] = InputError
) -> Iterator[BinaryIO]:
    """Open a regular file to be read piece by piece; the caller bounds the pieces."""
    name = os.fspath(path)
    with _open(name, source, error) as descriptor:
        _check_kind(os.fstat(descriptor), name, source, error, pipes=False)
        with open(descriptor, "rb", closefd=False) as file:
            yield file


def is_readable_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path names something that may be a file or pipe, and no directory."""
    return os.path.exists(path) and not os.path.isdir(path)


@contextmanager
def _open(name: str, source: str, error: type[InputError]) -> Iterator[int]:
    try:
        # Without O_NONBLOCK, opening a FIFO waits for its writer, and opening some devices for their hardware.
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as reason:
        raise _unreadable(name, source, reason, error) from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check_kind(
    status: os.stat_result, name: str, source: str, error: type[InputError], *, pipes: bool
) -> None:
    mode = status.st_mode
    if stat.S_ISREG(mode) or (pipes and (stat.S_ISFIFO(mode) or status.st_rdev == _NULL_DEVICE)):
        return
    kind = "a directory" if stat.S_ISDIR(mode) else "a pipe" if stat.S_ISFIFO(mode) else "a device"
    raise error(f"{source}: can't read {_display(name)}: it is {kind}", "name a regular file")


def _read_standard_input(source: str, limit_bytes: int, error: type[InputError]) -> bytes:
    for other in _standard_input.keys() - {source}:
        raise error(f"{source}: {other} has already read standard input", "give one of the two a file")
    if source not in _standard_input:
        content = _read(0, STANDARD_INPUT, source, limit_bytes, error, may_lack_writer=False)
        _standard_input[source] = content
    return _standard_input[source]


def _read(
    descriptor: int,
    name: str,
    source: str,
    limit_bytes: int,
    error: type[InputError],
    *,
    may_lack_writer: bool,
) -> bytes:
    """Return all bytes, having waited for the writer of a FIFO; never read more than a piece beyond the limit."""
    content = bytearray()
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    deadline_s = time.monotonic() + WRITER_WAIT_S
    while len(content) <= limit_bytes:
        try:
            piece = os.read(descriptor, _PIECE_BYTES)
        except BlockingIOError:
            may_lack_writer = False  # it has one, which has not written anything yet
            poll.poll()
            continue
        except OSError as reason:
            raise _unreadable(name, source, reason, error) from None
        content += piece
        if piece:
            may_lack_writer = False
        elif not may_lack_writer:
            return bytes(content)
        elif poll.poll(_POLL_MS):
            may_lack_writer = False  # one came and went
        elif time.monotonic() > deadline_s:
            raise error(
                f"{source}: can't read {_display(name)}: nothing opened this pipe for writing within {WRITER_WAIT_S:g} s",
                "start the command that writes to it",
            )
    raise _too_large(name, source, limit_bytes, error)


def _display(name: str) -> str:
    """Return a name for an error text; it may be a body that was given to the flag of a file."""
    if _CONTENT.search(name):
        return f"a file named by a text of {len(name)} characters"
    return "standard input" if name == STANDARD_INPUT else repr(mask_text(name))


def _unreadable(name: str, source: str, reason: Exception, error: type[InputError]) -> InputError:
    text = getattr(reason, "strerror", None) or str(reason)
    return error(f"{source}: can't read {_display(name)}: {text}")


def _too_large(name: str, source: str, limit_bytes: int, error: type[InputError]) -> InputError:
    return error(f"{source}: {_display(name)} is larger than {limit_bytes >> 20} MiB")
