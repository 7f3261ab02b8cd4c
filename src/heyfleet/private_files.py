"""Files and folders that only this user may read: archives, exports, spools and credentials."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any


def make_folder(folder: Path, *, exist_ok: bool = False) -> None:
    """Make a folder of mode 0700, and the missing ones above it likewise; OSError."""
    if not folder.parent.exists():
        make_folder(folder.parent, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=exist_ok)


def open_file(path: Path, mode: str) -> IO[Any]:
    """Open a file as `open` does, text as UTF-8; a new one gets the mode 0600."""
    return open(path, mode, encoding=None if "b" in mode else "utf-8", opener=_open)


def _open(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
