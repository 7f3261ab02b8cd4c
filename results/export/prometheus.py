"""A run as metrics while it goes on: for Prometheus to scrape, or sent to a collector (OTLP)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from heyfleet.errors import InputError
from heyfleet.ext import Histogram
from heyfleet.plan.redact import target_url
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.counters import COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import IntervalSink
from heyfleet.results.stats import decoded


@contextmanager
def shown(plan: Plan, prometheus: str, otlp: str) -> Iterator[list[IntervalSink]]:
    """A context in which each second of a run is shown where these say; InputError where that can't be."""
    takes: list[IntervalSink] = []
    with ExitStack() as stack:
        if prometheus:
            takes.append(stack.enter_context(_scraped(plan, prometheus)))
        if otlp:
            from heyfleet.results.export.otlp import sent

            takes.append(stack.enter_context(sent(target_url(plan), otlp)))
        yield takes


@contextmanager
def _scraped(plan: Plan, address: str) -> Iterator[IntervalSink]:
    from prometheus_client import start_http_server

    from heyfleet.results.export.metrics import Reading

    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise InputError(f"--prometheus {address}: it is no address to listen on, as :9464 or 127.0.0.1:9464")
    reading = Reading(target_url(plan))
    try:
        server, thread = start_http_server(int(port), host.strip("[]") or "0.0.0.0", registry=reading)  # noqa: S104
    except OSError as error:
        raise InputError(f"--prometheus {address}: {error.strerror or error}") from None

    def take(interval: Interval) -> None:
        merged = interval.merged
        reading.responses.update(merged.responses)
        reading.errors.update(merged.errors)
        reading.totals.update({name: getattr(merged, name) for name in COUNTER_NAMES})
        reading.seconds = max(reading.seconds, merged.end_ns / 1e9)
        latest: dict[str, Histogram] = {}
        for metric, part in merged.histograms.items():
            count, sum_ns = reading.sums.get(metric, (0, 0))
            reading.sums[metric] = count + part.count, sum_ns + part.sum_ns
            latest[metric] = decoded(part)
        reading.histograms = latest

    try:
        yield take
    finally:
        with contextlib.suppress(OSError):
            server.shutdown()
            server.server_close()
            thread.join(timeout=2)
