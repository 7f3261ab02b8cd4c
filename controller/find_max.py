"""--find-max: the highest rate at which the thresholds pass, by bracketing and bisection with short runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil

from heyfleet.controller.executors.base import Executor
from heyfleet.controller.signals import Interrupted, Interrupts
from heyfleet.durations import MAX_RATE_PER_S, format_duration
from heyfleet.errors import CannotStartError, InputError
from heyfleet.plan.build import make_plan
from heyfleet.plan.options import RunOptions
from heyfleet.plan.thresholds import parse_threshold
from heyfleet.results import thresholds
from heyfleet.results.distribution import minimum_sample
from heyfleet.results.summary import Summary, summarize
from heyfleet.results.trust import BAD

FIRST_RATE = 100.0
STEP_NS = 5_000_000_000
# A step takes longer than -z where percentiles need more responses, but no longer than this.
LONGEST_STEP_NS = 60_000_000_000
# The search ends when the lowest rate that failed is at most this much above the highest that passed.
CLOSE = 1.03
# A single failure may be bad luck: a rate fails when it fails this often in this many tries.
TRIES = 3
FAILURES = 2
MAX_STEPS = 60
# A generator that is unreliable at so many ever lower rates is not limited by the rate.
MAX_UNRELIABLE_RATES = 3
LOWEST_RATE = 1.0
PASSED, FAILED, UNRELIABLE = "passed", "failed", "unreliable"
_MAX_UNSENT_SHARE = 0.001


@dataclass(frozen=True, slots=True)
class Step:
    """One run at one rate."""

    rate: float
    result: str  # PASSED, FAILED, or UNRELIABLE if the generator could not be trusted
    reason: str  # why it did not pass
    summary: Summary


class Search:
    """The rates that were tried, and which to try next. `try_rate` executes one run at a rate."""

    def __init__(
        self, first_rate: float, try_rate: Callable[[float], Step], lowest_rate: float = LOWEST_RATE
    ) -> None:
        self._first_rate = first_rate
        self._try_rate = try_rate
        self._lowest_rate = lowest_rate
        self.steps: list[Step] = []
        self.passed_rate = 0.0  # the highest that passed; 0: none
        self.failed_rate = 0.0  # the lowest that did not; 0: none

    def run(self) -> None:
        """Double the first rate until one fails, or halve it until one passes; then bisect."""
        rate = self._first_rate
        while len(self.steps) < MAX_STEPS and self._lowest_rate <= rate <= MAX_RATE_PER_S:
            if self._passes(rate):
                self.passed_rate = rate
            else:
                self.failed_rate = rate
            if self.passed_rate and self.failed_rate and self.failed_rate <= self.passed_rate * CLOSE:
                return
            if not self.passed_rate and self._only_unreliable():
                return
            if not self.failed_rate:
                rate *= 2
            elif not self.passed_rate:
                rate /= 2
            else:
                rate = (self.passed_rate * self.failed_rate) ** 0.5
            rate = float(f"{rate:.4g}")
            if rate in (self.passed_rate, self.failed_rate):
                return

    def _passes(self, rate: float) -> bool:
        """Return whether a rate passes; one that does not is tried again."""
        failures = 0
        for _ in range(TRIES):
            step = self._try_rate(rate)
            self.steps.append(step)
            failures += step.result != PASSED
            if step.result == PASSED and not failures:
                return True
            if failures >= FAILURES:
                return False
        return True

    def _only_unreliable(self) -> bool:
        """Return whether the generator, and not the service, failed at every one of several rates."""
        rates = {step.rate for step in self.steps}
        return len(rates) >= MAX_UNRELIABLE_RATES and all(step.result == UNRELIABLE for step in self.steps)

    @property
    def best(self) -> Step | None:
        """The last run at the highest rate that passed."""
        passed = [step for step in self.steps if step.rate == self.passed_rate and step.result == PASSED]
        return passed[-1] if passed else None

    @property
    def limited_by_generator(self) -> bool:
        """Whether the lowest rate that did not pass was unreliable."""
        return any(step.result == UNRELIABLE and step.rate == self.failed_rate for step in self.steps)


def find_max(
    options: RunOptions,
    slo: tuple[str, ...],
    make_executor: Callable[[], Executor],
    interrupts: Interrupts,
    on_step: Callable[[Step], object],
) -> Search:
    """Search for the highest rate at which `slo` and the plan's thresholds pass. A signal ends the search.

    Raises InputError or CannotStartError if no run can begin, and ResultsElsewhereError.
    """
    if options.users is not None or options.stages is not None or options.rate_per_connection:
        raise InputError(
            "--find-max chooses the rate itself and excludes -q, --users and --stages",
            "use --rate for the rate to begin with",
        )
    options = replace(
        options, requests=None, duration_ns=options.duration_ns or STEP_NS, slo=(*options.slo, *slo)
    )

    def try_rate(rate: float) -> Step:
        step = _run_step(options, rate, make_executor(), interrupts)
        on_step(step)
        return step

    lowest_rate = _lowest_rate(options)
    search = Search(options.rate or max(FIRST_RATE, lowest_rate), try_rate, lowest_rate)
    try:
        search.run()
    except (InputError, CannotStartError):
        if not search.steps:
            raise
    except Interrupted:
        pass
    return search


def _run_step(options: RunOptions, rate: float, executor: Executor, interrupts: Interrupts) -> Step:
    if interrupts.signum:
        raise Interrupted
    duration_ns = max(options.duration_ns, round(_responses_needed(options) / rate * 1e9))
    measurements = executor.execute(
        make_plan(replace(options, rate=rate, duration_ns=duration_ns)), interrupts
    )
    if measurements.interrupted or interrupts.signum:
        raise Interrupted
    summary = summarize(measurements, None, per_agent=options.per_agent)
    return Step(rate, *_judge(summary), summary)


def _responses_needed(options: RunOptions) -> float:
    """Return how many responses a step must have for its percentiles, with a margin."""
    percents = [
        threshold.percent for threshold in map(parse_threshold, options.slo) if threshold.metric == "p"
    ]
    return max(map(minimum_sample, percents), default=0) * 1.2


def _lowest_rate(options: RunOptions) -> float:
    """Return the lowest rate at which a step is not too long. Raises InputError if the search would begin below it."""
    longest_ns = max(options.duration_ns, LONGEST_STEP_NS)
    lowest_rate = max(LOWEST_RATE, _responses_needed(options) / longest_ns * 1e9)
    if options.rate is None or options.rate >= lowest_rate:
        return lowest_rate
    if lowest_rate == LOWEST_RATE:
        raise InputError(
            f"--rate {options.rate:g}/s: --find-max tries rates from {LOWEST_RATE:g}/s on",
            "begin with a higher rate",
        )
    step_ns = round(_responses_needed(options) / options.rate) * 1_000_000_000
    raise InputError(
        f"--rate {options.rate:g}/s: a step of --find-max would take {format_duration(step_ns)} to have the"
        " responses that its percentiles need",
        f"begin with {ceil(lowest_rate)}/s or more, or allow steps of that length with -z",
    )


def _judge(summary: Summary) -> tuple[str, str]:
    """Return the result of a step, and why it did not pass."""
    if summary.trust.verdict == BAD:
        return UNRELIABLE, summary.trust.reasons[0]
    reasons = [
        f"{verdict.text}: {verdict.explanation}"
        for verdict in summary.thresholds
        if verdict.result != thresholds.PASSED
    ]
    if not reasons and summary.aborted_by:
        reasons = [summary.aborted_by]
    if not reasons and summary.ledger.unsent > summary.ledger.planned * _MAX_UNSENT_SHARE:
        reasons = [
            f"{summary.ledger.unsent} of {summary.ledger.planned} requests found no free connection in time"
        ]
    return (FAILED, "; ".join(reasons)) if reasons else (PASSED, "")
