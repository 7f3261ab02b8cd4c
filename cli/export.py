"""`heyfleet export`: an archived run in the formats of other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from heyfleet import console
from heyfleet.cli.go_flags import Value
from heyfleet.durations import parse_duration_ns
from heyfleet.results.archive.runs import find_run
from heyfleet.results.archive.runs_folder import runs_folder
from heyfleet.results.export.formats import FORMATS, render, write_file
from heyfleet.results.export.run_view import RunView, Selection

_HELP = "Write an archived run in the format of another tool, to stdout or a file."
_RUN_HELP = "RUN is the name of a run or its folder. Default: the latest run."
_WIDTH = max(map(len, FORMATS)) + 2


def export_command() -> click.Command:
    """Return `heyfleet export`."""
    formats = "\n".join(f"  {name:{_WIDTH}}{each.description}" for name, each in FORMATS.items())
    instant = Value("DURATION", parse_duration_ns)
    return click.Command(
        "export",
        callback=_export,
        params=[
            click.Argument(["run"], required=False, default=""),
            click.Option(
                ["--as", "name"],
                type=click.Choice(list(FORMATS)),
                required=True,
                metavar="FORMAT",
                help="Format to write; the list is above.",
            ),
            click.Option(
                ["-o", "--out"], metavar="FILE", default="", help="New file to write. Default: stdout."
            ),
            click.Option(["--stage"], metavar="NAME", default="", help="Export one stage of the plan."),
            click.Option(["--request"], metavar="NAME", default="", help="Export one request of the plan."),
            click.Option(["--agent"], metavar="NAME", default="", help="Export one agent."),
            click.Option(
                ["--from", "begin_ns"], type=instant, help="Begin at this time since the start: 30s, 5m."
            ),
            click.Option(["--to", "end_ns"], type=instant, help="End at this time since the start."),
            click.Option(["--runs"], metavar="DIR", default=runs_folder, help="Folder of archived runs."),
        ],
        help=f"{_HELP}\n\n{_RUN_HELP}\n\n\b\nFormats:\n{formats}",
        epilog="Exit code 2 means that the run or its part does not exist, or the file can't be written.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _export(
    *, name: str, run: str, out: str, runs: str, begin_ns: int | None, end_ns: int | None, **selected: Any
) -> None:
    selection = Selection(
        **selected,
        begin_s=None if begin_ns is None else begin_ns / 1e9,
        end_s=None if end_ns is None else end_ns / 1e9,
    )
    chunks = render(name, RunView(find_run(run, runs), selection))
    if out:
        write_file(Path(out), chunks)
    else:
        console.write_stdout(chunks)
