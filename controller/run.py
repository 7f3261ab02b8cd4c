"""One run, from the flags to the exit code."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.controller.executors.local import Executor, ResultsElsewhereError
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan, warnings
from heyfleet.plan.options import RunOptions
from heyfleet.plan.sections.load import DEFAULT_CONNECTIONS
from heyfleet.proto.plan_pb2 import CLOSED, CONNECTION_RATE, Plan
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.intervals import IntervalSink, fan_out
from heyfleet.results.measurements import Measurements
from heyfleet.results.summary import Summary, summarize

Show = Callable[[Plan], AbstractContextManager[list[IntervalSink]]]

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_CANNOT_START = 2
EXIT_NO_RESPONSE = 3
EXIT_INCOMPLETE = 4
EXIT_THRESHOLD = 5


def run(
    flags: RunOptions, executor: Executor, keeping: Archiver | None = None, show: Show | None = None
) -> int:
    """Plan, execute, report on stdout, keep; the exit code. `show`: who else sees each second of it."""
    keeping = keeping or Archiver(nothing=True)
    try:
        plan = make_plan(flags)
        for line in warnings(plan):
            terminal.say(f"warning: {line}")
        with Interrupts() as interrupts, ExitStack() as stack:
            takes = stack.enter_context(show(plan)) if show else []
            takes.append(stack.enter_context(keeping.begin(plan)))
            measured = executor.execute(plan, interrupts, fan_out(takes))
    except InputError as error:
        terminal.complain(str(error))
        return EXIT_CANNOT_START
    except ResultsElsewhereError as error:
        terminal.complain(str(error))
        return interrupts.exit_code or EXIT_FAULT
    except Interrupted:
        terminal.complain("interrupted before the start; nothing was sent")
        return interrupts.exit_code
    asked = (
        (flags.connections or DEFAULT_CONNECTIONS)
        if measured.plan.load_model in (CLOSED, CONNECTION_RATE)
        else None
    )
    summary = summarize(measured, asked, ignore_redirects=flags.disable_redirects, per_agent=flags.per_agent)
    report(summary, flags.output, measured.trace)
    kept = keeping.end(measured, lambda: _document(summary))
    return interrupts.exit_code or exit_code(summary) or (EXIT_OK if kept else EXIT_FAULT)


def report_of(measured: Measurements, output: str, keeping: Archiver) -> int:
    """Print and keep a run that was measured before; the exit code that follows from it."""
    with keeping.begin(measured.plan):
        summary = summarize(measured)
        report(summary, output, measured.trace)
    kept = keeping.end(measured, lambda: _document(summary))
    return exit_code(summary) or (EXIT_OK if kept else EXIT_FAULT)


def _document(summary: Summary) -> str:
    from heyfleet.results.report import json as document

    return document.render(summary, __version__)


def report(summary: Summary, output: str, trace: bytes) -> None:
    """Print it; only what a report is made with gets imported."""
    if output == "json":
        terminal.write_out([_document(summary)])
    elif output == "csv":
        from heyfleet.results.report import csv as rows
        from heyfleet.results.report import notes

        terminal.write_out(rows.render(trace))
        if summary.errors:
            kinds = ", ".join(f"{count} {kind}" for kind, count in summary.errors.items())
            terminal.complain(f"errors, not among the rows: {kinds}")
        for note in notes.notes(summary):
            terminal.complain(note)
    else:
        from heyfleet.results.report import text as hey

        terminal.write_out([hey.render(summary)])


def exit_code(summary: Summary) -> int:
    """What a script should know of a run that nobody interrupted."""
    if summary.ledger.faults:
        return EXIT_FAULT
    if summary.fleet and summary.fleet.lost:
        return EXIT_INCOMPLETE
    if not summary.ledger.responses:
        return EXIT_NO_RESPONSE
    met = all(verdict.holds for verdict in summary.thresholds) and not summary.aborted
    return EXIT_OK if met else EXIT_THRESHOLD
