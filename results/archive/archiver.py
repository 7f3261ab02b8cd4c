"""Decides whether and where the archive of a run is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from heyfleet.errors import InputError
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.archive.runs_folder import make_run_folder, runs_folder
from heyfleet.results.intervals import IntervalSink, ignore
from heyfleet.results.measurements import Measurements


class _Writer(Protocol):
    """What an Archiver uses of ArchiveWriter, which is imported only if a run is archived."""

    folder: Path
    error: str

    def add_interval(self, interval: Interval) -> None: ...

    def finish(self, measurements: Measurements, report: str, exit_code: int | None = None) -> None: ...

    def discard(self) -> None: ...


class Archiver:
    """Archives one run in `out`, which must be new, or else in a new folder in the folder of runs.

    If `out` can't be written, the run does not start (InputError). If the folder of runs can't, `warn` is called and the
    run is not archived.
    """

    def __init__(
        self, out: str = "", *, enabled: bool = True, warn: Callable[[str], object] = lambda text: None
    ) -> None:
        self._out = out
        self._enabled = enabled
        self._warn = warn
        self._writer: _Writer | None = None

    @property
    def folder(self) -> Path | None:
        """The archive of the run; None if there is none."""
        return self._writer.folder if self._writer else None

    @property
    def error(self) -> str:
        """Why the archive is incomplete; "" if it is not."""
        return self._writer.error if self._writer else ""

    @property
    def failed(self) -> bool:
        """Whether an archive that was requested by name is incomplete."""
        return bool(self._out and self.error)

    @contextmanager
    def open(self, plan: Plan) -> Iterator[IntervalSink]:
        """Open the archive while the load runs; an exception means that there was no load, and removes it."""
        self._writer = self._open_writer(plan) if self._enabled else None
        try:
            yield self._writer.add_interval if self._writer else ignore
        except BaseException:
            if self._writer:
                self._writer.discard()
                self._writer = None
            raise

    def finish(self, measurements: Measurements, report: Callable[[], str], exit_code: int) -> None:
        """Complete the archive; `report` returns the JSON report and is called only if there is an archive."""
        if self._writer is not None:
            self._writer.finish(measurements, report(), exit_code)

    def _open_writer(self, plan: Plan) -> _Writer | None:
        runs = runs_folder()
        if not (self._out or runs):
            return None
        from heyfleet.results.archive.writer import ArchiveWriter

        if self._out:
            return ArchiveWriter(Path(self._out), plan)
        try:
            return ArchiveWriter(make_run_folder(Path(runs), plan.target.host), plan, is_made=True)
        except InputError as error:
            self._warn(f"warning: {error.cause}; the run is not saved (use --out DIR or --no-archive)")
            return None
