"""The folder of runs: where archives go by default."""

from __future__ import annotations

import datetime
import itertools
import os
import re
from pathlib import Path

DEFAULT_FOLDER = "heyfleet-runs"


def runs_folder() -> str:
    """Return the folder for runs without one of their own, from HEYFLEET_RUNS; "" if they are not saved."""
    return os.environ.get("HEYFLEET_RUNS", DEFAULT_FOLDER)


def new_run_folder(runs: Path, host: str) -> Path:
    """Return a folder that does not exist, named by time and target, with a number if that name is taken."""
    target = re.sub(r"[^A-Za-z0-9.-]", "-", host) or "host"
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{target}"
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(runs / each for each in names if not (runs / each).exists())
