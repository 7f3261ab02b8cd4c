"""`heyfleet run --find-max` on the command line: progress on stderr, every step and the best report on stdout."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from heyfleet import console
from heyfleet.cli.run_report import print_report
from heyfleet.controller.executors.base import Executor, ResultsElsewhereError
from heyfleet.controller.find_max import Search, Step, find_max
from heyfleet.controller.run import exit_code_of
from heyfleet.controller.signals import Interrupts
from heyfleet.errors import ExitCode, HeyfleetError
from heyfleet.plan.options import RunOptions
from heyfleet.results.units import format_time


def find_max_and_report(
    options: RunOptions, slo: tuple[str, ...], make_executor: Callable[[], Executor]
) -> int:
    """Search for the highest rate and print what was found; return the exit code."""
    with Interrupts() as interrupts:
        try:
            search = find_max(options, slo, make_executor, interrupts, _show_step)
        except ResultsElsewhereError as error:
            console.error(str(error))
            return interrupts.exit_code or error.exit_code
        except HeyfleetError as error:
            console.error(str(error))
            return error.exit_code
    best = search.best
    if options.output == "json":
        from heyfleet.results.report import json as json_report

        console.write_stdout([json_report.render_search(search.steps, best)])
    else:
        console.write_lines(search_lines(search))
        if best is not None:
            print_report(best.summary, options.output, b"")
    if interrupts.exit_code:
        return interrupts.exit_code
    return exit_code_of(best.summary) if best is not None else ExitCode.THRESHOLD


def _show_step(step: Step) -> None:
    if console.is_terminal():
        console.info(describe_step(step))


def search_lines(search: Search) -> Iterator[str]:
    """Return the result of a search and all of its steps."""
    yield ""
    yield "Search:"
    if search.passed_rate:
        limit = (
            f"; {search.failed_rate:g} failed"
            if search.failed_rate
            else "; the search ended before one failed"
        )
        yield f"  {search.passed_rate:g} requests/s passed{limit}"
    else:
        lowest = min((step.rate for step in search.steps), default=0)
        yield f"  no rate passed{f'; the lowest that was tried is {lowest:g} requests/s' if lowest else ''}"
    if search.limited_by_generator:
        yield "  the limit is the generator's, not the server's: use more agents, or a less busy host"
    yield from (f"  {describe_step(step)}" for step in search.steps)


def describe_step(step: Step) -> str:
    """Return one line on a step."""
    latency = step.summary.latency
    p99_ns = latency.percentile_ns(99) if latency else None
    tail = f", p99 {format_time(p99_ns)}" if p99_ns is not None else ""
    reason = f" ({step.reason})" if step.reason else ""
    return f"{step.rate:g} requests/s: {step.result}{reason}{tail}"
