"""One run, from its options to its summary, archive and exit code. Printing is left to the command line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

from heyfleet.controller.executors.base import Executor
from heyfleet.controller.signals import Interrupts
from heyfleet.errors import ExitCode
from heyfleet.plan.build import make_plan, warnings
from heyfleet.plan.options import RunOptions
from heyfleet.plan.sections.load import DEFAULT_CONNECTIONS
from heyfleet.proto.plan_pb2 import CLOSED, CONNECTION_RATE, Plan
from heyfleet.results.archive.archiver import Archiver
from heyfleet.results.intervals import IntervalSink, fan_out
from heyfleet.results.measurements import Measurements
from heyfleet.results.summary import Summary, summarize
from heyfleet.results.thresholds import PASSED

LiveExports = Callable[[Plan], AbstractContextManager[list[IntervalSink]]]


@dataclass(frozen=True, slots=True)
class RunReport:
    """The summary of a run, its per-request rows, and the exit code that follows from it."""

    summary: Summary
    trace: bytes
    exit_code: int


def run(
    options: RunOptions,
    executor: Executor,
    interrupts: Interrupts,
    archiver: Archiver,
    *,
    live_exports: LiveExports | None = None,
    warn: Callable[[str], object] = lambda text: None,
) -> RunReport:
    """Plan, execute and archive a run. `live_exports` get each second of it while it goes on.

    Raises InputError or CannotStartError if it can't begin, Interrupted if a signal came before it began, and
    ResultsElsewhereError.
    """
    plan = make_plan(options)
    for line in warnings(plan):
        warn(f"warning: {line}")
    with ExitStack() as stack:
        sinks = stack.enter_context(live_exports(plan)) if live_exports else []
        sinks.append(stack.enter_context(archiver.open(plan)))
        measurements = executor.execute(plan, interrupts, fan_out(sinks))
    limited = measurements.plan.load_model in (CLOSED, CONNECTION_RATE)
    summary = summarize(
        measurements,
        (options.connections or DEFAULT_CONNECTIONS) if limited else None,
        ignore_redirects=options.disable_redirects,
        per_agent=options.per_agent,
    )
    return _archive(measurements, summary, archiver, interrupts.exit_code)


def report_measurements(measurements: Measurements, archiver: Archiver) -> RunReport:
    """Summarize and archive a run that was executed elsewhere."""
    with archiver.open(measurements.plan):
        summary = summarize(measurements)
    return _archive(measurements, summary, archiver, 0)


def _archive(
    measurements: Measurements, summary: Summary, archiver: Archiver, signal_exit_code: int
) -> RunReport:
    exit_code = signal_exit_code or exit_code_of(summary)
    archiver.finish(measurements, lambda: _json_report(summary), exit_code)
    archived = ExitCode.FAULT if archiver.failed else ExitCode.OK
    return RunReport(summary, measurements.trace, exit_code or archived)


def _json_report(summary: Summary) -> str:
    from heyfleet.results.report import json as json_report  # only runs with an archive need it

    return json_report.render(summary)


def exit_code_of(summary: Summary) -> ExitCode:
    """Return what a script should know about a run that nobody interrupted."""
    if summary.ledger.faults:
        return ExitCode.FAULT
    if summary.fleet and summary.fleet.agents_lost:
        return ExitCode.INCOMPLETE
    if not summary.ledger.responses:
        return ExitCode.NO_RESPONSE
    passed = all(verdict.result == PASSED for verdict in summary.thresholds) and not summary.aborted_by
    return ExitCode.OK if passed else ExitCode.THRESHOLD
