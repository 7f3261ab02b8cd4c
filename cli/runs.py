"""`heyfleet runs` and `heyfleet merge`: archived runs."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from heyfleet import console
from heyfleet.errors import InputError
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.reader import ArchivedRun
from heyfleet.results.archive.runs import find_run, list_runs
from heyfleet.results.archive.runs_folder import DEFAULT_FOLDER, runs_folder
from heyfleet.results.report import json as json_report
from heyfleet.results.report import text as hey_report
from heyfleet.results.report.table import table
from heyfleet.results.summary import summarize
from heyfleet.results.units import format_time

_CONTEXT = {"help_option_names": ["-h", "--help"]}
_PERCENTS = (50, 99)


def runs_command() -> click.Group:
    """Return `heyfleet runs`, which lists the runs, with `runs show`."""

    def callback(runs: str) -> None:
        if click.get_current_context().invoked_subcommand is None:
            _list(runs)

    return click.Group(
        "runs",
        callback=callback,
        invoke_without_command=True,
        params=[runs_option()],
        commands={
            "show": click.Command(
                "show",
                callback=_show,
                params=[
                    click.Argument(["run"], required=False, default=""),
                    runs_option(),
                    click.Option(["--json"], is_flag=True, help="Print the report as one JSON document."),
                ],
                help="Print the report of a run, given its name or folder. Default: the latest run.",
                context_settings=_CONTEXT,
            ),
        },
        help="List the archived runs, the latest first.",
        context_settings=_CONTEXT,
    )


def runs_option() -> click.Option:
    """Return the option --runs."""
    return click.Option(
        ["--runs"],
        metavar="DIR",
        default=lambda: runs_folder() or DEFAULT_FOLDER,
        help=f"Folder of archived runs. Default: {DEFAULT_FOLDER}, or HEYFLEET_RUNS from the environment.",
    )


def _list(runs: str) -> None:
    folders = list_runs(runs)
    if not folders:
        console.error(f"no run in {runs}")
        return
    rows, targets = [], []
    for folder in folders:
        name = str(folder.relative_to(runs))
        try:
            run = ArchivedRun(folder)
            rows.append([name, *_cells(run)])
            targets.append(f"  {run.url}{'' if run.complete else ' (cut off)'}")
        except ArchiveError as error:
            rows.append([name, *["-"] * 5])
            targets.append("  (damaged)")
            console.error(str(error))
    header = ["run", "requests", "errors", "requests/s", *(f"p{percent}" for percent in _PERCENTS)]
    console.write_lines(table(header, rows, targets))


def _cells(run: ArchivedRun) -> list[str]:
    """Return the numbers of a run's report, which may come from anywhere. Raises ArchiveError."""
    report = run.report()
    if not report:
        return ["-"] * 5
    try:
        ledger = report["ledger"]
        responses, errors = operator.index(ledger["responses"]), operator.index(ledger["errors"])
        rate = f"{report['requests_per_second']:.1f}"
        return [str(responses + errors), str(errors), rate, *_percentiles(report)]
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ArchiveError(f"{run.folder}: damaged: its report lacks numbers that each report has") from None


def _percentiles(report: dict[str, Any]) -> Iterator[str]:
    rows = {row["percent"]: row["value_ns"] for row in (report["latency"] or {}).get("percentiles", ())}
    for percent in _PERCENTS:
        yield format_time(rows[percent]) if rows.get(percent) is not None else "-"


def _show(run: str, runs: str, json: bool) -> None:
    summary = summarize(find_run(run, runs).measurements())
    console.write_stdout([json_report.render(summary) if json else hey_report.render(summary)])


def merge_command() -> click.Command:
    """Return `heyfleet merge`."""
    return click.Command(
        "merge",
        callback=_merge,
        params=[
            click.Argument(["run"], nargs=-1, required=True),
            click.Option(["--out"], metavar="DIR", required=True, help="New folder for the merged archive."),
            runs_option(),
        ],
        help="Merge runs that several hosts made at the same time without a controller, and print one report.",
        epilog="Exit codes are those of `heyfleet run`; 2 if the runs are not one load.",
        context_settings=_CONTEXT,
    )


def _merge(run: tuple[str, ...], out: str, runs: str) -> None:
    from heyfleet.controller.run import exit_code_of
    from heyfleet.results.archive.merge import merge

    if len(run) < 2:
        raise InputError("merge needs at least two runs")
    summary = merge([find_run(name, runs) for name in run], Path(out))
    console.write_stdout([hey_report.render(summary)])
    raise click.exceptions.Exit(exit_code_of(summary))
