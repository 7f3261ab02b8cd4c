"""The text report: hey's sections byte for byte, then what hey leaves out.

hey's own sections keep hey's format of times, `0.0123 secs`. All others have units for people, `12.3 ms`.
"""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.distribution import Bar, Distribution
from heyfleet.results.report import load_sections
from heyfleet.results.report.fleet_section import fleet_section
from heyfleet.results.report.generator_section import generator_section
from heyfleet.results.report.notes import notes
from heyfleet.results.summary import Summary
from heyfleet.results.units import format_time
from heyfleet.text import printable

BAR = "■"
BAR_WIDTH = 40
# What to do about errors with a cause on the generator's side or in its flags.
ERROR_HINTS = {
    "no local port": "all local ports are in use: keep connections alive, or widen ip_local_port_range",
    "no file descriptor": "the limit of open files is reached: raise it with ulimit -n, or lower -c",
    "TLS: certificate of an unknown authority": "trust it with --cacert FILE, or skip verification with -k",
    "TLS: certificate of another name": "set its name with -host or --connect-to, or skip verification with -k",
    "TLS: certificate expired": "or not valid yet; skip verification with -k",
    "TLS: refused by the server": "it may require a client certificate (--cert) or another version (--tls)",
    "TLS: protocol error": "is this an https port?",
    "proxy: refused the tunnel": "does it allow CONNECT to this host and port?",
    "proxy: authentication required": "or rejected: -x http://USER:PASSWORD@HOST:PORT",
    "proxy: protocol error": "is this the port of an HTTP proxy?",
    "bad content: unknown coding": "limit the codings with -H 'Accept-Encoding: ...', or omit --decode",
    "HTTP/2: protocol error": "does the server support it? Without -h2 or --h2c, heyfleet uses HTTP/1.1",
}


def render(summary: Summary) -> str:
    """Return the whole text. A section without data is left out."""
    sections = [
        _head(summary),
        _histogram(summary.latency_bars),
        _percentiles(summary.latency),
        _details(summary),
        _statuses(summary.statuses),
        _errors(summary.errors),
        _service_time(summary.service_time),
        _kernel_latency(summary),
        load_sections.load(summary),
        load_sections.breakdown("By stage:", "stage", summary.stages),
        load_sections.breakdown("By request:", "request", summary.requests),
        load_sections.by_address(summary),
        generator_section(summary),
        fleet_section(summary.fleet),
        load_sections.thresholds(summary.thresholds, summary.aborted_by),
        _ledger(summary),
        load_sections.trust(summary.trust),
        _notes(summary),
    ]
    return _join(sections) + "".join(map(_agent_report, summary.agents))


def _join(sections: list[Iterator[str]]) -> str:
    texts = ("\n".join(map(printable, section)) for section in sections)
    return "".join(f"\n{text}\n" for text in texts if text)


def _agent_report(summary: Summary) -> str:
    """Return hey's main sections for one agent."""
    sections = [
        iter([f"Agent {summary.agent}:"]),
        _head(summary),
        _percentiles(summary.latency),
        _statuses(summary.statuses),
        _errors(summary.errors),
    ]
    return _join(sections)


def _secs(value_ns: float) -> str:
    """Return a time as hey formats it."""
    return f"{value_ns / 1e9:4.4f} secs"


def _head(summary: Summary) -> Iterator[str]:
    latency = summary.latency
    yield "Summary:"
    yield f"  Total:\t{_secs(summary.total_ns)}"
    if latency:
        yield f"  Slowest:\t{_secs(latency.slowest_ns)}"
        yield f"  Fastest:\t{_secs(latency.fastest_ns)}"
        yield f"  Average:\t{_secs(latency.average_ns)}"
    yield f"  Requests/sec:\t{summary.requests_per_second:4.4f}"
    yield "  "  # hey prints this separator even if nothing follows
    if latency and summary.body_bytes:
        yield f"  Total data:\t{summary.body_bytes} bytes"
        yield f"  Size/request:\t{summary.body_bytes // latency.count} bytes"
        if summary.decoded_bytes is not None:
            yield f"  Decoded:\t{summary.decoded_bytes} bytes"


