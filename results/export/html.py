"""The report as a page: one file that opens anywhere, without a network. The charts are plotly's, from its package."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from heyfleet import __version__
from heyfleet.results.distribution import Distribution, distribution
from heyfleet.results.export import charts as picture
from heyfleet.results.export import html_page as page
from heyfleet.results.export.run_view import RunView
from heyfleet.results.report import text as hey
from heyfleet.results.report.notes import notes
from heyfleet.results.stats import Metrics
from heyfleet.results.thresholds import in_words

_SPARK_WIDTH, _SPARK_HEIGHT = 120, 24


def html(source: RunView) -> Iterator[str]:
    """The page, piece by piece."""
    summary = source.summary
    url = str(summary.plan["url"])
    yield page.head(url)
    yield from _head(source, url)
    made = picture.columns(source)
    yield _charts(len(made) > 1)
    if len(made) > 1 or summary.fleet:
        yield from _agents(source)
    yield from _tables(source)
    yield from _texts(source)
    data = {
        "spectra": _spectra(source),
        "series": picture.series(made),
        "heat": picture.heat(made),
        "stages": _stages(source),
    }
    yield page.foot(data)


def _head(source: RunView, url: str) -> Iterator[str]:
    summary, numbers = source.summary, source.numbers
    part = ", ".join(
        f"{name.removesuffix('_s')} {value}"
        for name in source.selection.__slots__
        if (value := getattr(source.selection, name)) not in ("", None)
    )
    began = source.run.began_at[:19].replace("T", " ")
    yield f"<header><h1>{escape(url)}</h1>\n<p>{began} UTC, heyfleet {__version__}"
    yield f"; only {escape(part)}</p>\n" if part else "</p>\n"
    rows = distribution(numbers.histogram("latency"))
    rate = numbers.ended / source.seconds if source.seconds else 0.0
    cards = [
        ("requests", f"{numbers.ended:,}"),
        ("per second", f"{rate:,.1f}"),
        ("in", f"{source.seconds:,.2f} s"),
        *((f"p{percent:g}", _ms(value)) for percent, value in _percentiles(rows, (50, 99, 99.9))),
        ("errors", f"{numbers.errors.total():,}"),
    ]
    yield '<dl class="cards">' + "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in cards
    )
    yield "</dl>\n"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in summary.trust.reasons)
    yield f'<div class="trust {summary.trust.verdict}"><strong>Trust: {summary.trust.verdict}</strong>'
    yield f"<ul>{reasons}</ul></div></header>\n" if reasons else "</div></header>\n"


def _charts(over_time: bool) -> str:
    ids = ["spectrum", *(["heat", "rates", "flying"] if over_time else [])]
    titles = {
        "spectrum": "Latency by percentile",
        "heat": "Latency over time",
        "rates": "Answers and errors over time",
        "flying": "Requests in flight",
    }
    charts = "".join(
        f'<figure><figcaption>{titles[each]}</figcaption><div class="chart" id="{each}"></div></figure>\n'
        for each in ids
    )
    return f'<main>\n<section class="charts">\n{charts}</section>\n'


def _agents(source: RunView) -> Iterator[str]:
    lines = picture.agents(source)
    if not lines:
        return
    top_rate = max(max(line.rates, default=0) for line in lines.values())
    top_p99 = max(max(line.p99_ms, default=0) for line in lines.values())
    lost = {part.agent: part.reason for part in source.measured.parts if part.reason}
    rows = [
        [
            escape(agent),
            f"{line.responses:,}",
            f"{line.errors:,}",
            f"{_spark(line.rates, top_rate)} up to {max(line.rates, default=0):,.1f}/s",
            f"{_spark(line.p99_ms, top_p99)} up to {max(line.p99_ms, default=0):,.2f} ms",
            escape(lost.get(agent, "")),
        ]
        for agent, line in lines.items()
    ]
    yield page.table("Agents", ["agent", "answers", "errors", "rate", "p99 of each second", ""], rows)


def _spark(values: Sequence[float], top: float) -> str:
    step = _SPARK_WIDTH / max(len(values) - 1, 1)
    points = " ".join(
        f"{index * step:.1f},{_SPARK_HEIGHT - value / (top or 1) * (_SPARK_HEIGHT - 2) - 1:.1f}"
        for index, value in enumerate(values)
    )
    return (
        f'<svg class="spark" viewBox="0 0 {_SPARK_WIDTH} {_SPARK_HEIGHT}" role="img" aria-hidden="true">'
        f'<polyline points="{points}"/></svg>'
    )


def _tables(source: RunView) -> Iterator[str]:
    summary, numbers = source.summary, source.numbers
    ended = numbers.ended or 1
    outcomes = [
        [str(status), f"{count:,}", f"{count / ended:.2%}"]
        for status, count in sorted(numbers.responses.items())
    ]
    outcomes += [
        [escape(kind), f"{count:,}", f"{count / ended:.2%}"] for kind, count in numbers.errors.most_common()
    ]
    yield page.table("Outcomes", ["status or error", "requests", "share"], outcomes)
    metrics = [
        (name, made)
        for name, each in sorted(numbers.histograms.items())
        if (made := distribution(each)) is not None
    ]
    yield page.table(
        "All that was measured",
        ["", "count", "average", *_HEADS, "slowest"],
        [_line(*each) for each in metrics],
    )
    for title, parts in (("Stages", summary.stages), ("Requests", summary.requests)):
        rows = [_line(part.name, part.latency) for part in parts if part.latency]
        if rows and not source.selection:
            yield page.table(title, ["", "answers", "average", *_HEADS, "slowest"], rows)
    if summary.thresholds:
        rows = [
            [escape(each.text), "held" if each.holds else "not held", escape(each.reason or in_words(each))]
            for each in summary.thresholds
        ]
        yield page.table("Thresholds", ["threshold", "", "measured"], rows)


_SHOWN = (50, 90, 99, 99.9, 99.99)
_HEADS = [f"p{percent:g}" for percent in _SHOWN]


def _line(name: str, values: Distribution) -> list[str]:
    return [
        escape(name.replace("_", " ")),
        f"{values.count:,}",
        _ms(values.average_ns),
        *(_ms(value) for _, value in _percentiles(values, _SHOWN)),
        _ms(values.slowest_ns),
    ]


def _percentiles(values: Distribution | None, wanted: Sequence[float]) -> list[tuple[float, int | None]]:
    rows = {row.percent: row.value_ns for row in values.percentiles} if values else {}
    return [(percent, rows.get(percent)) for percent in wanted]


def _ms(value_ns: float | None) -> str:
    if value_ns is None:
        return "-"
    return f"{value_ns / 1e6:,.3g} ms" if value_ns < 1e8 else f"{value_ns / 1e6:,.0f} ms"


def _texts(source: RunView) -> Iterator[str]:
    summary = source.summary
    said = notes(summary)
    if said:
        yield (
            "<section><h2>Notes</h2><ul>"
            + "".join(f"<li>{escape(note)}</li>" for note in said)
            + "</ul></section>\n"
        )
    yield '<section><h2>As text</h2><button type="button" id="copy">Copy</button>\n'
    yield f'<pre id="text">{escape(hey.render(summary).strip())}</pre></section>\n'
    plan = json.dumps(summary.plan, indent=2, ensure_ascii=False)
    yield f"<section><details><summary>Plan</summary><pre>{escape(plan)}</pre></details></section>\n</main>\n"


def _spectra(source: RunView) -> list[dict[str, Any]]:
    numbers: Metrics = source.numbers
    made = [{"name": "latency", **picture.spectrum(numbers.histogram("latency"))}]
    service = numbers.histogram("service_time")
    if service is not None and "lag" in numbers.histograms:
        made.append({"name": "service time", **picture.spectrum(service)})
    return [each for each in made if each["ms"]]


def _stages(source: RunView) -> list[dict[str, Any]]:
    """Where stages begin, in s; none, where there is but one."""
    found, at_s = [], source.plan.warmup_ns / 1e9
    if at_s:
        found.append({"name": "warm-up", "at": 0.0})
    if len(source.plan.stages) > 1:
        for stage in source.plan.stages:
            found.append({"name": stage.name, "at": at_s})
            at_s += stage.duration_ns / 1e9
    elif found:
        found.append({"name": "measured", "at": at_s})
    return found
