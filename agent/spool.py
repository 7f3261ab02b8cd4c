"""Results that an agent keeps of its runs: one file each, readable up to its last whole record after any crash."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from heyfleet.private_files import make_folder, open_file
from heyfleet.proto.stats_pb2 import Record

SUFFIX = ".records"


def default_folder() -> Path:
    """Return the user's state folder for spool files, or a temporary folder if that one can't be written."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(state).expanduser() / "heyfleet" / "spool"
    try:
        prepare_folder(folder)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="heyfleet-spool-"))
    return folder


def prepare_folder(folder: Path) -> None:
    """Create the folder for this user only, since plans may hold secrets; OSError if it can't be written."""
    make_folder(folder, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "can't be written", str(folder))


class Spool:
    """The file of one run, while it grows."""

    def __init__(self, folder: Path, run_id: str, agent: str) -> None:
        self.path = folder / f"{run_id}.{agent}{SUFFIX}"
        self._file: IO[bytes] = open_file(self.path, "wb")

    def append(self, record: Record) -> None:
        """Write a record and flush it, so that it survives this process; OSError."""
        data = record.SerializeToString()
        self._file.write(_encode_length(len(data)) + data)
        self._file.flush()

    def records(self) -> Iterator[Record]:
        """Yield the records written so far."""
        return read_records(self.path)

    def close(self, *, keep: bool) -> None:
        """Close the file, and delete it unless it is to be kept."""
        with suppress(OSError):  # a full disk; the failed append has been reported
            self._file.close()
        if not keep:
            self.path.unlink(missing_ok=True)


def read_records(path: Path) -> Iterator[Record]:
    """Yield the records of a file, each behind its length as a varint, and stop before an incomplete one."""
    with open(path, "rb") as file:
        while (length := _read_length(file)) is not None:
            data = file.read(length)
            if len(data) < length:
                return
            yield Record.FromString(data)


def _encode_length(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_length(file: IO[bytes]) -> int | None:
    """Read a varint; None at the end of the file."""
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    return None
