"""Several runs of one plan, and how much they differ from each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from heyfleet.controller import terminal
from heyfleet.results.archive.archiver import Archiver, folder_of_runs, free
from heyfleet.results.archive.layout import RUNS
from heyfleet.results.compare import archive_reader as archives
from heyfleet.results.compare import statistics as st
from heyfleet.results.compare.comparison import ERRORS, RATE, compare, marks_text
from heyfleet.results.compare.sample import Sample
from heyfleet.results.export.run_view import Selection
from heyfleet.results.report.table import table

_INTERRUPTED = 128


def repeat(times: int, out: str, run: Callable[[Archiver], int], *, for_machines: bool) -> int:
    """Run so often, each kept in a folder of its own; then say how the runs differ. The worst exit code; signals end it."""
    folder = Path(out) if out else free(Path(folder_of_runs() or RUNS), "repeated")
    worst = 0
    for number in range(1, times + 1):
        terminal.say(f"run {number} of {times}")
        code = run(Archiver(str(folder / f"{number:0{len(str(times))}}")))
        worst = max(worst, code)
        if code == 2 or code >= _INTERRUPTED:
            return code
    sample = archives.read(folder, Selection())
    if for_machines:  # whose documents, one a run, are all that goes to stdout
        for line in lines(sample):
            terminal.say(line)
    else:
        terminal.write_out(f"{line}\n" for line in lines(sample))
    return worst


def lines(sample: Sample) -> Iterator[str]:
    """Least and most of the runs, and where the true value lies, for each number."""
    comparison = compare(sample, sample)
    yield ""
    yield f"Runs:\t{len(sample.runs)}, kept in {sample.name}"
    rows = []
    for row in comparison.rows:
        if row.before is None:
            continue
        each = [_of(run, row.name) for run in sample.runs]
        low, high = row.before.interval
        rows.append(
            [
                row.name,
                marks_text(min(each), min(each), row.name),
                marks_text(max(each), max(each), row.name),
                f"{marks_text(low, low, row.name)} to {marks_text(high, high, row.name)}",
            ]
        )
    yield from table(
        ["", "least", "most", "between runs (95 %)" if len(sample.runs) >= st.RUNS_AT_LEAST else "95 %"], rows
    )


def _of(run: Sample, name: str) -> float:
    if name == RATE:
        return run.rate or 0.0
    if name == ERRORS:
        return run.errors / run.requests if run.requests else 0.0
    return run.quantile(float(name[1:]) / 100)[1]
