"""`heyfleet runs`: what was kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.results.archive import reader
from heyfleet.results.archive.archiver import folder_of_runs
from heyfleet.results.archive.errors import ArchiveError
from heyfleet.results.archive.layout import RUNS
from heyfleet.results.report import json as document
from heyfleet.results.report import text as hey
from heyfleet.results.report.table import table
from heyfleet.results.summary import summarize

_CONTEXT = {"help_option_names": ["-h", "--help"]}


def runs_command() -> click.Group:
    """`heyfleet runs`, which lists, and `runs show`."""

    def callback(runs: str) -> None:
        if click.get_current_context().invoked_subcommand is None:
            _list(runs)

    return click.Group(
        "runs",
        callback=callback,
        invoke_without_command=True,
        params=[_runs_option()],
        commands={
            "show": click.Command(
                "show",
                callback=_show,
                params=[
                    click.Argument(["run"], required=False, default=""),
                    _runs_option(),
                    click.Option(["--json"], is_flag=True, help="The whole report as one JSON document."),
                ],
                help="Print the report of a run, by its name or folder; of the latest, if none is given.",
                context_settings=_CONTEXT,
            ),
        },
        help="List the runs that were kept, the latest first: each has a folder, within heyfleet-runs if --out named no other.",
        context_settings=_CONTEXT,
    )


def _runs_option() -> click.Option:
    return click.Option(
        ["--runs"],
        metavar="DIR",
        default=lambda: folder_of_runs() or RUNS,
        help=f"The folder of runs. Default {RUNS}, or what HEYFLEET_RUNS says.",
    )


def _list(runs: str) -> None:
    folders = reader.kept(runs)
    if not folders:
        terminal.complain(f"there is no run in {runs}")
        return
    rows, targets = [], []
    for folder in folders:
        try:
            run = reader.Run(folder)
            rows.append([str(folder.relative_to(runs)), *_cells(run.summary())])
            targets.append(f"  {run.facts.get('url', '')}{'' if run.complete else ' (not finished)'}")
        except ArchiveError as error:
            rows.append([str(folder.relative_to(runs)), *["-"] * 5])
            targets.append("  (damaged)")
            terminal.complain(str(error))
    head = ["run", "requests", "errors", "requests/s", "p50", "p99"]
    terminal.write_out(f"{line}\n" for line in table(head, rows, targets))


def _cells(summary: dict[str, Any]) -> list[str]:
    if not summary:
        return ["-"] * 5
    ledger = summary["ledger"]
    return [
        str(ledger["responses"] + ledger["errors"]),
        str(ledger["errors"]),
        f"{summary['requests_per_second']:.1f}",
        *_percentiles(summary),
    ]


def _percentiles(summary: dict[str, Any]) -> Iterator[str]:
    rows = {row["percent"]: row["value_ns"] for row in (summary["latency"] or {}).get("percentiles", ())}
    for percent in (50, 99):
        yield f"{rows[percent] / 1e9:.4f}" if rows.get(percent) is not None else "-"


def _show(run: str, runs: str, json: bool) -> None:
    summary = summarize(reader.find(run, runs).measured())
    terminal.write_out([document.render(summary, __version__) if json else hey.render(summary)])


def merge_command() -> click.Command:
    """The command `heyfleet merge`."""
    return click.Command(
        "merge",
        callback=_merge,
        params=[
            click.Argument(["run"], nargs=-1, required=True),
            click.Option(
                ["--out"], metavar="DIR", required=True, help="A new folder for the archive of all."
            ),
            _runs_option(),
        ],
        help="Put runs together that made one load from several hosts, each without a controller; print the report of all.",
        epilog="Exit code: as of `heyfleet run`; 2 they don't belong together.",
        context_settings=_CONTEXT,
    )


def _merge(run: tuple[str, ...], out: str, runs: str) -> None:
    from heyfleet.controller.run import exit_code
    from heyfleet.results.archive.merge import merge

    if len(run) < 2:
        raise click.UsageError("merge wants two runs at least")
    summary = merge([reader.find(name, runs) for name in run], Path(out))
    terminal.write_out([hey.render(summary)])
    raise click.exceptions.Exit(exit_code(summary))
