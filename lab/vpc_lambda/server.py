"""The model behind HTTP: a server that responds when the model says, and counts what was sent."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web
from hdrh.histogram import HdrHistogram

from heyfleet.lab.vpc_lambda.account import Account, Call
from heyfleet.lab.vpc_lambda.settings import Settings
from heyfleet.surroundings import end_signals

STATS = "/_lab/stats"
_BACKLOG = 65535
_US_PER_HOUR = 3_600_000_000
_BODIES = {
    200: b"hello",
    429: b'{"message":"Too Many Requests"}',
    502: b'{"message": "Internal server error"}',
    504: b'{"message": "Endpoint request timed out"}',
}
_OTHER_BODY = b'{"message":"Internal server error"}'


class Target:
    """One account in real time; the model's clock starts with the first request and is scaled by `time_scale`."""

    def __init__(self, settings: Settings, time_scale: float = 1.0) -> None:
        self._settings = settings
        self._scale = time_scale
        self._account = Account(settings)
        self._began_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0  # time of the event that it waits for
        self._waiting: dict[int, asyncio.Future[Call]] = {}
        self._answers: Counter[int] = Counter()
        self._abandoned = 0
        self._latency_us = HdrHistogram(1, _US_PER_HOUR, 3)
        self._late_s = 0.0
        self._latest_s = 0.0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Handle a request: every path is the function, except the page of counters."""
        if request.path == STATS:
            text = json.dumps(self.stats(), indent=2) + "\n"  # indented for people
            return web.Response(text=text, content_type="application/json")
        now_s = self._now()
        call = self._account.request(now_s)
        answered: asyncio.Future[Call] = asyncio.get_running_loop().create_future()
        self._waiting[call.number] = answered
        self._set_timer()
        try:
            await answered
        except asyncio.CancelledError:
            self._waiting.pop(call.number, None)
            self._abandoned += 1
            raise
        self._answers[call.status] += 1
        done_s = self._now()
        self._latency_us.record_value(round((done_s - call.arrived_s) * 1e6))
        late_s = done_s - call.answered_s
        self._late_s += late_s
        self._latest_s = max(self._latest_s, late_s)
        kind = "text/plain" if call.status == 200 else "application/json"
        return web.Response(body=_BODIES.get(call.status, _OTHER_BODY), status=call.status, content_type=kind)

    def _now(self) -> float:
        """Return the model's time in seconds."""
        now_s = time.monotonic()
        if self._began_s is None:
            self._began_s = now_s
        return (now_s - self._began_s) / self._scale

    def _set_timer(self) -> None:
        """Set a timer for the next event, unless an earlier one is set."""
        next_s = self._account.next_s
        if next_s is None or (self._timer is not None and self._timer_s <= next_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        # The loop's timers have whole milliseconds; rounded up, the event is due when the timer fires.
        delay_ms = math.ceil(max(0.0, next_s - self._now()) * self._scale * 1000)
        self._timer_s = next_s
        self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, self._wake)

    def _wake(self) -> None:
        self._timer = None
        for call in self._account.advance(self._now()):
            answered = self._waiting.pop(call.number, None)
            if answered is not None and not answered.done():
                answered.set_result(call)
        self._set_timer()

    def stats(self) -> dict[str, Any]:
        """Return all counters; times are the model's, in seconds."""
        account, counts, latency = self._account, self._account.counts, self._latency_us
        responses = latency.get_total_count()
        percentiles = (
            {f"p{p:g}": latency.get_value_at_percentile(p) / 1e6 for p in (50, 90, 99)} if responses else {}
        )
        first_s, throttled_s = counts.first_call_s, counts.first_throttled_s
        return {
            "network": self._settings.network,
            "time_scale": self._scale,
            "requests": counts.calls,
            "answers": {str(status): number for status, number in sorted(self._answers.items())},
            "abandoned": self._abandoned,
            "in_flight": len(self._waiting),
            "warm": counts.warm,
            "cold_starts": counts.cold_starts,
            "throttled": dict(counts.throttled),
            "throttled_from_s": None if throttled_s is None or first_s is None else throttled_s - first_s,
            "failed": dict(counts.failed),
            "timed_out": counts.timed_out,
            "running": account.running,
            "most_running": counts.max_running,
            "sandboxes": account.sandboxes,
            "most_sandboxes": counts.max_sandboxes,
            "sandboxes_expired": counts.expired,
            "enis": account.interfaces.requested,
            "latency_s": {
                "mean": latency.get_mean_value() / 1e6,
                "max": latency.get_max_value() / 1e6,
                **percentiles,
            }
            if responses
            else None,
            "answers_late_s": {"mean": self._late_s / responses, "max": self._latest_s}
            if responses
            else None,
        }

    def summary(self) -> str:
        """Return the counters as one line."""
        counts = self._account.counts
        words = [
            f"{counts.calls} requests: {counts.warm} warm, {counts.cold_starts} cold starts",
            *(f"{number} throttled by {limit}" for limit, number in sorted(counts.throttled.items())),
            *(f"{number} failed by {limit} of interfaces" for limit, number in sorted(counts.failed.items())),
            *([f"{counts.timed_out} timed out"] if counts.timed_out else []),
            *([f"{self._abandoned} abandoned"] if self._abandoned else []),
        ]
        return (
            ", ".join(words)
            + f"; {counts.max_sandboxes} sandboxes, {self._account.interfaces.requested} interfaces"
        )


async def serve(target: Target, host: str, port: int, announce: Callable[[str], None]) -> None:
    """Serve until SIGINT or SIGTERM; call `announce` with the URL when it listens. OSError if it can't."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in end_signals():
        loop.add_signal_handler(number, stopped.set)
    # Cancellation reports a client that disconnects at once, so that it is counted.
    server = web.Server(target.answer, handler_cancellation=True, access_log=None, keepalive_timeout=3600.0)
    listening = await loop.create_server(server, host, port, backlog=_BACKLOG)
    name, bound_port = listening.sockets[0].getsockname()[:2]
    announce(f"http://[{name}]:{bound_port}" if ":" in name else f"http://{name}:{bound_port}")
    await stopped.wait()
    listening.close()
    await server.shutdown(0.1)
