"""Live exports of a run: metrics for Prometheus to scrape, and OTLP to a collector."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from heyfleet.errors import InputError
from heyfleet.ext import Histogram
from heyfleet.mask import mask_url
from heyfleet.plan.redact import target_url
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.counters import COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.intervals import IntervalSink
from heyfleet.results.metrics import decode_histogram


@contextmanager
def live_exports(
    plan: Plan, prometheus: str, otlp: str, warn: Callable[[str], object]
) -> Iterator[list[IntervalSink]]:
    """A context with a sink for each live export: an address to scrape, a collector's URL, or "" for neither.

    InputError if an export can't start; what fails later is reported by `warn`.
    """
    sinks: list[IntervalSink] = []
    with ExitStack() as stack:
        if prometheus:
            sinks.append(stack.enter_context(_scrape_endpoint(plan, prometheus)))
        if otlp:
            from heyfleet.results.export.otlp import otlp_sink

            sinks.append(stack.enter_context(otlp_sink(target_url(plan), otlp, warn)))
        yield sinks


@contextmanager
def _scrape_endpoint(plan: Plan, address: str) -> Iterator[IntervalSink]:
    from prometheus_client import start_http_server

    from heyfleet.results.export.metrics import Scrape

    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise InputError(
            f"--prometheus {mask_url(address)}: not an address to listen on", "use :9464 or 127.0.0.1:9464"
        )
    scrape = Scrape(target_url(plan))
    try:
        server, thread = start_http_server(int(port), host.strip("[]") or "0.0.0.0", registry=scrape)  # noqa: S104
    except OSError as error:
        raise InputError(f"--prometheus {mask_url(address)}: {error.strerror or error}") from None

    def update(interval: Interval) -> None:
        merged = interval.merged
        scrape.responses.update(merged.responses)
        scrape.errors.update(merged.errors)
        scrape.counters.update({name: getattr(merged, name) for name in COUNTER_NAMES})
        scrape.seconds = max(scrape.seconds, merged.end_ns / 1e9)
        latest: dict[str, Histogram] = {}
        for metric, histogram in merged.histograms.items():
            count, sum_ns = scrape.sums.get(metric, (0, 0))
            scrape.sums[metric] = count + histogram.count, sum_ns + histogram.sum_ns
            latest[metric] = decode_histogram(histogram)
        scrape.histograms = latest

    try:
        yield update
    finally:
        with contextlib.suppress(OSError):
            server.shutdown()
            server.server_close()
            thread.join(timeout=2)
