"""One run, from the flags to the exit code."""

from __future__ import annotations

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.controller.errors import InputError
from heyfleet.controller.executor import Executor, ResultsElsewhereError
from heyfleet.controller.interrupt import Interrupted, Interrupts
from heyfleet.controller.measured import Measured
from heyfleet.controller.plan import CONNECTIONS, Flags, make_plan, warnings
from heyfleet.controller.summary import Summary, summarize
from heyfleet.proto.fleet_pb2 import CONNECTIONS as CLOSED
from heyfleet.proto.fleet_pb2 import TICKS

EXIT_OK = 0
EXIT_FAULT = 1
EXIT_CANNOT_START = 2
EXIT_NO_RESPONSE = 3
EXIT_INCOMPLETE = 4
EXIT_THRESHOLD = 5


def run(flags: Flags, executor: Executor) -> int:
    """Plan, execute, report on stdout; the exit code."""
    try:
        plan = make_plan(flags)
        for line in warnings(plan):
            terminal.say(f"warning: {line}")
        with Interrupts() as interrupts:
            measured = executor.execute(plan, interrupts)
    except InputError as error:
        terminal.complain(str(error))
        return EXIT_CANNOT_START
    except ResultsElsewhereError as error:
        terminal.complain(str(error))
        return interrupts.exit_code or EXIT_FAULT
    except Interrupted:
        terminal.complain("interrupted before the start; nothing was sent")
        return interrupts.exit_code
    code = report_of(measured, flags.output, flags=flags, per_agent=flags.per_agent)
    return interrupts.exit_code or code


def report_of(measured: Measured, output: str, *, flags: Flags | None = None, per_agent: bool = False) -> int:
    """Print what was measured; the exit code that follows from it. Without `flags`, the plan says what was asked."""
    closed = measured.plan.loop in (CLOSED, TICKS)
    asked = (flags.connections or CONNECTIONS) if flags and closed else None
    ignore_redirects = bool(flags and flags.disable_redirects)
    summary = summarize(measured, asked, ignore_redirects=ignore_redirects, per_agent=per_agent)
    report(summary, output, measured.trace)
    return exit_code(summary)


def report(summary: Summary, output: str, trace: bytes) -> None:
    """Print it; only what a report is made with gets imported."""
    if output == "json":
        from heyfleet.controller.report import document

        terminal.write_out([document.render(summary, __version__)])
    elif output == "csv":
        from heyfleet.controller.report import notes, rows

        terminal.write_out(rows.render(trace))
        if summary.errors:
            kinds = ", ".join(f"{count} {kind}" for kind, count in summary.errors.items())
            terminal.complain(f"errors, not among the rows: {kinds}")
        for note in notes.notes(summary):
            terminal.complain(note)
    else:
        from heyfleet.controller.report import hey

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
