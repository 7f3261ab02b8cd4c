"""The formats of `heyfleet export`, and files in them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from heyfleet.errors import InputError
from heyfleet.private_files import open_file
from heyfleet.results.export.run_view import RunView

Chunks = Iterator[str] | Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """One format: the module of this package that makes it, imported on use, and its function."""

    module: str
    function: str
    description: str
    takes_selection: bool = True


FORMATS = {
    "hgrm": Format("histogram_formats", "hgrm", "HdrHistogram's percentile distribution, for its plotter"),
    "hlog": Format("histogram_formats", "hlog", "HdrHistogram's interval log, version 1.3"),
    "json": Format(
        "report_formats", "json_document", "the report; docs/reference/report.schema.json describes it"
    ),
    "csv": Format("csv_formats", "metrics_csv", "a row for each metric, stage and request"),
    "series-csv": Format("csv_formats", "series_csv", "a row for each second"),
    "prometheus": Format("metrics", "prometheus", "Prometheus' text format"),
    "openmetrics": Format("metrics", "openmetrics", "OpenMetrics 1.0"),
    "junit": Format(
        "junit", "junit", "thresholds, ledger and trust as test cases, for CI", takes_selection=False
    ),
    "html": Format("html", "html", "one page with charts that opens offline"),
    "parquet": Format("parquet", "parquet", "the series, for data frames (needs pyarrow)"),
    "hey": Format("report_formats", "text_report", "the report as it was printed", takes_selection=False),
    "vegeta": Format("vegeta", "vegeta", "the output of `vegeta report -type=json`"),
}


def render(name: str, view: RunView) -> Chunks:
    """Return a run in a format, piece by piece; InputError if the format is for whole runs only."""
    format_ = FORMATS[name]
    if view.selection and not format_.takes_selection:
        raise InputError(
            f"--as {name} exports whole runs only",
            "leave out --stage, --request, --agent, --from and --to",
        )
    function = getattr(import_module(f"heyfleet.results.export.{format_.module}"), format_.function)
    chunks: Chunks = function(view)
    return chunks


def write_file(path: Path, chunks: Chunks) -> None:
    """Write a new file of mode 0600, whole or not at all; InputError if it exists or can't be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            raise InputError(f"{path} already exists", "choose a new file")
        with open_file(draft, "xb") as stream:
            for chunk in chunks:
                stream.write(chunk.encode() if isinstance(chunk, str) else chunk)
        draft.rename(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)
