"""A finished run, as Python programs see it."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heyfleet.controller.run import exit_code_of
from heyfleet.errors import ExitCode, InputError
from heyfleet.ext import Histogram
from heyfleet.plan.thresholds import parse_threshold, parse_thresholds
from heyfleet.results.archive.runs import find_run
from heyfleet.results.archive.runs_folder import runs_folder
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.export.formats import FORMATS, render, write_file
from heyfleet.results.export.run_view import RunView, Selection
from heyfleet.results.export.series import points
from heyfleet.results.report import json as json_report
from heyfleet.results.report import text as text_report
from heyfleet.results.thresholds import PASSED, count_run_failures, judge, scope_of
from heyfleet.results.units import format_time

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import plotly.graph_objects as go
    from numpy.typing import NDArray

_NS_PER_S = 1e9


class Result:
    """One run, or a part of it. Latencies are seconds, unless a name ends in `_ns`; None is not known."""

    def __init__(
        self, folder: str | PathLike[str], *, exit_code: int | None = None, selection: Selection | None = None
    ) -> None:
        """Read the archive of a run, by its folder or its name in the folder of runs. Raises InputError."""
        self._view = RunView(find_run(str(folder), runs_folder()), selection)
        self._exit_code = exit_code
        self._whole: Result | None = None  # keeps a temporary archive for as long as one of its parts is used

    @property
    def folder(self) -> Path:
        """The folder of the archive."""
        return self._view.run.folder

    @property
    def exit_code(self) -> int:
        """The exit code of `heyfleet run` for this run; docs/reference/exit-codes.md lists them."""
        known = self._exit_code if self._exit_code is not None else self._view.run.exit_code
        if known is not None:
            return known
        if self._view.measurements.interrupted:
            return ExitCode.INTERRUPTED
        return exit_code_of(self._view.summary)

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0: requests were answered, the report adds up, and every threshold passed."""
        return self.exit_code == ExitCode.OK

    @property
    def requests(self) -> int:
        """Number of requests that were answered or ended in an error."""
        return self._view.metrics.completed

    @property
    def failed(self) -> int | None:
        """Number of requests without an answer or with an unexpected status; known of whole runs, stages and requests."""
        measurements, selection = self._view.measurements, self._view.selection
        if not selection:
            return count_run_failures(measurements.stats, measurements.plan)
        if selection.agent or selection.has_time_range or (selection.stage and selection.request):
            return None
        name = selection.stage or selection.request
        return scope_of(name, measurements.stats, measurements.plan, self._view.summary.total_ns).failed

    @property
    def statuses(self) -> dict[int, int]:
        """Number of responses by status code."""
        return dict(sorted(self._view.metrics.responses.items()))

    @property
    def errors(self) -> dict[str, int]:
        """Number of requests without an answer, by kind of error."""
        return dict(self._view.metrics.errors.most_common())

    @property
    def seconds(self) -> float:
        """How long the run lasted."""
        return self._view.seconds

    @property
    def rate(self) -> float:
        """Completed requests per second."""
        return self._view.requests_per_second

    @property
    def p50(self) -> float | None:
        """The median of the latency in seconds."""
        return self.percentile(50)

    @property
    def p90(self) -> float | None:
        """The 90th percentile of the latency in seconds."""
        return self.percentile(90)

    @property
    def p99(self) -> float | None:
        """The 99th percentile of the latency in seconds; None with fewer than 100 responses."""
        return self.percentile(99)

    @property
    def trust(self) -> str:
        """Whether the numbers describe the server and not the generator: "good", "limited" or "bad"."""
        return self._view.summary.trust.verdict

    @property
    def report(self) -> dict[str, Any]:
        """The JSON report of the whole run; docs/reference/report.schema.json describes it."""
        return json_report.document(self._view.summary)

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that have a histogram."""
        return sorted(self._view.metrics.histograms)

    def percentile(self, percent: float, metric: str = "latency") -> float | None:
        """Return a percentile by nearest rank in seconds; None if the sample is too small to support it."""
        value_ns = percentile_ns(self._view.metrics.histogram(metric), percent)
        return None if value_ns is None else value_ns / _NS_PER_S

    def mean(self, metric: str = "latency") -> float | None:
        """Return the exact average in seconds; None if nothing was recorded."""
        histogram = self._view.metrics.histogram(metric)
        return histogram.mean_ns / _NS_PER_S if histogram is not None and histogram.count else None

    def histogram(
        self, metric: str = "latency"
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the buckets in use as three arrays: lowest and highest value in ns, and count.

        Raises ValueError if nothing was recorded.
        """
        import numpy as np

        buckets = np.array(self._require(metric).buckets(), np.int64).reshape(-1, 3)
        return buckets[:, 0], buckets[:, 1], buckets[:, 2]

    def series(self) -> Iterator[dict[str, int | float | None]]:
        """Return the run second by second, with the columns of `heyfleet export --as series-csv`."""
        return points(self._view)

    def to_pandas(self) -> pd.DataFrame:
        """Return the series as a data frame. Needs pandas: pip install 'heyfleet[pandas]'."""
        import pandas as pd

        return pd.DataFrame(list(self.series()))

    def plot(self) -> go.Figure:
        """Return a figure of the latency by percentile, for a notebook or `.show()`."""
        import plotly.graph_objects as go

        from heyfleet.results.export.charts import spectrum

        points = spectrum(self._require("latency"))
        figure = go.Figure(go.Scatter(x=points["tail"], y=points["ms"], mode="lines", name="latency"))
        figure.update_layout(title=str(self._view.summary.plan["url"]), template="plotly_white")
        tails = [1, 2, 10, 100, 1_000, 10_000, 100_000, 1_000_000]
        labels = [f"{100 * (1 - 1 / tail):.7g}%" for tail in tails]
        figure.update_xaxes(type="log", title="percentile", tickvals=tails, ticktext=labels)
        figure.update_yaxes(title="latency (ms)", rangemode="tozero")
        return figure

    def only(
        self,
        *,
        stage: str = "",
        request: str = "",
        agent: str = "",
        begin_s: float | None = None,
        end_s: float | None = None,
    ) -> Result:
        """Return a part of the run: a stage, a request, an agent, or a time range. Raises InputError if there is none."""
        part = Result(
            self.folder, exit_code=self._exit_code, selection=Selection(stage, request, agent, begin_s, end_s)
        )
        part._whole = self
        return part

    def assert_slo(self, slo: str) -> None:
        """Raise AssertionError unless every threshold passes: `result.assert_slo("p99<50ms, errors<0.1%")`.

        A threshold that the sample can't support fails. Raises InputError for one that can't be parsed.
        """
        measurements, summary = self._view.measurements, self._view.summary
        failures = []
        try:
            thresholds = [parse_threshold(text) for text in parse_thresholds(slo)]
        except ValueError as error:
            raise InputError(str(error)) from None
        for threshold in thresholds:
            scope = scope_of(threshold.scope, measurements.stats, measurements.plan, summary.total_ns)
            verdict = judge(threshold, scope)
            if verdict.result != PASSED:
                failures.append(f"{threshold.text} {verdict.result}: {verdict.explanation}")
        if failures:
            raise AssertionError("; ".join(failures))

    def export(self, form: str, path: str | PathLike[str]) -> Path:
        """Write the run to a new file in a format of `heyfleet export`; return its path. Raises InputError."""
        if form not in FORMATS:
            raise ValueError(f"{form!r} is not a format; known are {', '.join(FORMATS)}")
        write_file(Path(path), render(form, self._view))
        return Path(path)

    def __str__(self) -> str:
        """Return the report as `heyfleet run` prints it."""
        return text_report.render(self._view.summary)

    def __repr__(self) -> str:
        p99 = "" if self.p99 is None else f", p99 {format_time(self.p99 * _NS_PER_S)}"
        return f"<heyfleet.Result {self.requests} requests, {self.rate:.1f}/s{p99}, trust {self.trust}>"

    def _repr_html_(self) -> str:
        """Return a small table for notebooks."""
        rows = [("requests", f"{self.requests:,}"), ("requests/s", f"{self.rate:,.1f}")]
        for percent in (50, 90, 99, 99.9):
            value = self.percentile(percent)
            rows.append((f"p{percent:g}", "-" if value is None else format_time(value * _NS_PER_S)))
        rows += [("failed", "-" if self.failed is None else f"{self.failed:,}"), ("trust", self.trust)]
        cells = "".join(
            f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in rows
        )
        return f"<table>{cells}</table>"

    def _require(self, metric: str) -> Histogram:
        histogram = self._view.metrics.histogram(metric)
        if histogram is None:
            raise ValueError(
                f"nothing was recorded for {metric!r}; recorded are {', '.join(self.metrics) or 'none'}"
            )
        return histogram
