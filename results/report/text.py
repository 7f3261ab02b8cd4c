"""The report that hey prints, section by section and byte by byte, and below it what hey does not say."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.distribution import Bar, Distribution
from heyfleet.results.fleet_summary import AgentLine, Fleet
from heyfleet.results.report import load_sections as load
from heyfleet.results.report.notes import notes, plural
from heyfleet.results.report.table import table
from heyfleet.results.summary import HttpUse, Summary

BAR = "■"
BAR_WIDTH = 40
# The cure, where the cause is on this host.
CURES = {
    "no local port": "all local ports are in use: keep connections alive, or widen ip_local_port_range",
    "no file descriptor": "the limit of open files is reached: raise it with ulimit -n, or lower -c",
    "TLS: certificate of an unknown authority": "trust it with --cacert FILE, or don't verify with -k",
    "TLS: certificate of another name": "ask for its name with -host or --connect-to, or don't verify with -k",
    "TLS: certificate expired": "or not yet valid; don't verify with -k",
    "TLS: refused by the server": "it may want a client certificate (--cert), or another version (--tls)",
    "TLS: protocol error": "is this an https port?",
    "proxy: refused the tunnel": "does it allow CONNECT to this host and port?",
    "proxy: authentication required": "or not accepted: -x http://USER:PASSWORD@HOST:PORT",
    "proxy: protocol error": "is this the port of an HTTP proxy?",
    "bad content: unknown coding": "ask for others with -H 'Accept-Encoding: ...', or leave --decode out",
    "HTTP/2: protocol error": "does the server speak it? Without -h2 or --h2c it is asked in HTTP/1.1",
}


def render(summary: Summary) -> str:
    """The whole text, as it goes to the terminal. A section without data is left out."""
    sections = [
        _head(summary),
        _histogram(summary.latency_bars),
        _percentiles("Latency distribution:", summary.latency),
        _details(summary),
        _statuses(summary.statuses),
        _errors(summary.errors),
        _service_time(summary.service_time),
        _kernel_latency(summary),
        load.load(summary),
        load.parts("By stage (times in seconds):", "stage", summary.stages),
        load.parts("By request (times in seconds):", "request", summary.requests),
        load.by_address(summary),
        _generator(summary),
        _fleet(summary.fleet),
        load.thresholds(summary.thresholds, summary.aborted),
        _ledger(summary),
        load.trust(summary.trust),
        _notes(summary),
    ]
    return _text(sections) + "".join(map(_of_agent, summary.agents))


def _text(sections: list[Iterator[str]]) -> str:
    return "".join(f"\n{section}\n" for section in map("\n".join, sections) if section)


def _of_agent(summary: Summary) -> str:
    """What is worth a look of one agent alone."""
    sections = [
        iter([f"Agent {summary.agent}:"]),
        _head(summary),
        _percentiles("Latency distribution:", summary.latency),
        _statuses(summary.statuses),
        _errors(summary.errors),
    ]
    return _text(sections)


def secs(value_ns: float) -> str:
    """hey's only unit of time."""
    return f"{value_ns / 1e9:4.4f} secs"


def _head(summary: Summary) -> Iterator[str]:
    latency = summary.latency
    yield "Summary:"
    yield f"  Total:\t{secs(summary.total_ns)}"
    if latency:
        yield f"  Slowest:\t{secs(latency.slowest_ns)}"
        yield f"  Fastest:\t{secs(latency.fastest_ns)}"
        yield f"  Average:\t{secs(latency.average_ns)}"
    yield f"  Requests/sec:\t{summary.requests_per_second:4.4f}"
    yield "  "  # so hey separates what follows, and has it even where nothing follows
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


def _percentiles(title: str, values: Distribution | None) -> Iterator[str]:
    if values is None:
        return
    yield title
    for row in values.percentiles:
        if row.value_ns is not None:
            yield f"  {row.percent:g}% in {secs(row.value_ns)}"
    left_out = [row for row in values.percentiles if row.value_ns is None]
    if left_out:
        rows = ", ".join(f"{row.percent:g}% ({row.needs})" for row in left_out)
        yield f"  left out, with the responses they need: {rows}"


def _details(summary: Summary) -> Iterator[str]:
    connect, lookup_ns = summary.phases.get("connect"), summary.lookup_ns
    lookup = summary.phases.get("lookup")
    if summary.phases:
        yield "Details (average, fastest, slowest):"
    if connect:
        # The one lookup was before all connections, so each of them took that much longer.
        yield _three("DNS+dialup:", connect, lookup_ns)
        if lookup:
            yield _three("DNS-lookup:", lookup)
        else:
            yield f"  DNS-lookup:\t{secs(lookup_ns)}, {secs(lookup_ns)}, {secs(lookup_ns)}"
    if handshake := summary.phases.get("handshake"):
        yield _three("TLS handshake:", handshake)
    for label, name in (("req write:", "request_write"), ("resp wait:", "wait"), ("resp read:", "read")):
        if phase := summary.phases.get(name):
            yield _three(label, phase)


def _three(label: str, values: Distribution, more_ns: int = 0) -> str:
    times_ns = (values.average_ns, values.fastest_ns, values.slowest_ns)
    return f"  {label}\t{', '.join(secs(time_ns + more_ns) for time_ns in times_ns)}"


def _statuses(statuses: dict[int, int]) -> Iterator[str]:
    if statuses:
        yield "Status code distribution:"
    for code, count in statuses.items():
        yield f"  [{code}]\t{count} responses"


