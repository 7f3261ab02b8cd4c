"""`heyfleet compare`: before and after."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from heyfleet.controller import terminal
from heyfleet.errors import InputError
from heyfleet.results.archive import reader
from heyfleet.results.archive.archiver import folder_of_runs
from heyfleet.results.compare import archive_reader as archives
from heyfleet.results.compare import foreign_readers as files
from heyfleet.results.compare import statistics as st
from heyfleet.results.compare.comparison import (
    Comparison,
    Limit,
    Row,
    compare,
    difference_text,
    in_words,
    read_limit,
    value_text,
    verdict,
)
from heyfleet.results.compare.sample import Sample
from heyfleet.results.export.run_view import Selection
from heyfleet.results.report.table import table

EXIT_LIMIT = 6
UNITS_NS = {"ns": 1.0, "us": 1e3, "ms": 1e6, "s": 1e9}
HELP = """Compare measurements: how percentiles, rate and errors differ, and how sure that is.

\b
BEFORE and AFTER are, in any mixture:
  kept runs (a name in the folder of runs, or a folder; one of `run --repeat`)
  HdrHistogram's interval logs (.hlog) and percentiles (.hgrm; wrk2 --latency)
  hey's report and hey's CSV (hey -o csv)
  vegeta's results (vegeta encode --to json, or csv)"""
EPILOG = """\b
Exit code: 0; 2 something can't be read; 6 a --fail-if holds for sure.
docs/how-to/results.md says how the intervals are made."""


def compare_command() -> click.Command:
    """The command."""
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
                help="Exit with 6 if that is sure: 'p99 +10%', 'rate -5%', 'errors +1%'. May be repeated.",
            ),
            click.Option(["--html"], metavar="FILE", default="", help="Write a page with pictures, too."),
            click.Option(["--json"], is_flag=True, help="The numbers as one JSON document."),
            click.Option(["--stage"], metavar="NAME", default="", help="Of kept runs, only this stage."),
            click.Option(["--request"], metavar="NAME", default="", help="Of kept runs, only this request."),
            click.Option(
                ["--unit"],
                type=click.Choice(list(UNITS_NS)),
                default="ns",
                help="Of the values in histogram logs that others wrote. Default ns.",
            ),
            click.Option(["--runs"], metavar="DIR", default=folder_of_runs, help="The folder of runs."),
        ],
        help=HELP,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def _compare(before: str, after: Sequence[str], limits: Sequence[str], **given: Any) -> None:
    checks = [read_limit(text) for text in limits]
    selection = Selection(stage=given["stage"], request=given["request"])
    first, *others = (sample_of(name, selection, given["unit"], given["runs"]) for name in (before, *after))
    made = [compare(first, other) for other in others]
    failed = [text for comparison in made for text in _failed(comparison, checks)]
    if given["html"]:
        from heyfleet.cli.export import write_file
        from heyfleet.results.compare.html import page

        write_file(Path(given["html"]), page(made))
    if given["json"]:
        terminal.write_out([json.dumps([_document(each) for each in made], indent=2, allow_nan=False) + "\n"])
    else:
        terminal.write_out(f"{line}\n" for comparison in made for line in lines(comparison))
    for text in failed:
        terminal.complain(text)
    if any(" holds" in text for text in failed):
        raise click.exceptions.Exit(EXIT_LIMIT)


def sample_of(name: str, selection: Selection, unit: str = "ns", runs: str = "") -> Sample:
    """Whatever that is the name of. InputError."""
    path = Path(name)
    if path.is_file():
        if selection:
            raise InputError(f"{name}: --stage and --request are of kept runs, and this is a file")
        return files.read(path, UNITS_NS[unit])
    if not path.is_dir():
        path = reader.find(name, runs).folder
    sample = archives.read(path, selection)
    if not sample.count:
        raise InputError(f"{name}: no request was answered in this run")
    return sample


def lines(comparison: Comparison) -> Iterator[str]:
    """As text."""
    before, after = comparison.before, comparison.after
    yield ""
    yield f"Before:\t{before.name} ({before.made_by}, {before.count} latencies)"
    yield f"After:\t{after.name} ({after.made_by}, {after.count} latencies)"
    yield ""
    yield verdict(comparison)
    yield ""
    rows = [
        [row.name, value_text(row.before, row.name), value_text(row.after, row.name), difference_text(row)]
        for row in comparison.rows
    ]
    yield from table(["", "before", "after", "difference [95 %]"], rows)
    yield ""
    yield f"Latencies are in secs. Intervals: {comparison.way}."
    if st.BY_RANKS in comparison.way:
        yield "By ranks they are as if latencies were independent of their neighbours; runs that depend on them differ by more."


def _failed(comparison: Comparison, checks: Sequence[Limit]) -> Iterator[str]:
    rows = {row.name: row for row in comparison.rows}
    for check in checks:
        row = rows.get(check.name)
        if row is None or not row.known:
            yield f"--fail-if {check.text!r}: not told, since it is not known of both"
            continue
        fails = check.fails(row)
        if fails:
            yield f"--fail-if {check.text!r} holds: {in_words(row)}"
        elif fails is None:
            yield f"--fail-if {check.text!r}: not told: {in_words(row)}"


def _document(comparison: Comparison) -> dict[str, Any]:
    return {
        "before": _of_sample(comparison.before),
        "after": _of_sample(comparison.after),
        "verdict": verdict(comparison),
        "intervals": comparison.way,
        "rows": [_of_row(row) for row in comparison.rows],
    }


def _of_sample(sample: Sample) -> dict[str, Any]:
    return {
        "name": sample.name,
        "made_by": sample.made_by,
        "latencies": sample.count,
        "requests": sample.requests,
        "errors": sample.errors,
        "seconds": sample.seconds,
        "runs": len(sample.runs) or None,
    }


def _of_row(row: Row) -> dict[str, Any]:
    """Latencies in ns, rates in requests a second, errors and differences in shares; null: not known, or without bound."""

    def ends(low: float, high: float) -> list[float | None]:
        return [None if abs(each) == float("inf") else each for each in (low, high)]

    made: dict[str, Any] = {"name": row.name}
    for side, estimate in (("before", row.before), ("after", row.after)):
        made[side] = (
            {"value": [estimate.low, estimate.high], "interval": list(estimate.interval)}
            if estimate
            else None
        )
    made["difference"] = (
        {"value": ends(row.least, row.most), "interval": ends(row.low, row.high)} if row.known else None
    )
    return made
