"""`heyfleet run --repeat`: several runs of one plan, and how much they differ from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from heyfleet import console
from heyfleet.errors import ExitCode, InputError
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.archive.runs_folder import make_run_folder, runs_folder
from heyfleet.results.compare import statistics
from heyfleet.results.compare.archive_reader import read_archive
from heyfleet.results.compare.comparison import ERRORS, RATE, compare, value_text
from heyfleet.results.compare.sample import Sample
from heyfleet.results.export.run_view import Selection
from heyfleet.results.report.table import table

_SIGNAL = 128  # exit codes from here on mean that a signal ended a run


def repeat(times: int, out: str, run: Callable[[Archiver], int], *, lines_to_stderr: bool) -> int:
    """Run several times, archive each run in a folder of its own, and print how they differ; return the worst exit code.

    Bad input and signals end the repetition. With `lines_to_stderr`, stdout has only what the runs print. InputError if no
    folder is to keep the runs.
    """
    runs = runs_folder()
    if not (out or runs):
        raise InputError(
            "--repeat compares archived runs, and HEYFLEET_RUNS=none keeps none", "add --out DIR"
        )
    folder = Path(out) if out else make_run_folder(Path(runs), "repeated")
    worst = 0
    for number in range(1, times + 1):
        console.info(f"run {number} of {times}")
        code = run(Archiver(str(folder / f"{number:0{len(str(times))}}"), warn=console.info))
        worst = max(worst, code)
        if code == ExitCode.CANNOT_START or code >= _SIGNAL:
            with suppress(OSError):
                folder.rmdir()  # unless a run is in it
            return code
    lines = repetition_lines(read_archive(folder, Selection()))
    if lines_to_stderr:
        for line in lines:
            console.info(line)
    else:
        console.write_lines(lines)
    return worst


def repetition_lines(sample: Sample) -> Iterator[str]:
    """Return the least and the most of the runs and a confidence interval for each number."""
    yield ""
    yield f"Runs:\t{len(sample.runs)}, saved in {sample.name}"
    rows = []
    for row in compare(sample, sample).rows:
        if row.before is None:
            continue
        values = [_value(run, row.name) for run in sample.runs]
        low, high = row.before.interval
        rows.append(
            [
                row.name,
                value_text(min(values), min(values), row.name),
                value_text(max(values), max(values), row.name),
                f"{value_text(low, low, row.name)} to {value_text(high, high, row.name)}",
            ]
        )
    between_runs = len(sample.runs) >= statistics.MIN_RUNS
    yield from table(["", "least", "most", "between runs (95 %)" if between_runs else "95 %"], rows)


def _value(run: Sample, name: str) -> float:
    if name == RATE:
        return run.rate or 0.0
    if name == ERRORS:
        return run.errors / run.requests if run.requests else 0.0
    return run.quantile(float(name[1:]) / 100)[1]
