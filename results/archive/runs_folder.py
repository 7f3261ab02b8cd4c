"""The folder of runs: where archives go by default."""

from __future__ import annotations

import datetime
import itertools
import os
import re
from pathlib import Path

from heyfleet.errors import InputError
from heyfleet.private_files import make_folder

DEFAULT_FOLDER = "heyfleet-runs"
KEEP_NOTHING = "none"  # as the value of HEYFLEET_RUNS


def runs_folder() -> str:
    """Return the folder for runs without one of their own, from HEYFLEET_RUNS; "" if they are not saved."""
    text = os.environ.get("HEYFLEET_RUNS") or DEFAULT_FOLDER  # an empty variable counts as not set
    return "" if text == KEEP_NOTHING else os.path.expanduser(text)


def make_run_folder(runs: Path, host: str) -> Path:
    """Make a new folder, named by time and target, with a number if another run has that name. Raises InputError."""
    target = re.sub(r"[^A-Za-z0-9.-]", "-", host) or "host"
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{target}"
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    try:
        make_folder(runs, exist_ok=True)
        return next(runs / each for each in names if _make(runs / each))
    except OSError as error:
        raise InputError(f"the folder of runs {runs} can't be written: {error.strerror}") from None


def _make(folder: Path) -> bool:
    """Make a folder; return False if there is one, perhaps of a run that began at the same instant."""
    try:
        make_folder(folder)
    except FileExistsError:
        return False
    return True
