"""A run to a collector of OpenTelemetry, second by second (OTLP over HTTP)."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from urllib.parse import urlsplit

from heyfleet import __version__
from heyfleet.controller import terminal
from heyfleet.errors import InputError
from heyfleet.proto.control_pb2 import Interval
from heyfleet.results.intervals import IntervalSink
from heyfleet.results.stats import decoded

try:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError:
    raise InputError("--otlp needs opentelemetry's exporter: pip install 'heyfleet[otlp]'") from None

_SERVICE = "heyfleet"
_WAITING_AT_MOST = 60  # seconds of a run, while the collector does not answer; older ones are dropped
_TIMEOUT_S = 2.0
# Marks of the latency's buckets, in seconds: 1, 2, 5 in each decade.
BOUNDS_S = tuple(step * 10.0**decade for decade in range(-4, 2) for step in (1, 2, 5))


@contextmanager
def sent(url: str, endpoint: str) -> Iterator[IntervalSink]:
    """A context whose function takes seconds of a run; a thread sends them. InputError for a bad URL."""
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--otlp {endpoint}: it is no URL of a collector, as http://localhost:4318")
    if parts.path in ("", "/"):
        endpoint = f"{endpoint.rstrip('/')}/v1/metrics"
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # what fails is told below, once
    sender = _Sender(url, endpoint)
    thread = threading.Thread(target=sender.work, name="otlp", daemon=True)
    thread.start()
    try:
        yield sender.take
    finally:
        sender.close()
        thread.join(timeout=2 * _TIMEOUT_S)


class _Sender:
    """Counts are since the begin of the run (cumulative), latencies of the second (delta)."""

    def __init__(self, url: str, endpoint: str) -> None:
        self._attributes = {"url.full": url}
        self._endpoint = endpoint
        self._exporter = OTLPMetricExporter(endpoint=endpoint, timeout=_TIMEOUT_S)
        self._resource = Resource({"service.name": _SERVICE, "service.version": __version__})
        self._queue: queue.Queue[Interval | None] = queue.Queue()
        self._counts: Counter[tuple[str, str, str]] = Counter()  # by metric, attribute and its value
        self._failed = False

    def take(self, interval: Interval) -> None:
        """Put it where the thread finds it."""
        if self._queue.qsize() < _WAITING_AT_MOST:
            self._queue.put(interval)
        else:
            self._tell("too slow, seconds of the run are dropped")

    def close(self) -> None:
        """After this comes nothing."""
        self._queue.put(None)

    def work(self) -> None:
        """Send until there is nothing more."""
        while (interval := self._queue.get()) is not None:
            result = self._exporter.export(self._data(interval))
            if result is not sdk.MetricExportResult.SUCCESS:
                self._tell("the collector did not take a second of the run")
        self._exporter.shutdown()

    def _tell(self, what: str) -> None:
        if not self._failed:
            terminal.say(f"warning: --otlp {self._endpoint}: {what}")
        self._failed = True

    def _data(self, interval: Interval) -> sdk.MetricsData:
        merged, began_ns = interval.merged, interval.began_unix_ns
        begin_ns, end_ns = began_ns + merged.begin_ns, began_ns + merged.end_ns
        self._counts["heyfleet.requests.sent", "", ""] += merged.sent
        for status, count in merged.responses.items():
            self._counts["heyfleet.responses", "http.response.status_code", str(status)] += count
        for kind, count in merged.errors.items():
            self._counts["heyfleet.errors", "error.type", kind] += count
        metrics = [
            self._sum(name, began_ns, end_ns) for name in dict.fromkeys(name for name, _, _ in self._counts)
        ]
        if "latency" in merged.histograms:
            latency = decoded(merged.histograms["latency"])
            below = [0, *(latency.count_at_or_below(round(bound * 1e9)) for bound in BOUNDS_S), latency.count]
            point = sdk.HistogramDataPoint(
                attributes=self._attributes,
                start_time_unix_nano=begin_ns,
                time_unix_nano=end_ns,
                count=latency.count,
                sum=latency.sum_ns / 1e9,
                bucket_counts=[high - low for low, high in pairwise(below)],
                explicit_bounds=BOUNDS_S,
                min=latency.min_ns / 1e9,
                max=latency.max_ns / 1e9,
            )
            data = sdk.Histogram([point], sdk.AggregationTemporality.DELTA)
            metrics.append(sdk.Metric("heyfleet.latency", "From intended to done.", "s", data))
        scope = sdk.ScopeMetrics(InstrumentationScope(_SERVICE, __version__), metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")])

    def _sum(self, name: str, began_ns: int, end_ns: int) -> sdk.Metric:
        points = [
            sdk.NumberDataPoint(
                attributes={**self._attributes, **({attribute: value} if attribute else {})},
                start_time_unix_nano=began_ns,
                time_unix_nano=end_ns,
                value=count,
            )
            for (metric, attribute, value), count in self._counts.items()
            if metric == name
        ]
        data = sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return sdk.Metric(name, "Since the begin of the run.", "1", data)
