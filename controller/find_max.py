"""--find-max: the highest rate at which thresholds hold, by bracketing and bisecting with short runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.controller.executors.local import Executor, ResultsElsewhereError
from heyfleet.controller.run import EXIT_CANNOT_START, EXIT_FAULT, EXIT_THRESHOLD, exit_code, report
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.durations import MAX_RATE_PER_S
from heyfleet.errors import InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.thresholds import parse_threshold
from heyfleet.results.summary import Summary, summarize
from heyfleet.results.thresholds import in_words, needs
from heyfleet.results.trust import BAD

FIRST_RATE = 100.0
STEP_NS = 5_000_000_000
# The search is over when the lowest rate that failed is so little above the highest that held.
CLOSE = 1.03
# A rate that fails once may have had bad luck: it has failed when it has failed so often, in so many tries.
TRIES = 3
FAILURES = 2
STEPS_AT_MOST = 60
LOWEST_RATE = 1.0
HELD, FAILED, REFUSED = "held", "failed", "not trusted"


@dataclass(frozen=True, slots=True)
class Step:
    """One run at one rate."""

    rate: float
    outcome: str
    why: str
    summary: Summary


class Search:
    """Which rate to try next. `try_rate` makes one run at a rate."""

    def __init__(self, first: float, try_rate: Callable[[float], Step]) -> None:
        self._try = try_rate
        self.steps: list[Step] = []
        self.held = 0.0
        self.failed = 0.0  # the lowest that did not hold; 0: none
        self._first = first

    def run(self) -> None:
        """Double from the first rate until one fails, or halve until one holds; then bisect."""
        rate = self._first
        while len(self.steps) < STEPS_AT_MOST and LOWEST_RATE <= rate <= MAX_RATE_PER_S:
            if self._holds(rate):
                self.held = rate
            else:
                self.failed = rate
            if self.held and self.failed and self.failed <= self.held * CLOSE:
                return
            if not self.failed:
                rate *= 2
            elif not self.held:
                rate /= 2
            else:
                rate = (self.held * self.failed) ** 0.5
            rate = float(f"{rate:.4g}")
            if rate in (self.held, self.failed):
                return

    def _holds(self, rate: float) -> bool:
        """Whether it holds; what fails, or can't be trusted, is tried again."""
        failures = 0
        for _ in range(TRIES):
            step = self._try(rate)
            self.steps.append(step)
            failures += step.outcome != HELD
            if step.outcome == HELD and not failures:
                return True
            if failures >= FAILURES:
                return False
        return True

    @property
    def best(self) -> Step | None:
        """The last run at the highest rate that held."""
        return next(
            (step for step in reversed(self.steps) if step.rate == self.held and step.outcome == HELD), None
        )


def search(flags: RunOptions, thresholds: tuple[str, ...], make_executor: Callable[[], Executor]) -> int:
    """Search, then report every step, and in full the best; the exit code."""
    if flags.users is not None or flags.stages is not None or flags.rate_per_connection:
        terminal.complain("--find-max sets the rate itself: it goes with --rate (where to begin) only")
        return EXIT_CANNOT_START
    first = flags.rate or FIRST_RATE
    flags = replace(
        flags, requests=None, duration_ns=flags.duration_ns or STEP_NS, slo=(*flags.slo, *thresholds)
    )
    with Interrupts() as interrupts:
        search = Search(first, lambda rate: _step(flags, rate, make_executor(), interrupts))
        try:
            search.run()
        except InputError as error:
            terminal.complain(str(error))
            if not search.steps:
                return EXIT_CANNOT_START
        except ResultsElsewhereError as error:
            terminal.complain(str(error))
            return interrupts.exit_code or EXIT_FAULT
        except Interrupted:
            pass
    best = search.best
    if flags.output == "json":
        from heyfleet.results.report import json as document

        terminal.write_out([document.render_search(search.steps, best, __version__)])
    else:
        terminal.write_out(f"{line}\n" for line in lines(search))
        if best is not None:
            report(best.summary, flags.output, b"")
    if interrupts.exit_code:
        return interrupts.exit_code
    return exit_code(best.summary) if best is not None else EXIT_THRESHOLD


def _step(flags: RunOptions, rate: float, executor: Executor, interrupts: Interrupts) -> Step:
    if interrupts.signum:
        raise Interrupted
    plan = make_plan(
        replace(flags, rate=rate, duration_ns=max(flags.duration_ns, _long_enough_ns(flags, rate)))
    )
    measured = executor.execute(plan, interrupts)
    if measured.interrupted or interrupts.signum:
        raise Interrupted
    summary = summarize(measured, None, per_agent=flags.per_agent)
    step = Step(rate, *_judge(summary), summary)
    if sys.stderr.isatty():
        terminal.say(describe(step))
    return step


def _long_enough_ns(flags: RunOptions, rate: float) -> int:
    """How long a step takes until it has as many requests as its percentiles need, and some to spare."""
    percents = [threshold.percent for threshold in map(parse_threshold, flags.slo) if threshold.metric == "p"]
    return round(max(map(needs, percents), default=0) * 1.2 / rate * 1e9)


def _judge(summary: Summary) -> tuple[str, str]:
    if summary.trust.verdict == BAD:
        return REFUSED, summary.trust.reasons[0]
    missed = [verdict for verdict in summary.thresholds if not verdict.holds]
    if missed or summary.aborted:
        return FAILED, "; ".join(
            [f"{each.text}: {each.reason or in_words(each)}" for each in missed] or [summary.aborted]
        )
    if summary.ledger.unsent > summary.ledger.planned * 0.001:
        return (
            FAILED,
            f"{summary.ledger.unsent} of {summary.ledger.planned} requests found no free connection in time",
        )
    return HELD, ""


def describe(step: Step) -> str:
    """One line of a step."""
    latency = step.summary.latency
    rows = latency.percentiles if latency else ()
    p99 = next((row.value_ns for row in rows if row.percent == 99), None)
    tail = f", 99% in {p99 / 1e9:.4f} secs" if p99 is not None else ""
    why = f" ({step.why})" if step.why else ""
    return f"{step.rate:g} requests/s: {step.outcome}{why}{tail}"


def lines(search: Search) -> Iterator[str]:
    """What was found, and every step."""
    yield ""
    yield "Search:"
    if search.held:
        limit = f"; {search.failed:g} did not" if search.failed else "; the search ended before one failed"
        yield f"  {search.held:g} requests/s held{limit}"
    else:
        yield "  no rate held"
    refused = [step for step in search.steps if step.outcome == REFUSED and step.rate == search.failed]
    if refused:
        yield "  the limit is the generator's, not the server's: use more agents, or a less busy host"
    yield from (f"  {describe(step)}" for step in search.steps)
