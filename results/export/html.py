"""The report as an HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from heyfleet import __version__
from heyfleet.results.distribution import Distribution, distribution
from heyfleet.results.export import charts, html_page
from heyfleet.results.export.html_page import text
from heyfleet.results.export.run_view import RunView
from heyfleet.results.report import text as hey_report
from heyfleet.results.report.notes import notes
from heyfleet.results.units import format_time
from heyfleet.text import dump_json

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 24
_PERCENTILES = (50.0, 90.0, 99.0, 99.9, 99.99)
_METRIC_HEADER = ["average", *(f"p{percent:g}" for percent in _PERCENTILES), "slowest"]


def html(view: RunView) -> Iterator[str]:
    """Return the page, piece by piece."""
    summary = view.summary
    url = str(summary.plan["url"])
    yield html_page.page_start(url)
    yield from _header(view, url)
    columns = charts.columns(view)
    yield _figures(over_time=len(columns) > 1)
    if len(columns) > 1 or summary.fleet:
        yield from _agents(view)
    yield from _tables(view)
    yield from _texts(view)
    yield html_page.page_end(
        {
            "spectra": _spectra(view),
            "series": charts.time_series(columns),
            "heatmap": charts.heatmap(columns),
            "stages": _stages(view),
        }
    )


def _header(view: RunView, url: str) -> Iterator[str]:
    summary, metrics = view.summary, view.metrics
    selection = ", ".join(
        f"{name.removesuffix('_s')} {value}"
        for name in view.selection.__slots__
        if (value := getattr(view.selection, name)) not in ("", None)
    )
    started = text(view.run.started_at[:19].replace("T", " "))
    yield f"<header><h1>{text(url)}</h1>\n<p>{started} UTC, heyfleet {__version__}"
    yield f"; only {text(selection)}</p>\n" if selection else "</p>\n"
    latency = distribution(metrics.histogram("latency"))
    cards = [
        ("requests", f"{metrics.completed:,}"),
        ("requests/s", f"{view.requests_per_second:,.1f}"),
        ("duration", f"{view.seconds:,.2f} s"),
        *((f"p{percent:g}", _percentile(latency, percent)) for percent in (50, 99, 99.9)),
        ("errors", f"{metrics.errors.total():,}"),
    ]
    yield '<dl class="cards">' + "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cards
    )
    yield "</dl>\n"
    reasons = "".join(f"<li>{text(reason)}</li>" for reason in summary.trust.reasons)
    yield f'<div class="trust {summary.trust.verdict}"><strong>Trust: {summary.trust.verdict}</strong>'
    yield f"<ul>{reasons}</ul></div></header>\n" if reasons else "</div></header>\n"


def _figures(*, over_time: bool) -> str:
    titles = {
        "spectrum": "Latency by percentile",
        "heatmap": "Latency over time",
        "rates": "Responses and errors over time",
        "in-flight": "Requests in flight",
    }
    figures = "".join(
        f'<figure><figcaption>{title}</figcaption><div class="chart" id="{name}"></div></figure>\n'
        for name, title in titles.items()
        if over_time or name == "spectrum"
    )
    return f'<main>\n<section class="charts">\n{figures}</section>\n'


def _agents(view: RunView) -> Iterator[str]:
    agents = charts.agent_charts(view)
    if not agents:
        return
    max_rate = max(max(chart.rates, default=0) for chart in agents.values())
    max_p99 = max(max(chart.p99_ms, default=0) for chart in agents.values())
    reasons = {agent.agent: agent.reason for agent in view.measurements.agents}
    rows = []
    for agent, chart in agents.items():
        p99_ms = max(chart.p99_ms, default=0)
        rows.append(
            [
                text(agent),
                f"{chart.responses:,}",
                f"{chart.errors:,}",
                f"{_spark(chart.rates, max_rate)} up to {max(chart.rates, default=0):,.1f}/s",
                f"{_spark(chart.p99_ms, max_p99)} up to {format_time(p99_ms * 1e6)}" if p99_ms else "-",
                text(reasons.get(agent, "")),
            ]
        )
    header = ["agent", "responses", "errors", "rate", "p99 of each second", ""]
    yield html_page.table("Agents", header, rows)


def _spark(values: Sequence[float], maximum: float) -> str:
    step = _SPARK_WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        f"{index * step:.1f},{_SPARK_HEIGHT - value / (maximum or 1) * (_SPARK_HEIGHT - 2) - 1:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" role="img" aria-hidden="true">'
        f'<polyline points="{points}"/></svg>'
    )


def _tables(view: RunView) -> Iterator[str]:
    summary, metrics = view.summary, view.metrics
    completed = metrics.completed or 1
    outcomes = [
        *((str(status), count) for status, count in sorted(metrics.responses.items())),
        *((text(kind), count) for kind, count in metrics.errors.most_common()),
    ]
    rows = [[name, f"{count:,}", f"{count / completed:.2%}"] for name, count in outcomes]
    yield html_page.table("Outcomes", ["status or error", "requests", "share"], rows)
    rows = [
        _metric_row(name, values)
        for name, histogram in sorted(metrics.histograms.items())
        if (values := distribution(histogram)) is not None
    ]
    yield html_page.table("All metrics", ["", "count", *_METRIC_HEADER], rows)
    for title, lines in (("Stages", summary.stages), ("Requests", summary.requests)):
        rows = [_metric_row(line.name, line.latency) for line in lines if line.latency]
        if rows and not view.selection:
            yield html_page.table(title, ["", "responses", *_METRIC_HEADER], rows)
    if summary.thresholds:
        rows = [
            [text(verdict.text), verdict.result, text(verdict.explanation)] for verdict in summary.thresholds
        ]
        yield html_page.table("Thresholds", ["threshold", "result", "value"], rows)


def _metric_row(name: str, values: Distribution) -> list[str]:
    return [
        text(name.replace("_", " ")),
        f"{values.count:,}",
        format_time(values.average_ns),
        *(_percentile(values, percent) for percent in _PERCENTILES),
        format_time(values.slowest_ns),
    ]


def _percentile(values: Distribution | None, percent: float) -> str:
    value_ns = values.percentile_ns(percent) if values else None
    return "-" if value_ns is None else format_time(value_ns)


def _texts(view: RunView) -> Iterator[str]:
    summary = view.summary
    if lines := notes(summary):
        items = "".join(f"<li>{text(note)}</li>" for note in lines)
        yield f"<section><h2>Notes</h2><ul>{items}</ul></section>\n"
    yield '<section><h2>As text</h2><button type="button" id="copy">Copy</button>\n'
    yield f'<pre id="text">{escape(hey_report.render(summary).strip())}</pre></section>\n'
    plan = dump_json(summary.plan).strip()
    yield f"<section><details><summary>Plan</summary><pre>{escape(plan)}</pre></details></section>\n</main>\n"


def _spectra(view: RunView) -> list[dict[str, Any]]:
    metrics = view.metrics
    spectra = [{"name": "latency", **charts.spectrum(metrics.histogram("latency"))}]
    service_time = metrics.histogram("service_time")
    if service_time is not None and "lag" in metrics.histograms:
        spectra.append({"name": "service time", **charts.spectrum(service_time)})
    return [each for each in spectra if each["ms"]]


def _stages(view: RunView) -> list[dict[str, Any]]:
    """Return where warm-up and stages begin, in s; none if there is only one stage and no warm-up."""
    starts, at_s = [], view.plan.warmup_ns / 1e9
    if at_s:
        starts.append({"name": "warm-up", "at": 0.0})
    if len(view.plan.stages) > 1:
        for stage in view.plan.stages:
            starts.append({"name": text(stage.name), "at": at_s})
            at_s += stage.duration_ns / 1e9
    elif starts:
        starts.append({"name": "measurement", "at": at_s})
    return starts
