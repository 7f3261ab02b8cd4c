"""A run as metrics, for Prometheus and OpenMetrics, when it is over or while it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from heyfleet.ext import Histogram
from heyfleet.results.export.run_view import RunView
from heyfleet.results.stats import Metrics

QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 0.9999)
METRICS = ("latency", "service_time", "lag", "connect", "handshake")


@dataclass(slots=True)
class Reading:
    """What one scrape shows: counts since the begin, and quantiles of `histograms`, which may be of less."""

    url: str
    responses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    totals: Counter[str] = field(default_factory=Counter)
    sums: dict[str, tuple[int, int]] = field(
        default_factory=dict
    )  # by metric: count and sum in ns, since the begin
    histograms: dict[str, Histogram] = field(default_factory=dict)
    seconds: float = 0.0

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it."""
        of = {"url": self.url}
        yield _counter("requests_sent", "Requests that were sent.", [(of, self.totals["sent"])])
        yield _counter(
            "requests_abandoned", "Cut off by the end of the run.", [(of, self.totals["abandoned"])]
        )
        yield _counter(
            "responses",
            "Responses by status code.",
            [({**of, "status": str(status)}, count) for status, count in sorted(self.responses.items())],
        )
        yield _counter(
            "errors",
            "Requests that failed, by kind.",
            [({**of, "kind": kind}, count) for kind, count in sorted(self.errors.items())],
        )
        for name in ("bytes_sent", "bytes_received", "body_bytes", "connections_opened"):
            yield _counter(name, f"{name.replace('_', ' ').capitalize()}.", [(of, self.totals[name])])
        flying = GaugeMetricFamily("heyfleet_in_flight", "Requests without an end.", labels=["url"])
        ended = self.responses.total() + self.errors.total() + self.totals["abandoned"]
        flying.add_metric([self.url], self.totals["sent"] - ended)
        yield flying
        elapsed = GaugeMetricFamily(
            "heyfleet_elapsed_seconds", "Since the begin of the load.", labels=["url"]
        )
        elapsed.add_metric([self.url], self.seconds)
        yield elapsed
        for metric in METRICS:
            if metric in self.sums:
                yield self._summary(metric)

    def _summary(self, metric: str) -> Metric:
        name = f"heyfleet_{metric}_seconds"
        made = SummaryMetricFamily(
            name, f"{metric.replace('_', ' ').capitalize()}, in seconds.", labels=["url"]
        )
        count, sum_ns = self.sums[metric]
        histogram = self.histograms.get(metric)
        if histogram is not None and histogram.count:
            for quantile in QUANTILES:
                value_ns = histogram.value_at_percentile(quantile * 100)
                made.add_sample(name, {"url": self.url, "quantile": str(quantile)}, value_ns / 1e9)
        made.add_metric([self.url], count_value=count, sum_value=sum_ns / 1e9)
        return made


def reading_of(numbers: Metrics, url: str, seconds: float) -> Reading:
    """Of a run, or a part of it, that is over."""
    return Reading(
        url,
        responses=numbers.responses,
        errors=numbers.errors,
        totals=numbers.totals,
        sums={metric: (each.count, each.sum_ns) for metric, each in numbers.histograms.items()},
        histograms=numbers.histograms,
        seconds=seconds,
    )


def prometheus(source: RunView) -> Iterator[str]:
    """The text format of Prometheus, 0.0.4."""
    yield text(_reading(source))


def text(reading: Reading) -> str:
    """The text format of Prometheus, of one reading."""
    made: bytes = generate_latest(reading)
    return made.decode()


def openmetrics(source: RunView) -> Iterator[str]:
    """OpenMetrics 1.0."""
    yield generate_openmetrics(_reading(source)).decode()  # type: ignore[no-untyped-call]


def _reading(source: RunView) -> Reading:
    return reading_of(source.numbers, str(source.run.facts.get("url", "")), source.seconds)


def _counter(name: str, text: str, samples: list[tuple[dict[str, str], int]]) -> Metric:
    names = list(samples[0][0]) if samples else ["url"]
    made = CounterMetricFamily(f"heyfleet_{name}", text, labels=names)
    for labels, value in samples:
        made.add_metric(list(labels.values()), value)
    return made
