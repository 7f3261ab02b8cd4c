"""heyfleet from Python: runs, and what was kept of them. docs/how-to/python.md shows how."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heyfleet.ext import Histogram
from heyfleet.results.archive.runs import find_run
from heyfleet.results.archive.runs_folder import DEFAULT_FOLDER, runs_folder
from heyfleet.results.export.formats import FORMATS, render, write_file
from heyfleet.results.export.run_view import RunView, Selection
from heyfleet.results.export.series import Value, points
from heyfleet.results.report import json as document
from heyfleet.results.report import text as hey

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_CANNOT_START = 2
_SIGNAL = 128


class RunError(Exception):
    """The run could not begin, or was interrupted; the text is the one line that the command would print."""


class Result:
    """A run that was kept. Latencies are in seconds here, and in nanoseconds where a name says so."""

    def __init__(
        self, folder: str | PathLike[str], *, exit_code: int | None = None, selection: Selection | None = None
    ) -> None:
        """An archive's folder, or its name in the folder of runs; heyfleet.errors.InputError."""
        self._source = RunView(find_run(str(folder), runs_folder() or DEFAULT_FOLDER), selection)
        self._owner: Result | None = None  # of the folder, if that is not to outlive it
        self.exit_code = exit_code
        """Of the command, as docs/reference/report.md lists them; None if the run was loaded."""

    @property
    def folder(self) -> Path:
        """Where the archive is."""
        return self._source.run.folder

    @property
    def report(self) -> dict[str, Any]:
        """The whole report; docs/reference/report.schema.json describes it."""
        return document.document(self._source.summary)

    @property
    def requests(self) -> int:
        """How many were answered, or failed."""
        return self._source.metrics.completed

    @property
    def statuses(self) -> dict[int, int]:
        """Responses by status code."""
        return dict(sorted(self._source.metrics.responses.items()))

    @property
    def errors(self) -> dict[str, int]:
        """Requests that failed, by kind."""
        return dict(self._source.metrics.errors.most_common())

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self._source.seconds

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds if self.seconds else 0.0

    @property
    def trust(self) -> str:
        """Whether the generator can be trusted: "good", "limited" or "bad"."""
        return self._source.summary.trust.verdict

    @property
    def metrics(self) -> list[str]:
        """What there are histograms of."""
        return sorted(self._source.metrics.histograms)

    def percentile(self, percent: float, metric: str = "latency") -> float:
        """A percentile by nearest rank, in seconds. ValueError where nothing was recorded."""
        return self._of(metric).value_at_percentile(percent) / 1e9

    def mean(self, metric: str = "latency") -> float:
        """The exact average, in seconds."""
        return self._of(metric).mean_ns / 1e9

    def histogram(
        self, metric: str = "latency"
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The buckets in use as three arrays: lowest and highest value in ns, and count."""
        import numpy as np

        buckets = np.array(self._of(metric).buckets(), np.int64).reshape(-1, 3)
        return buckets[:, 0], buckets[:, 1], buckets[:, 2]

    def series(self) -> Iterator[dict[str, Value]]:
        """Second by second, with the columns of `heyfleet export --as series-csv`."""
        return points(self._source)

    def to_pandas(self) -> pd.DataFrame:
        """The series as a data frame. ImportError without pandas (pip install 'heyfleet[pandas]')."""
        import pandas as pd

        return pd.DataFrame(list(self.series()))

    def only(
        self,
        *,
        stage: str = "",
        request: str = "",
        agent: str = "",
        begin_s: float | None = None,
        end_s: float | None = None,
    ) -> Result:
        """A part of the run: a stage, a request, an agent, or a stretch of time."""
        part = Result(
            self.folder, exit_code=self.exit_code, selection=Selection(stage, request, agent, begin_s, end_s)
        )
        part._owner = self
        return part

    def export(self, form: str, path: str | PathLike[str]) -> Path:
        """Write a new file in one of the formats of `heyfleet export`; its path."""
        if form not in FORMATS:
            raise ValueError(f"{form!r} is none of {', '.join(FORMATS)}")
        write_file(Path(path), render(form, self._source))
        return Path(path)

    def __str__(self) -> str:
        """The report as hey prints it."""
        return hey.render(self._source.summary)

    def __repr__(self) -> str:
        """In one line."""
        p99 = f", p99 {self.percentile(99):.4f} s" if self._source.metrics.histogram("latency") else ""
        return f"<heyfleet.Result {self.requests} requests, {self.rate:.1f}/s{p99}, trust {self.trust}>"

    def _repr_html_(self) -> str:
        """For notebooks: a small table."""
        rows = [("requests", f"{self.requests:,}"), ("requests/s", f"{self.rate:,.1f}")]
        if self._source.metrics.histogram("latency"):
            rows += [(f"p{each:g}", f"{self.percentile(each) * 1e3:,.3f} ms") for each in (50, 90, 99, 99.9)]
        rows += [("errors", f"{sum(self.errors.values()):,}"), ("trust", self.trust)]
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in rows
        )
        return f"<table>{cells}</table>"

    def _of(self, metric: str) -> Histogram:
        histogram = self._source.metrics.histogram(metric)
        if histogram is None:
            raise ValueError(
                f"nothing was recorded of {metric!r}; there is {', '.join(self.metrics) or 'nothing'}"
            )
        return histogram


def load(folder: str | PathLike[str] = "") -> Result:
    """A kept run, by its folder or its name in the folder of runs; the latest, if none is given."""
    return Result(folder)


def run(url: str = "", *, out: str | PathLike[str] | None = None, **flags: Any) -> Result:
    """Make a run, in a process of its own, and wait for its end.

    Flags are those of `heyfleet run`, with `_` for `-`: n=1000, c=50, rate=500, z="10s", local_agents=3, H=["A: b"]. True
    is a flag without a value. Without `out` the archive goes with the result. RunError if it could not begin; a load that
    was worse than asked for is a result, too: see `exit_code`.
    """
    folder, around = _folder(out)
    try:
        made = subprocess.run(_command(url, folder, flags), capture_output=True, text=True, check=False)
        return _result(folder, around, made.returncode, made.stderr)
    except BaseException:
        _remove(around)
        raise


async def arun(url: str = "", *, out: str | PathLike[str] | None = None, **flags: Any) -> Result:
    """The same without blocking; when it is cancelled the load ends at once."""
    folder, around = _folder(out)
    try:
        process = await asyncio.create_subprocess_exec(
            *_command(url, folder, flags), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
            await process.communicate()
            raise
        return _result(folder, around, process.returncode or 0, said.decode())
    except BaseException:
        _remove(around)
        raise


def _folder(out: str | PathLike[str] | None) -> tuple[Path, Path | None]:
    """Where the archive goes, and the folder around it if that is to go with the result."""
    if out is not None:
        return Path(out), None
    around = Path(tempfile.mkdtemp(prefix="heyfleet-"))
    return around / "run", around


def _command(url: str, folder: Path, flags: dict[str, Any]) -> list[str]:
    command = [sys.executable, "-m", "heyfleet", "run", "--json", "--out", str(folder)]
    for name, value in flags.items():
        flag = f"--{name.replace('_', '-')}"
        if value is True:
            command.append(flag)
        elif isinstance(value, (list, tuple)):
            command += [f"{flag}={each}" for each in value]
        elif value is not None and value is not False:
            command.append(f"{flag}={value}")
    return [*command, url] if url else command


def _result(folder: Path, around: Path | None, code: int, said: str) -> Result:
    lines = [line for line in said.splitlines() if line.startswith("heyfleet: ")]
    if code == _CANNOT_START or code < 0 or code >= _SIGNAL or not folder.is_dir():
        raise RunError(
            lines[-1].removeprefix("heyfleet: ") if lines else f"the run ended with {code}: {said.strip()}"
        )
    result = Result(folder, exit_code=code)
    if around is not None:
        weakref.finalize(result, _remove, around)
    return result


def _remove(around: Path | None) -> None:
    if around is not None:
        shutil.rmtree(around, ignore_errors=True)
