"""A run sent to an OpenTelemetry collector second by second (OTLP over HTTP)."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from urllib.parse import urlsplit

from heyfleet import __version__
from heyfleet.errors import InputError
from heyfleet.mask import mask_url
from heyfleet.proto.control_pb2 import Interval
from heyfleet.proto.stats_pb2 import Histogram
from heyfleet.results.intervals import IntervalSink
from heyfleet.results.metrics import decode_histogram
from heyfleet.text import printable

try:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import export as sdk
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
except ImportError:
    raise InputError(
        "--otlp needs OpenTelemetry's exporter, which is not installed", "run pip install 'heyfleet[otlp]'"
    ) from None

_SERVICE = "heyfleet"
_MAX_QUEUED_SECONDS = 60  # of a run, while the collector does not answer; further ones are discarded
_TIMEOUT_S = 2.0
# Upper bounds of the latency's buckets in seconds: 1, 2, 5 in each decade.
BOUNDS_S = tuple(step * 10.0**decade for decade in range(-4, 2) for step in (1, 2, 5))


@contextmanager
def otlp_sink(url: str, endpoint: str, warn: Callable[[str], object]) -> Iterator[IntervalSink]:
    """A context with a sink whose intervals a thread sends to the collector; InputError if its URL is invalid."""
    try:
        parts = urlsplit(endpoint)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that are not closed, a port that is no number
        is_url = False
    if not is_url:
        raise InputError(
            f"--otlp {mask_url(endpoint)}: not the URL of a collector", "use http://localhost:4318"
        )
    if parts.path in ("", "/"):
        endpoint = f"{endpoint.rstrip('/')}/v1/metrics"
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # failures are reported once, by `warn`
    sender = _Sender(url, endpoint, warn)
    thread = threading.Thread(target=sender.run, name="otlp", daemon=True)
    thread.start()
    try:
        yield sender.add
    finally:
        sender.close()
        thread.join(timeout=2 * _TIMEOUT_S)


class _Sender:
    """Sends counters since the start of the run (cumulative) and the latencies of each second (delta)."""

    def __init__(self, url: str, endpoint: str, warn: Callable[[str], object]) -> None:
        self._attributes = {"url.full": printable(url)}
        self._endpoint = endpoint
        self._warn = warn
        self._exporter = OTLPMetricExporter(endpoint=endpoint, timeout=_TIMEOUT_S)
        self._resource = Resource({"service.name": _SERVICE, "service.version": __version__})
        self._queue: queue.Queue[Interval | None] = queue.Queue()
        self._counters: Counter[tuple[str, str, str]] = Counter()  # by metric, attribute and its value
        self._warned = False

    def add(self, interval: Interval) -> None:
        """Queue an interval."""
        if self._queue.qsize() < _MAX_QUEUED_SECONDS:
            self._queue.put(interval)
        else:
            self._warn_once("the collector is too slow, seconds of the run are discarded")

    def close(self) -> None:
        """End the thread after the queued intervals."""
        self._queue.put(None)

    def run(self) -> None:
        """Send queued intervals until `close`."""
        while (interval := self._queue.get()) is not None:
            result = self._exporter.export(self._metrics_data(interval))
            if result is not sdk.MetricExportResult.SUCCESS:
                self._warn_once("the collector did not accept a second of the run")
        self._exporter.shutdown()

    def _warn_once(self, text: str) -> None:
        if not self._warned:
            self._warn(f"warning: --otlp {mask_url(self._endpoint)}: {text}")
        self._warned = True

    def _metrics_data(self, interval: Interval) -> sdk.MetricsData:
        merged, began_ns = interval.merged, interval.began_unix_ns
        end_ns = began_ns + merged.end_ns
        self._counters["heyfleet.requests.sent", "", ""] += merged.sent
        for status, count in merged.responses.items():
            self._counters["heyfleet.responses", "http.response.status_code", str(status)] += count
        for kind, count in merged.errors.items():
            self._counters["heyfleet.errors", "error.type", printable(kind)] += count
        names = dict.fromkeys(name for name, _, _ in self._counters)
        metrics = [self._sum(name, began_ns, end_ns) for name in names]
        if "latency" in merged.histograms:
            metrics.append(self._latency(merged.histograms["latency"], began_ns + merged.begin_ns, end_ns))
        scope = sdk.ScopeMetrics(InstrumentationScope(_SERVICE, __version__), metrics, "")
        return sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")])

    def _latency(self, message: Histogram, begin_ns: int, end_ns: int) -> sdk.Metric:
        latency = decode_histogram(message)
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
        return sdk.Metric(
            "heyfleet.latency", "Time from the intended sending to the end of the response.", "s", data
        )

    def _sum(self, name: str, began_ns: int, end_ns: int) -> sdk.Metric:
        points = [
            sdk.NumberDataPoint(
                attributes={**self._attributes, **({attribute: value} if attribute else {})},
                start_time_unix_nano=began_ns,
                time_unix_nano=end_ns,
                value=count,
            )
            for (metric, attribute, value), count in self._counters.items()
            if metric == name
        ]
        data = sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=True)
        return sdk.Metric(name, "Count since the start of the run.", "1", data)
