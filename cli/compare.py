"""`heyfleet compare`: how measurements differ, and how certain that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from heyfleet import console
from heyfleet.errors import ExitCode, InputError
from heyfleet.files import STANDARD_INPUT, is_readable_file
from heyfleet.results.archive.runs import find_run
from heyfleet.results.archive.runs_folder import runs_folder
from heyfleet.results.compare.archive_reader import read_archive
from heyfleet.results.compare.comparison import Comparison, Limit, compare, describe, parse_limit
from heyfleet.results.compare.foreign_readers import read_sample_file
from heyfleet.results.compare.report import document, text_lines
from heyfleet.results.compare.sample import FileOptions, Sample
from heyfleet.results.export.run_view import Selection
from heyfleet.text import dump_json

UNITS_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
HELP = """Compare measurements: how percentiles, rate and errors differ, and how certain that is.

\b
BEFORE and AFTER are any of:
  archived runs, by name or folder; also a folder of `run --repeat`
  HdrHistogram's interval logs (.hlog) and percentiles (.hgrm; wrk2 --latency)
  hey's report and hey's CSV (hey -o csv)
  vegeta's results (vegeta encode --to json, or csv)"""
EPILOG = "Exit code 2 means that something can't be read, 6 that a --fail-if limit is certainly exceeded."


def compare_command() -> click.Command:
    """Return `heyfleet compare`."""
    return click.Command(
        "compare",
        callback=_compare,
        params=[
            click.Argument(["before"]),
            click.Argument(["after"], nargs=-1, required=True),
            click.Option(
                ["--fail-if", "limits"],
                multiple=True,
                metavar="LIMIT",
                help="Exit with 6 if a limit is certainly exceeded: 'p99 +10%', 'rate -5%', 'errors +1%'. May be repeated.",
            ),
            click.Option(["--html"], metavar="FILE", default="", help="Also write a page with charts."),
            click.Option(["--json"], is_flag=True, help="Print the numbers as one JSON document."),
            click.Option(["--stage"], metavar="NAME", default="", help="Compare one stage of archived runs."),
            click.Option(
                ["--request"], metavar="NAME", default="", help="Compare one request of archived runs."
            ),
            click.Option(
                ["--unit"],
                type=click.Choice(list(UNITS_NS)),
                help="Unit of the values in files of other tools that don't say it. Default: ns in histogram logs, ms in"
                " percentiles (hgrm); wrk2 writes ms.",
            ),
            click.Option(
                ["--tag"],
                metavar="NAME",
                default="",
                help="Compare the lines of a histogram log that have this tag. Default: those without a tag, or else with"
                " the tag latency, or with the only one there is.",
            ),
            click.Option(["--runs"], metavar="DIR", default=runs_folder, help="Folder of archived runs."),
        ],
        help=HELP,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _compare(before: str, after: Sequence[str], limits: Sequence[str], **options: Any) -> None:
    checks = [parse_limit(text) for text in limits]
    selection = Selection(stage=options["stage"], request=options["request"])
    file_options = FileOptions(UNITS_NS[options["unit"]] if options["unit"] else None, options["tag"])
    first, *others = (
        read_sample(name, selection, file_options, options["runs"]) for name in (before, *after)
    )
    comparisons = [compare(first, other) for other in others]
    if options["html"]:
        from heyfleet.results.compare.html import page
        from heyfleet.results.export.formats import write_file

        write_file(Path(options["html"]), page(comparisons))
    if options["json"]:
        documents = [document(each) for each in comparisons]
        console.write_stdout([dump_json(documents)])
    else:
        console.write_lines(line for each in comparisons for line in text_lines(each))
    exceeded = False
    for comparison in comparisons:
        for certain, text in _check_limits(comparison, checks):
            exceeded |= certain
            console.error(text)
    if exceeded:
        raise click.exceptions.Exit(ExitCode.DIFFERENCE)


def read_sample(name: str, selection: Selection, options: FileOptions, runs: str = "") -> Sample:
    """Return the sample of a file or an archived run; InputError if it can't be read."""
    path = Path(name)
    if name == STANDARD_INPUT or is_readable_file(path):
        if selection:
            raise InputError(f"{name}: --stage and --request apply to archived runs, and this is a file")
        return read_sample_file(name, options)
    if options.tag:
        raise InputError(f"{name}: --tag applies to histogram logs, and this is an archived run")
    if not path.is_dir():
        path = find_run(name, runs).folder
    sample = read_archive(path, selection)
    if not sample.count:
        raise InputError(f"{name}: no request was answered in this run")
    return sample


def _check_limits(comparison: Comparison, limits: Sequence[Limit]) -> Iterator[tuple[bool, str]]:
    """Return each limit that is exceeded or inconclusive: whether it is certainly exceeded, and a line on it."""
    rows = {row.name: row for row in comparison.rows}
    for limit in limits:
        prefix = f"--fail-if {limit.text!r}"
        row = rows.get(limit.name)
        if row is None or not row.comparable:
            yield False, f"{prefix}: inconclusive, because only one of the two has {limit.name}"
            continue
        exceeded = limit.is_exceeded(row)
        if exceeded:
            yield True, f"{prefix}: exceeded: {describe(row)}"
        elif exceeded is None:
            yield False, f"{prefix}: inconclusive: {describe(row)}"
