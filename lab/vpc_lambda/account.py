"""A model of an AWS account with one API and one function: requests go in, and responses come out, each with its time.

It is an event simulation without a clock of its own. The result depends on the settings and the times of the requests
only. `advance` processes all events up to an instant, each at its own time.
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
    assigned_s: float = math.nan  # when a sandbox took it
    status: int = 0
    answered_s: float = math.nan


@dataclass
class Counts:
    """Counters since the start. Each call is warm, a cold start, throttled or failed."""

    calls: int = 0
    warm: int = 0
    cold_starts: int = 0
    throttled: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    timed_out: int = 0
    max_running: int = 0
    max_sandboxes: int = 0
    expired: int = 0
    first_call_s: float | None = None
    first_throttled_s: float | None = None


EventHandler = Callable[[Call, float], None]


class Account:
    """`request` adds a request, `advance` returns the responses that are due, `next_s` is the time of the next event."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.counts = Counts()
        self.running = 0  # executions, including those that are starting
        self.sandboxes = 0
        # Separate random generators, so that one more draw of one kind does not change the others.
        self._overheads, self._starts, enis = (Random(f"{settings.seed} {kind}") for kind in ("o", "s", "i"))  # noqa: S311
        self.interfaces = OwnInterfaces(settings, enis) if settings.network == OLD else SharedInterface()
        self._api = TokenBucket(settings.api_burst, settings.api_rps)
        self._burst = TokenBucket(settings.burst, settings.burst_refill / 60)
        self._starting: SharedWork[Call] = SharedWork(settings.starts_at_once)
        self._waiting: dict[int, Call] = {}  # calls that wait for an interface
        self._idle: deque[float] = deque()  # since when each sandbox is idle; the last is reused first
        self._events: list[tuple[float, int, EventHandler, Call]] = []
        self._number = count()
        self._answered: list[Call] = []

    def request(self, now_s: float) -> Call:
        """Add a request that arrives now; times must not decrease. `advance` returns its response."""
        self._process(now_s)
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
            self._assign(call)
            self._execute(call, now_s)
        elif not self._burst.take(now_s):
            self._throttle(call, "burst", settings.throttled_status)
        else:
            self._start(call)
        return call

    @property
    def next_s(self) -> float | None:
        """Return the time of the next event; None without any."""
        started_s = self._starting.next_s
        if not self._events:
            return started_s
        return self._events[0][0] if started_s is None else min(self._events[0][0], started_s)

    def advance(self, now_s: float) -> list[Call]:
        """Return the calls that are answered by now, in the order of their responses."""
        self._process(now_s)
        answered, self._answered = self._answered, []
        return answered

    def _process(self, now_s: float) -> None:
        while (at_s := self.next_s) is not None and at_s <= now_s:
            if self._events and self._events[0][0] <= at_s:
                _, _, handler, call = heapq.heappop(self._events)
                handler(call, at_s)
            else:
                self._execute(self._starting.finish(at_s), at_s)

    def _at(self, at_s: float, handler: EventHandler, call: Call) -> None:
        heapq.heappush(self._events, (at_s, next(self._number), handler, call))

    def _overhead(self) -> float:
        low_s, high_s = self.settings.overhead
        # In experiment 1 the mean lies about a third of the range above the minimum.
        return min(high_s, low_s + self._overheads.expovariate(3.4) * (high_s - low_s))

    def _throttle(self, call: Call, limit: str, status: int) -> None:
        self.counts.throttled[limit] += 1
        if self.counts.first_throttled_s is None:
            self.counts.first_throttled_s = call.arrived_s
        self._answer_after(call, status, call.arrived_s)

    def _has_idle(self, now_s: float) -> bool:
        """Remove sandboxes that were idle for too long, and return whether one is left."""
        while self._idle and self._idle[0] + self.settings.idle_expiry <= now_s:
            self._idle.popleft()
            self.sandboxes -= 1
            self.interfaces.release()
            self.counts.expired += 1
        return bool(self._idle)

    def _start(self, call: Call) -> None:
        """Start a new sandbox for a call."""
        now_s = call.arrived_s
        try:
            share = self.interfaces.attach(now_s, call.number)
        except NoInterfaceError as error:
            self.counts.failed[str(error)] += 1
            self._answer_after(call, 502, now_s)
            return
        self.counts.cold_starts += 1
        self.sandboxes += 1
        self.counts.max_sandboxes = max(self.counts.max_sandboxes, self.sandboxes)
        self._assign(call)
        self._at(now_s + self.settings.gateway_timeout, self._time_out, call)
        if share.is_ready:
            self._begin(call, now_s)
            return
        self._waiting[call.number] = call
        if share.created_s is not None:
            self._at(share.created_s, self._created, call)

    def _assign(self, call: Call) -> None:
        call.assigned_s = call.arrived_s
        self.running += 1
        self.counts.max_running = max(self.counts.max_running, self.running)

    def _created(self, _: Call, at_s: float) -> None:
        for number in self.interfaces.on_created():
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
        """End the handler: send the response, and free the sandbox for its next request."""
        self.running -= 1
        if (free_s := call.assigned_s + self.settings.reuse_after_s) <= at_s:
            self._free(call, at_s)
        else:
            self._at(free_s, self._free, call)
        if not call.status:
            self._answer_after(call, 200, at_s)

    def _free(self, _: Call, at_s: float) -> None:
        self._idle.append(at_s)

    def _answer_after(self, call: Call, status: int, at_s: float) -> None:
        """Schedule a response after the overhead of API Gateway, or 504 if that would be too late."""
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
