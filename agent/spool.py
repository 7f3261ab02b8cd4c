"""Results that an agent keeps of its runs: one file each, readable up to its last whole record after any crash."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from heyfleet.plan.places import check_agent_name
from heyfleet.plan.run_id import check_run_id
from heyfleet.private_files import make_folder
from heyfleet.proto.stats_pb2 import Record

SUFFIX = ".records"


def default_folder() -> Path:
    """Return the user's state folder for spool files, or a temporary folder if that one can't be written; OSError."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        folder = Path(state).expanduser() / "heyfleet" / "spool"
        prepare_folder(folder)
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        return Path(tempfile.mkdtemp(prefix="heyfleet-spool-"))
    return folder


def prepare_folder(folder: Path) -> None:
    """Create the folder for this user only, since plans may hold secrets; OSError if it can't be written."""
    make_folder(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "can't be written", str(folder))


class Spool:
    """The file of one run, while it grows. It has whole records only, also after a write that failed.

    Run ids and agents' names come from another host; ValueError for one that could lead out of the folder.
    """

    def __init__(self, folder: Path, run_id: str, agent: str) -> None:
        self.path = folder / f"{check_run_id(run_id)}.{check_agent_name(agent)}{SUFFIX}"
        # A pipe of this name without a reader is an error, and nothing to wait for.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._file = os.fdopen(os.open(self.path, flags, 0o600), "wb", buffering=0)
        self._length = 0  # of the whole records

    def append(self, record: Record) -> None:
        """Write a record, so that it survives this process; OSError, after which it is not in the file."""
        data = record.SerializeToString()
        rest = memoryview(_encode_length(len(data)) + data)
        whole = self._length + len(rest)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with suppress(OSError):
                self._file.truncate(self._length)
                self._file.seek(self._length)
            raise
        self._length = whole

    def records(self) -> Iterator[Record]:
        """Yield the records written so far."""
        return read_records(self.path)

    def close(self, *, keep: bool) -> None:
        """Close the file, and delete it unless it is to be kept; OSError if it can't be deleted."""
        with suppress(OSError):  # a network file system may report a failed write late
            self._file.close()
        if not keep:
            self.path.unlink(missing_ok=True)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file, each behind its length as a varint, and stop before an incomplete one."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while (length := _read_length(file)) is not None:
            if length > size - file.tell():
                return
            try:
                yield Record.FromString(file.read(length))
            except DecodeError:
                return


def _encode_length(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_length(file: BinaryIO) -> int | None:
    """Read a varint; None at the end of the file."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    return None
