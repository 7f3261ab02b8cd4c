"""Runs executed from the command line: their reports on stdout, everything else on stderr."""

from __future__ import annotations

from heyfleet import console
from heyfleet.cli.standard_streams import OutputError
from heyfleet.controller.executors.base import Executor, ResultsElsewhereError
from heyfleet.controller.run import LiveExports, RunReport, report_measurements, run
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.plan.options import RunOptions
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.measurements import Measurements
from heyfleet.results.summary import Summary


def run_and_report(
    options: RunOptions,
    executor: Executor,
    archiver: Archiver | None = None,
    live_exports: LiveExports | None = None,
) -> int:
    """Execute a run and print its report; return the exit code."""
    archiver = archiver or Archiver(enabled=False)
    with Interrupts() as interrupts:
        try:
            report = run(
                options, executor, interrupts, archiver, live_exports=live_exports, warn=console.info
            )
        except Interrupted:
            console.error("interrupted before the start; nothing was sent")
            return interrupts.exit_code
        except ResultsElsewhereError as error:
            console.error(str(error))
            return interrupts.exit_code or error.exit_code
        except HeyfleetError as error:
            console.error(str(error))
            return error.exit_code
    return _print(report, options.output, archiver)


def report_and_archive(measurements: Measurements, output: str, archiver: Archiver) -> int:
    """Print the report of a run that was executed elsewhere; return the exit code."""
    return _print(report_measurements(measurements, archiver), output, archiver)


def _print(report: RunReport, output: str, archiver: Archiver) -> int:
    unwritten = ExitCode.OK
    try:
        print_report(report.summary, output, report.trace)
    except OutputError as error:
        cure = f"; `heyfleet runs show {archiver.folder}` prints the report" if archiver.folder else ""
        console.error(f"{error}{cure}")
        unwritten = error.exit_code
    if archiver.error:
        console.error(archiver.error)
    elif archiver.folder and console.is_terminal():
        console.info(f"saved in {archiver.folder}")
    return report.exit_code or unwritten


def print_report(summary: Summary, output: str, trace: bytes) -> None:
    """Print a report in the format of -o: "json", "csv" or "" for text."""
    if output == "json":
        from heyfleet.results.report import json as json_report

        console.write_stdout([json_report.render(summary)])
    elif output == "csv":
        from heyfleet.results.report import csv as csv_report
        from heyfleet.results.report.notes import notes

        console.write_stdout(csv_report.render(trace))
        if summary.errors:
            kinds = ", ".join(f"{count} {kind}" for kind, count in summary.errors.items())
            console.error(f"errors, which have no rows: {kinds}")
        for note in notes(summary):
            console.error(note)
    else:
        from heyfleet.results.report import text as hey_report

        console.write_stdout([hey_report.render(summary)])