def _errors(errors: dict[str, int]) -> Iterator[str]:
    if errors:
        yield "Error distribution:"
    for kind, count in errors.items():
        cure = CURES.get(kind)
        yield f"  [{count}]\t{kind} ({cure})" if cure else f"  [{count}]\t{kind}"


def _service_time(values: Distribution | None) -> Iterator[str]:
    if values is None:
        return
    yield from _percentiles(
        "Service time (from the sending, not from the instant that the rate intended):", values
    )
    yield f"  Slowest:\t{secs(values.slowest_ns)}"
    yield f"  Average:\t{secs(values.average_ns)}"


def _kernel_latency(summary: Summary) -> Iterator[str]:
    values, latency = summary.kernel_latency, summary.service_time or summary.latency
    if values is None or latency is None:
        return
    yield "Kernel latency (between the kernel's stamps of sending and receiving):"
    for row in values.percentiles:
        if row.value_ns is not None:
            yield f"  {row.percent:g}% in {row.value_ns / 1e6:.3f} ms"
    yield f"  Slowest:\t{values.slowest_ns / 1e6:.3f} ms"
    yield (
        f"  Average:\t{values.average_ns / 1e6:.3f} ms, "
        f"{(latency.average_ns - values.average_ns) / 1e3:.1f} us less than from our sending to our receiving"
    )
    if values.count < latency.count:
        yield f"  Stamped:\t{values.count} of {latency.count} responses"


def _generator(summary: Summary) -> Iterator[str]:
    generator, tls = summary.generator, summary.tls
    note = f" ({generator.io_note})" if generator.io_note else ""
    yield "Generator:"
    yield f"  Backend:\t{generator.io}{note}"
    yield f"  Threads:\t{generator.workers}"
    yield f"  Connections:\t{generator.connections_opened} opened{_spread(summary.addresses)}"
    if proxy := summary.plan["proxy"]:
        yield f"  Proxy:\t{proxy['host']}, port {proxy['port']}"
    if summary.http.spoken not in ((), ("HTTP/1.1",)):
        yield f"  Protocol:\t{_protocol(summary.http)}"
    if tls:
        handshakes = f"{tls.full} full and {tls.resumed} resumed handshakes"
        yield f"  TLS:\t{'; '.join((*tls.spoken, handshakes))}"
    if summary.redirects:
        yield f"  Redirects:\t{summary.redirects} followed (a request's time ends with its last answer)"
    if generator.busiest_cpu_share is not None:
        yield f"  CPU share:\t{generator.busiest_cpu_share:.1%} of a core (the busiest thread)"
    if generator.loop_turn:
        yield f"  Loop turn:\t{_p99_and_slowest(generator.loop_turn)} (what an event waited for us at most)"
    if generator.lag:
        yield f"  Send lag:\t{_p99_and_slowest(generator.lag)} (sent later than intended)"
    if generator.generator_lag:
        yield f"  Own lag:\t{_p99_and_slowest(generator.generator_lag)} (later than it could have left)"
    yield f"  On the wire:\t{generator.bytes_sent} bytes sent, {generator.bytes_received} bytes received"


def _protocol(http: HttpUse) -> str:
    streams = f"{plural(http.streams, 'request')} at a time on each connection"
    ended = f"; {plural(http.goaways, 'connection')} ended by the server" if http.goaways else ""
    return f"{', '.join(http.spoken)}, {streams}{ended}"


def _spread(addresses: tuple[str, ...]) -> str:
    if len(addresses) < 2:
        return ""
    return f", spread over {len(addresses)} addresses: {', '.join(addresses)}"


def _p99_and_slowest(values: Distribution) -> str:
    """In milliseconds: of what should be too short for hey's four decimals."""
    p99_ns = next((row.value_ns for row in values.percentiles if row.percent == 99), None)
    p99 = "" if p99_ns is None else f"99% in {p99_ns / 1e6:.3f} ms, "
    return f"{p99}{values.slowest_ns / 1e6:.3f} ms slowest"


def _fleet(fleet: Fleet | None) -> Iterator[str]:
    if fleet is None:
        return
    yield "Fleet:"
    yield f"  Agents:\t{fleet.asked} asked, {fleet.joined} took part, {fleet.lost} lost"
    yield from _agent_table(fleet.agents)
    if fleet.start:
        start = fleet.start
        yield (
            f"  Start skew:\t{start.skew_ns / 1e6:.3f} ms, at most {start.at_most_ns / 1e6:.3f} ms"
            f" (clocks known to {start.clock_uncertainty_ns / 1e6:.3f} ms)"
        )
    if fleet.lost:
        yield f"  Missing:\t{fleet.missing_share:.1%} of the plan"


def _agent_table(agents: tuple[AgentLine, ...]) -> Iterator[str]:
    head = ("agent", "connections", "requests", "responses", "errors", "requests/s")
    rows = [
        (
            agent.agent,
            str(agent.connections),
            "-" if agent.requests is None else str(agent.requests),
            str(agent.responses),
            str(agent.errors),
            f"{agent.requests_per_second:.1f}",
        )
        for agent in agents
    ]
    return table(head, rows, [_agent_note(agent) for agent in agents])


def _agent_note(agent: AgentLine) -> str:
    return (
        ""
        if agent.last_heard_ns is None
        else f"  {agent.state}, last heard at {agent.last_heard_ns / 1e9:.1f} s"
    )


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
