"""Whether and where a run is kept."""

from __future__ import annotations

import datetime
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from heyfleet.controller import terminal
from heyfleet.errors import InputError
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.archive.layout import RUNS
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements

if TYPE_CHECKING:
    from heyfleet.results.archive.writer import Archive


class Archiver:
    """Keeps one run: in `out`, which must be new; else in a new folder within the folder of runs; or not at all.

    A folder that was named and can't be made is an InputError; one that was not named costs a warning.
    """

    def __init__(self, out: str = "", *, nothing: bool = False) -> None:
        self._out = out
        self._archive: Archive | None = None
        self._nothing = nothing

    @contextmanager
    def begin(self, plan: Plan) -> Iterator[IntervalSink]:
        """A context for the load: an exception in it means that there was none, and leaves no archive."""
        self._archive = None if self._nothing else self._made(plan)
        try:
            yield self._archive.take if self._archive else ignore
        except BaseException:
            if self._archive:
                self._archive.abandon()
                self._archive = None
            raise

    def end(self, measured: Measurements, summary: Callable[[], str]) -> bool:
        """The run is over; False if an archive that was asked for could not be written whole."""
        if self._archive is None:
            return True
        self._archive.finish(measured, summary())
        if self._archive.fault:
            terminal.complain(self._archive.fault)
        elif sys.stderr.isatty():
            terminal.say(f"kept in {self._archive.folder}")
        return not (self._out and self._archive.fault)

    def _made(self, plan: Plan) -> Archive | None:
        runs = folder_of_runs()
        if not (self._out or runs):
            return None
        from heyfleet.results.archive.writer import Archive

        if self._out:
            return Archive(Path(self._out), plan)
        try:
            return Archive(free(Path(runs), plan.target.host), plan)
        except InputError as error:
            terminal.say(f"warning: {error}; the run is not kept (--out DIR, --no-archive)")
            return None


def folder_of_runs() -> str:
    """Where runs go that name no folder; "" if they are not kept."""
    return os.environ.get("HEYFLEET_RUNS", RUNS)


def free(runs: Path, host: str) -> Path:
    """A folder that is not there, named by time and target, and by a number where that is taken."""
    name = f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{re.sub(r'[^A-Za-z0-9.-]', '-', host) or 'host'}"
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    return next(runs / each for each in names if not (runs / each).exists())