def _histogram(bars: tuple[Bar, ...]) -> Iterator[str]:
    if not bars:
        return
    highest = max(bar.count for bar in bars)
    yield "Response time histogram:"
    for bar in bars:
        width = (bar.count * BAR_WIDTH + highest // 2) // highest
        yield f"  {bar.mark_ns / 1e9:4.3f} [{bar.count}]\t|{BAR * width}"
    yield ""


def _percentiles(latency: Distribution | None) -> Iterator[str]:
    if latency is None:
        return
    yield "Latency distribution:"
    for row in latency.percentiles:
        if row.value_ns is not None:
            yield f"  {row.percent:g}% in {_secs(row.value_ns)}"
    yield from _omitted_percentiles(latency)


def _omitted_percentiles(values: Distribution) -> Iterator[str]:
    omitted = [row for row in values.percentiles if row.value_ns is None]
    if omitted:
        rows = ", ".join(f"{row.percent:g}% ({row.minimum_sample})" for row in omitted)
        yield f"  omitted, with the responses they need: {rows}"


def _details(summary: Summary) -> Iterator[str]:
    connect, lookup_ns = summary.phases.get("connect"), summary.lookup_ns
    lookup = summary.phases.get("lookup")
    if summary.phases:
        yield "Details (average, fastest, slowest):"
    if connect:
        # The name was looked up once, before all connections, so each of them took that much longer.
        yield _phase("DNS+dialup:", connect, lookup_ns)
        if lookup:
            yield _phase("DNS-lookup:", lookup)
        else:
            yield f"  DNS-lookup:\t{_secs(lookup_ns)}, {_secs(lookup_ns)}, {_secs(lookup_ns)}"
    if handshake := summary.phases.get("handshake"):
        yield _phase("TLS handshake:", handshake)
    for label, name in (("req write:", "request_write"), ("resp wait:", "wait"), ("resp read:", "read")):
        if phase := summary.phases.get(name):
            yield _phase(label, phase)


def _phase(label: str, values: Distribution, extra_ns: int = 0) -> str:
    times_ns = (values.average_ns, values.fastest_ns, values.slowest_ns)
    return f"  {label}\t{', '.join(_secs(time_ns + extra_ns) for time_ns in times_ns)}"


def _statuses(statuses: dict[int, int]) -> Iterator[str]:
    if statuses:
        yield "Status code distribution:"
    for code, count in statuses.items():
        yield f"  [{code}]\t{count} responses"


def _errors(errors: dict[str, int]) -> Iterator[str]:
    if errors:
        yield "Error distribution:"
    for kind, count in errors.items():
        hint = ERROR_HINTS.get(kind)
        yield f"  [{count}]\t{kind} ({hint})" if hint else f"  [{count}]\t{kind}"


def _service_time(values: Distribution | None) -> Iterator[str]:
    if values is None:
        return
    yield "Service time (from the actual sending instead of the intended instant):"
    yield from _times(values)
    yield from _omitted_percentiles(values)
    yield f"  Slowest:\t{format_time(values.slowest_ns)}"
    yield f"  Average:\t{format_time(values.average_ns)}"


def _times(values: Distribution) -> Iterator[str]:
    for row in values.percentiles:
        if row.value_ns is not None:
            yield f"  {row.percent:g}% in {format_time(row.value_ns)}"


def _kernel_latency(summary: Summary) -> Iterator[str]:
    values, latency = summary.kernel_latency, summary.service_time or summary.latency
    if values is None or latency is None:
        return
    yield "Kernel latency (between the kernel's timestamps of sending and receiving):"
    yield from _times(values)
    yield f"  Slowest:\t{format_time(values.slowest_ns)}"
    yield f"  Average:\t{format_time(values.average_ns)}"
    yield f"  Overhead:\t{format_time(latency.average_ns - values.average_ns)} on average, from scheduling and processing"
    if values.count < latency.count:
        yield f"  Timestamped:\t{values.count} of {latency.count} responses"


def _ledger(summary: Summary) -> Iterator[str]:
    ledger = summary.ledger
    missing = f" + missing {ledger.missing}" if ledger.missing else ""
    lost = f" + lost {ledger.lost}" if ledger.lost else ""
    yield "Ledger:"
    yield f"  planned {ledger.planned} = sent {ledger.sent} + unsent {ledger.unsent}{missing}"
    yield (
        f"  sent {ledger.sent} = responses {ledger.responses} + errors {ledger.errors}"
        f" + abandoned {ledger.abandoned}{lost}"
    )
    yield f"  stopped by {summary.stopped_by}"


def _notes(summary: Summary) -> Iterator[str]:
    lines = notes(summary)
    if lines:
        yield "Notes:"
    for line in lines:
        yield f"  {line}"
