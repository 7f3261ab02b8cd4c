"""An AWS account with one API and one function, as a pure model: requests and responses come with their instants.

A discrete-event simulation without a clock: it depends only on its settings and on the instants of the requests.
`advance` brings it to an instant through all events that lie between, each at its own time.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from heyfleet.lab.vpc_lambda.interfaces import NoInterfaceError, OwnInterfaces, SharedInterface
from heyfleet.lab.vpc_lambda.settings import OLD, Settings
from heyfleet.lab.vpc_lambda.sharing import SharedWork, TokenBucket


@dataclass(eq=False, slots=True)
class Call:
    """One request. `answered_s` is NaN until it has its response."""

    number: int
    arrived_s: float
    overhead_s: float
    given_s: float = math.nan  # when a sandbox took it
    status: int = 0
    answered_s: float = math.nan


@dataclass
class Counts:
    """Counters since the start. Each call is one of warm, cold start, throttled or failed."""

    calls: int = 0
    warm: int = 0
    cold_starts: int = 0
    throttled: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    timed_out: int = 0
    most_running: int = 0
    most_sandboxes: int = 0
    expired: int = 0
    first_call_s: float | None = None
    first_throttled_s: float | None = None


Happening = Callable[[Call, float], None]


class Account:
    """The model: `request` takes a request, `advance` returns due responses, `next_s` is the next event's instant."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.running = 0  # executions, starting ones too
        self.sandboxes = 0
        # A random number generator per subject, so that one more draw here changes nothing there.
        self._overheads, self._starts, enis = (Random(f"{settings.seed} {of}") for of in ("o", "s", "i"))  # noqa: S311
        self.interfaces = OwnInterfaces(settings, enis) if settings.network == OLD else SharedInterface()
        self._api = TokenBucket(settings.api_burst, settings.api_rps)
        self._burst = TokenBucket(settings.burst, settings.burst_refill / 60)
        self._starting: SharedWork[Call] = SharedWork(settings.starts_at_once)
        self._waiting: dict[int, Call] = {}  # for an interface
        self._idle: deque[float] = deque()  # sandboxes, since when; the last one is taken first
        self._events: list[tuple[float, int, Happening, Call]] = []
        self._number = count()
        self._answered: list[Call] = []

    def request(self, now_s: float) -> Call:
        """Take a request that arrives now, not before any other; `advance` returns its response."""
        self._pass(now_s)
        counts, settings = self.counts, self.settings
        counts.calls += 1
        if counts.first_call_s is None:
            counts.first_call_s = now_s
        call = Call(counts.calls, now_s, self._overhead())
        if not self._api.take(now_s):
            self._throttle(call, "api", 429)
        elif self.running >= settings.concurrency_limit:
            self._throttle(call, "concurrency", settings.throttled_status)
        elif self._has_idle(now_s):
            self._idle.pop()
            counts.warm += 1
            self._give(call)
            self._execute(call, now_s)
        elif not self._burst.take(now_s):
            self._throttle(call, "burst", settings.throttled_status)
        else:
            self._start(call)
        return call

    @property
    def next_s(self) -> float | None:
        """Return the instant of the next event, or None."""
        started_s = self._starting.next_s
        if not self._events:
            return started_s
        return self._events[0][0] if started_s is None else min(self._events[0][0], started_s)

    def advance(self, now_s: float) -> list[Call]:
        """Return the calls that are answered by now, in the order of their responses."""
        self._pass(now_s)
        answered, self._answered = self._answered, []
        return answered

    def _pass(self, now_s: float) -> None:
        while (at_s := self.next_s) is not None and at_s <= now_s:
            if self._events and self._events[0][0] <= at_s:
                _, _, happening, call = heapq.heappop(self._events)
                happening(call, at_s)
            else:
                self._execute(self._starting.finish(at_s), at_s)

    def _at(self, at_s: float, happening: Happening, call: Call) -> None:
        heapq.heappush(self._events, (at_s, next(self._number), happening, call))

    def _overhead(self) -> float:
        least_s, most_s = self.settings.overhead
        # The mean of experiment 1 lies about a third of the range above its minimum.
        return min(most_s, least_s + self._overheads.expovariate(3.4) * (most_s - least_s))

    def _throttle(self, call: Call, why: str, status: int) -> None:
        self.counts.throttled[why] += 1
        if self.counts.first_throttled_s is None:
            self.counts.first_throttled_s = call.arrived_s
        self._answer_after(call, status, call.arrived_s)

    def _has_idle(self, now_s: float) -> bool:
        """Return whether a sandbox is free; drop those that were idle for too long."""
        while self._idle and self._idle[0] + self.settings.idle_expiry <= now_s:
            self._idle.popleft()
            self.sandboxes -= 1
            self.interfaces.release()
            self.counts.expired += 1
        return bool(self._idle)

    def _start(self, call: Call) -> None:
        """Start a new sandbox for this call."""
        now_s = call.arrived_s
        try:
            share = self.interfaces.ask(now_s, call.number)
        except NoInterfaceError as error:
            self.counts.failed[str(error)] += 1
            self._answer_after(call, 502, now_s)
            return
        self.counts.cold_starts += 1
        self.sandboxes += 1
        self.counts.most_sandboxes = max(self.counts.most_sandboxes, self.sandboxes)
        self._give(call)
        self._at(now_s + self.settings.gateway_timeout, self._time_out, call)
        if share.is_there:
            self._begin(call, now_s)
            return
        self._waiting[call.number] = call
        if share.created_s is not None:
            self._at(share.created_s, self._created, call)

    def _give(self, call: Call) -> None:
        call.given_s = call.arrived_s
        self.running += 1
        self.counts.most_running = max(self.counts.most_running, self.running)

    def _created(self, _: Call, at_s: float) -> None:
        for number in self.interfaces.created():
            self._begin(self._waiting.pop(number), at_s)

    def _begin(self, call: Call, at_s: float) -> None:
        settings = self.settings
        work_s = sum(
            self._starts.uniform(*part) for part in (settings.placement, settings.runtime, settings.init)
        )
        self._starting.begin(at_s, work_s, call)

    def _execute(self, call: Call, at_s: float) -> None:
        """Run the handler in a sandbox that is ready."""
        end_s, last_s = at_s + self.settings.duration, call.arrived_s + self.settings.gateway_timeout
        self._at(end_s, self._end, call)
        if end_s > last_s:
            self._at(max(at_s, last_s), self._time_out, call)

    def _end(self, call: Call, at_s: float) -> None:
        """End the handler: its sandbox becomes free, and its response is sent."""
        self.running -= 1
        if (free_s := call.given_s + self.settings.held_s) <= at_s:
            self._free(call, at_s)
        else:
            self._at(free_s, self._free, call)
        if not call.status:
            self._answer_after(call, 200, at_s)

    def _free(self, _: Call, at_s: float) -> None:
        self._idle.append(at_s)

    def _answer_after(self, call: Call, status: int, at_s: float) -> None:
        """Answer after the gateway's overhead, or with 504 if that is too late."""
        due_s, last_s = at_s + call.overhead_s, call.arrived_s + self.settings.gateway_timeout
        if due_s > last_s:
            self._at(last_s, self._time_out, call)
            return
        call.status = status
        self._at(due_s, self._answer, call)

    def _time_out(self, call: Call, at_s: float) -> None:
        if not call.status:
            call.status = 504
            self.counts.timed_out += 1
            self._answer(call, at_s)

    def _answer(self, call: Call, at_s: float) -> None:
        call.answered_s = at_s
        self._answered.append(call)
