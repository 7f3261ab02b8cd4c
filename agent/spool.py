"""What an agent keeps of its runs: a file each, that can be read to the last whole record whatever happened to its writer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from heyfleet.proto.stats_pb2 import Record

SUFFIX = ".records"


def default_folder() -> Path:
    """Where this user's programs keep their state; a folder of its own where that can't be written."""
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    folder = Path(state).expanduser() / "heyfleet" / "spool"
    try:
        prepare(folder)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="heyfleet-spool-"))
    return folder


def prepare(folder: Path) -> None:
    """Make the folder, for this user only: plans may have secrets in their headers. OSError if it can't be written."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(13, "can't be written", str(folder))


class Spool:
    """The file of one run, while it grows."""

    def __init__(self, folder: Path, run_id: str, agent: str) -> None:
        self.path = folder / f"{run_id}.{agent}{SUFFIX}"
        self._file: BinaryIO = os.fdopen(
            os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb"
        )

    def append(self, record: Record) -> None:
        """Write a record so that it outlives this process."""
        data = record.SerializeToString()
        self._file.write(_length(len(data)) + data)
        self._file.flush()

    def records(self) -> Iterator[Record]:
        """All that was written."""
        return read_records(self.path)

    def close(self, *, keep: bool) -> None:
        """Write no more; forget it, unless it is to be kept."""
        self._file.close()
        if not keep:
            self.path.unlink(missing_ok=True)


def read_records(path: Path) -> Iterator[Record]:
    """The records of a file, up to one that was not written to its end."""
    with open(path, "rb") as file:
        while (length := _read_length(file)) is not None:
            data = file.read(length)
            if len(data) < length:
                return
            yield Record.FromString(data)


def _length(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_length(file: BinaryIO) -> int | None:
    value = shift = 0
    while byte := file.read(1):
        value |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return value
        shift += 7
    return None
