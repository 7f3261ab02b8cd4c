"""`heyfleet export`: a kept run in the formats of other tools."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from heyfleet.cli.go_flags import Value
from heyfleet.durations import parse_duration_ns
from heyfleet.errors import InputError
from heyfleet.results.archive import reader
from heyfleet.results.archive.archiver import folder_of_runs
from heyfleet.results.export.run_view import RunView, Selection

Format = Callable[[RunView], Iterator[str] | Iterator[bytes]]
# The name, where it is made, and whether it can be of a part of a run.
FORMATS: dict[str, tuple[str, str, bool]] = {
    "hgrm": ("text", "hgrm", True),
    "hlog": ("text", "hlog", True),
    "json": ("text", "json_document", True),
    "csv": ("text", "table", True),
    "series-csv": ("text", "series", True),
    "prometheus": ("metrics", "prometheus", True),
    "openmetrics": ("metrics", "openmetrics", True),
    "junit": ("junit", "junit", False),
    "html": ("html", "html", True),
    "parquet": ("parquet", "parquet", True),
    "hey": ("text", "hey", False),
    "vegeta": ("text", "vegeta", True),
}

HELP = """Write a kept run in a format of other tools, to stdout or a file.

RUN is a name in the folder of runs, or a folder; without it, the latest.

\b
  hgrm         HdrHistogram's percentiles, for its plotter
  hlog         HdrHistogram's interval log, version 1.3
  json         the report; docs/report.schema.json describes it
  csv          a row for each metric, stage and request
  series-csv   a row for each second
  prometheus   Prometheus' text format
  openmetrics  OpenMetrics 1.0
  junit        thresholds, ledger and trust as test cases
  html         one page with pictures, that opens offline
  parquet      the series, for data frames (needs pyarrow)
  hey          the report as it was printed
  vegeta       as `vegeta report -type=json` prints it"""


def export_command() -> click.Command:
    """The command."""
    second = Value("DURATION", parse_duration_ns)
    return click.Command(
        "export",
        callback=_export,
        params=[
            click.Argument(["run"], required=False, default=""),
            click.Option(
                ["--as", "form"], type=click.Choice(list(FORMATS)), required=True, help="The format."
            ),
            click.Option(["-o", "--out"], metavar="FILE", default="", help="A new file, in place of stdout."),
            click.Option(["--stage"], metavar="NAME", default="", help="Only this stage of the plan."),
            click.Option(["--request"], metavar="NAME", default="", help="Only this request of the plan."),
            click.Option(["--agent"], metavar="NAME", default="", help="Only this agent."),
            click.Option(
                ["--from", "begin"], type=second, help="Only from then on, since the start: 30s, 5m."
            ),
            click.Option(["--to", "end"], type=second, help="Only until then."),
            click.Option(["--runs"], metavar="DIR", default=folder_of_runs, help="The folder of runs."),
        ],
        help=HELP,
        epilog="Exit code: 0; 2 the run or the part is not there, is damaged, or the file can't be written.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _export(
    *, form: str, run: str, out: str, runs: str, begin: int | None, end: int | None, **part: Any
) -> None:
    selection = Selection(
        **part,
        begin_s=None if begin is None else begin / 1e9,
        end_s=None if end is None else end / 1e9,
    )
    if selection and not FORMATS[form][2]:
        raise InputError(
            f"--as {form} is of a whole run: it goes without --stage, --request, --agent, --from, --to"
        )
    write(form, RunView(reader.find(run, runs), selection), out)


def write(form: str, source: RunView, out: str) -> None:
    """One export into a new file, or to stdout. InputError."""
    module, name, _ = FORMATS[form]
    make: Format = getattr(import_module(f"heyfleet.results.export.{module}"), name)
    if not out:
        _to_stdout(make(source))
        return
    write_file(Path(out), make(source))


def write_file(path: Path, chunks: Iterator[str] | Iterator[bytes]) -> None:
    """A new file, whole or not at all. InputError."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.exists():
            raise InputError(f"{path} is there already: nothing is written over")
        with draft.open("xb") as stream:
            for chunk in chunks:
                stream.write(chunk.encode() if isinstance(chunk, str) else chunk)
        draft.rename(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    finally:
        draft.unlink(missing_ok=True)


def _to_stdout(chunks: Iterator[str] | Iterator[bytes]) -> None:
    try:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk.encode() if isinstance(chunk, str) else chunk)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
