"""The one shape of run ids, which are part of file names on agents and of log lines."""

from __future__ import annotations

import os
import re

_RUN_ID = re.compile(r"[0-9a-z]{1,32}")


def new_run_id() -> str:
    """Return a random run id."""
    return os.urandom(8).hex()


def check_run_id(text: str) -> str:
    """Return the text if it is a run id. Raises ValueError."""
    if not _RUN_ID.fullmatch(text):
        raise ValueError(f"{text[:80]!r} is not a run id, which has 1 to 32 digits and lowercase letters")
    return text
