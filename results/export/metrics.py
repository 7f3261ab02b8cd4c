"""A run in the formats of Prometheus and OpenMetrics, when it is over or while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from heyfleet.ext import Histogram
from heyfleet.results.distribution import percentile_ns
from heyfleet.results.export.run_view import RunView
from heyfleet.text import printable

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
METRICS = ("latency", "service_time", "lag", "connect", "handshake")
_COUNTERS = ("bytes_sent", "bytes_received", "body_bytes", "connections_opened")


@dataclass(slots=True)
class Scrape:
    """The values of one scrape: counts since the start of the run, and quantiles of `histograms`, which may cover less."""

    url: str
    responses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    sums: dict[str, tuple[int, int]] = field(default_factory=dict)  # by metric: count and sum in ns
    histograms: dict[str, Histogram] = field(default_factory=dict)
    seconds: float = 0.0

    def collect(self) -> Iterator[Metric]:
        """Return all metrics, as prometheus_client requests them."""
        labels = {"url": self.url}
        yield _counter("requests_sent", "Requests sent.", [(labels, self.counters["sent"])])
        yield _counter(
            "requests_abandoned",
            "Requests without a response when the run ended.",
            [(labels, self.counters["abandoned"])],
        )
        yield _counter(
            "responses",
            "Responses by status code.",
            [({**labels, "status": str(status)}, count) for status, count in sorted(self.responses.items())],
        )
        yield _counter(
            "errors",
            "Failed requests by kind of error.",
            [({**labels, "kind": kind}, count) for kind, count in sorted(self.errors.items())],
        )
        for name in _COUNTERS:
            yield _counter(name, f"{name.replace('_', ' ').capitalize()}.", [(labels, self.counters[name])])
        ended = self.responses.total() + self.errors.total() + self.counters["abandoned"]
        yield self._gauge("in_flight", "Requests in flight.", self.counters["sent"] - ended)
        yield self._gauge("elapsed_seconds", "Seconds since the start of the load.", self.seconds)
        for metric in METRICS:
            if metric in self.sums:
                yield self._summary(metric)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family = GaugeMetricFamily(f"heyfleet_{name}", text, labels=["url"])
        family.add_metric([printable(self.url)], value)
        return family

    def _summary(self, metric: str) -> Metric:
        name = f"heyfleet_{metric}_seconds"
        text = f"{metric.replace('_', ' ').capitalize()} in seconds."
        family = SummaryMetricFamily(name, text, labels=["url"])
        histogram = self.histograms.get(metric)
        for quantile in QUANTILES:
            value_ns = percentile_ns(histogram, quantile * 100)
            if value_ns is not None:
                family.add_sample(
                    name, {"url": printable(self.url), "quantile": str(quantile)}, value_ns / 1e9
                )
        count, sum_ns = self.sums[metric]
        family.add_metric([printable(self.url)], count_value=count, sum_value=sum_ns / 1e9)
        return family


def prometheus(view: RunView) -> Iterator[str]:
    """Return Prometheus' text format, 0.0.4."""
    text: bytes = generate_latest(_scrape(view))
    yield text.decode()


def openmetrics(view: RunView) -> Iterator[str]:
    """Return OpenMetrics 1.0."""
    yield generate_openmetrics(_scrape(view)).decode()  # type: ignore[no-untyped-call]


def _scrape(view: RunView) -> Scrape:
    metrics = view.metrics
    return Scrape(
        view.run.url,
        responses=metrics.responses,
        errors=metrics.errors,
        counters=metrics.counters,
        sums={metric: (each.count, each.sum_ns) for metric, each in metrics.histograms.items()},
        histograms=metrics.histograms,
        seconds=view.seconds,
    )


def _counter(name: str, text: str, samples: list[tuple[dict[str, str], int]]) -> Metric:
    names = list(samples[0][0]) if samples else ["url"]
    family = CounterMetricFamily(f"heyfleet_{name}", text, labels=names)
    for labels, value in samples:
        family.add_metric(list(map(printable, labels.values())), value)
    return family
