"""The section of the text report on the generator itself."""

from __future__ import annotations

from collections.abc import Iterator

from heyfleet.results.distribution import Distribution
from heyfleet.results.summary import HttpUse, Summary
from heyfleet.results.units import format_time
from heyfleet.text import plural


def generator_section(summary: Summary) -> Iterator[str]:
    """Return the lines on backend, threads, connections, CPU share and lag."""
    generator, tls = summary.generator, summary.tls
    note = f" ({generator.io_note})" if generator.io_note else ""
    yield "Generator:"
    yield f"  Backend:\t{generator.io}{note}"
    yield f"  Threads:\t{generator.workers}"
    yield f"  Connections:\t{generator.connections_opened} opened{_addresses(summary.addresses)}"
    if proxy := summary.plan["proxy"]:
        yield f"  Proxy:\t{proxy['host']}, port {proxy['port']}"
    if summary.http.versions not in ((), ("HTTP/1.1",)):
        yield f"  Protocol:\t{_protocol(summary.http)}"
    if tls:
        handshakes = f"{tls.full_handshakes} full and {tls.resumed_handshakes} resumed handshakes"
        yield f"  TLS:\t{'; '.join((*tls.protocols, handshakes))}"
    if summary.redirects:
        yield f"  Redirects:\t{summary.redirects} followed (a request ends with the last response)"
    if generator.busiest_cpu_share is not None:
        yield f"  CPU share:\t{generator.busiest_cpu_share:.1%} of a core (the busiest thread)"
    if generator.loop_turn:
        yield f"  Loop turn:\t{_p99_and_slowest(generator.loop_turn)} (the longest that an event waited for us)"
    if generator.lag:
        yield f"  Send lag:\t{_p99_and_slowest(generator.lag)} (sent later than intended)"
    if generator.generator_lag:
        yield f"  Generator lag:\t{_p99_and_slowest(generator.generator_lag)} (the generator's part of the send lag)"
    yield f"  On the wire:\t{generator.bytes_sent} bytes sent, {generator.bytes_received} bytes received"


def _protocol(http: HttpUse) -> str:
    streams = f"{plural(http.streams, 'concurrent request')} on each connection"
    goaways = f"; {plural(http.goaways, 'connection')} closed by the server" if http.goaways else ""
    return f"{', '.join(http.versions)}, {streams}{goaways}"


def _addresses(addresses: tuple[str, ...]) -> str:
    if len(addresses) < 2:
        return ""
    return f", spread over {len(addresses)} addresses: {', '.join(addresses)}"


def _p99_and_slowest(values: Distribution) -> str:
    p99_ns = values.percentile_ns(99)
    p99 = "" if p99_ns is None else f"99% in {format_time(p99_ns)}, "
    return f"{p99}slowest {format_time(values.slowest_ns)}"
