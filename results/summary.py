"""Every number that a report shows, computed once; units stand in the names, text is the reports' own."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from heyfleet.plan.redact import echo
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES
from heyfleet.results.breakdown import BreakdownLine, request_lines, stage_lines, verdicts, warmup_line
from heyfleet.results.distribution import Bar, Distribution, bars, distribution
from heyfleet.results.fleet_summary import Fleet, of_fleet
from heyfleet.results.ledger import Ledger, balance
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.thresholds import Verdict
from heyfleet.results.trust import Trust, trust_of

PHASES = ("lookup", "connect", "handshake", "request_write", "wait", "read")
HTTP_2_NAME = "HTTP/2"
REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Generator:
    """What the generator knows about itself."""

    io: str
    io_note: str
    workers: int
    connections_asked: int
    connections_used: int
    connections_opened: int
    busiest_cpu_share: float | None  # 1.0: the thread never waited
    loop_turn: Distribution | None
    lag: Distribution | None
    generator_lag: Distribution | None  # the part of the lag that was not the wait for a free connection
    bytes_sent: int
    bytes_received: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class TlsUse:
    """What TLS was spoken, and how often its handshake was made; a resumed one has no certificates in it."""

    spoken: tuple[str, ...]  # "TLSv1.3, TLS_AES_256_GCM_SHA384"
    full: int
    resumed: int


@dataclass(frozen=True, slots=True)
class HttpUse:
    """Which HTTP requests went over, and what became of its connections."""

    spoken: tuple[str, ...]  # "HTTP/1.1", "HTTP/2"; several: the agents differ
    streams: int  # requests at a time on each connection
    streams_allowed: int | None  # by the server's settings
    goaways: int  # connections that the server wanted no more requests on
    retries: int  # times that a request was sent once more, since the server had not looked at it


@dataclass(frozen=True, slots=True)
class AddressLine:
    """What became of connections to one address of the target, and of the requests on them."""

    address: str
    connections: int
    failures: int  # connections that were not opened
    responses: int
    errors: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One run, of all agents."""

    plan: dict[str, Any]  # as plan_echo.py makes it
    total_ns: int
    requests_per_second: float
    stopped_by: str
    aborted: str  # the threshold that ended the load
    latency: Distribution | None
    latency_bars: tuple[Bar, ...]
    service_time: Distribution | None
    kernel_latency: Distribution | None
    lookup_ns: int
    phases: dict[str, Distribution]
    statuses: dict[int, int]
    errors: dict[str, int]  # the most frequent first
    body_bytes: int
    decoded_bytes: int | None  # the same after decoding, if that was asked for
    redirects: int  # followed
    unfollowed_redirects: int
    dropped: int  # of the unsent: the generator itself was too late for them
    trace_dropped: int
    unsolicited_responses: int  # connections on which the server sent what no request had asked for
    addresses: tuple[str, ...]
    addresses_unused: tuple[str, ...]  # each with the reason
    by_address: tuple[AddressLine, ...]  # where there are several
    address_changes: int  # how often looking the name up again gave others
    lookups_failed: int  # how often that gave none
    http: HttpUse
    tls: TlsUse | None
    ledger: Ledger
    generator: Generator
    trust: Trust
    thresholds: tuple[Verdict, ...]
    warmup: BreakdownLine | None
    stages: tuple[BreakdownLine, ...]  # where there are several
    requests: tuple[BreakdownLine, ...]  # where there are several
    fleet: Fleet | None  # None: this host alone
    agents: tuple[Summary, ...] = ()  # one by one, where that was asked for
    agent: str = ""  # whose summary this is, if only one agent's


def summarize(
    measured: Measurements,
    asked: int | None = None,
    *,
    ignore_redirects: bool = False,
    per_agent: bool = False,
) -> Summary:
    """The numbers of a run that has ended. `asked`: connections, where more were asked for than the plan has."""
    stats, plan, parts = measured.stats, measured.plan, measured.parts
    ledger = balance(measured)
    ended = ledger.responses + ledger.errors
    latency = stats.histogram("latency")
    phases = {name: distribution(stats.histogram(name)) for name in PHASES}
    total_ns = max(map(elapsed_ns, parts), default=0)
    return Summary(
        plan=echo(plan),
        total_ns=total_ns,
        requests_per_second=ended * 1e9 / total_ns if total_ns > 0 else 0.0,
        stopped_by=_stopped_by(measured),
        aborted=measured.aborted,
        latency=distribution(latency),
        latency_bars=bars(latency) if latency else (),
        service_time=distribution(stats.histogram("service_time")),
        kernel_latency=distribution(stats.histogram("kernel_latency")),
        lookup_ns=max((part.ready.lookup_ns for part in parts), default=0),
        phases={name: phase for name, phase in phases.items() if phase},
        statuses=dict(sorted(stats.responses.items())),
        errors=dict(sorted(stats.errors.items(), key=lambda error: (-error[1], error[0]))),
        body_bytes=stats.totals["body_bytes"],
        decoded_bytes=stats.totals["decoded_bytes"] if plan.decode else None,
        redirects=stats.totals["redirects"],
        unfollowed_redirects=0 if ignore_redirects else sum(stats.responses[code] for code in REDIRECTS),
        dropped=stats.totals["dropped"],
        trace_dropped=sum(part.done.trace_dropped for part in parts if part.done),
        unsolicited_responses=stats.totals["unsolicited_responses"],
        addresses=tuple(dict.fromkeys(address for part in parts for address in part.ready.addresses)),
        addresses_unused=tuple(dict.fromkeys(text for part in parts for text in part.ready.addresses_unused)),
        by_address=_by_address(measured),
        address_changes=max((part.done.address_changes for part in parts if part.done), default=0),
        lookups_failed=sum(part.done.lookups_failed for part in parts if part.done),
        http=_http(measured),
        tls=_tls(measured),
        ledger=ledger,
        generator=_generator(measured, asked),
        trust=trust_of(measured, ledger),
        thresholds=tuple(verdicts(measured, ledger, total_ns)),
        warmup=warmup_line(measured),
        stages=stage_lines(measured, total_ns),
        requests=request_lines(measured, total_ns),
        fleet=of_fleet(measured, total_ns) if measured.agents_requested else None,
        agents=tuple(summarize(_alone(measured, part)) for part in parts) if per_agent else (),
        agent=f"{parts[0].agent}" if len(parts) == 1 and not measured.agents_requested else "",
    )


def elapsed_ns(part: AgentMeasurements) -> int:
    """How long an agent made load; of a lost one, as far as it was heard."""
    return part.done.elapsed_ns if part.done else part.stats.end_ns


def _alone(measured: Measurements, part: AgentMeasurements) -> Measurements:
    """One agent's part as a run of its own."""
    plan = type(measured.plan)()
    plan.CopyFrom(measured.plan)
    plan.request_count, plan.connections = part.share.request_count, part.share.connections
    del plan.slo[:]
    return Measurements(plan=plan, stats=part.stats, parts=[part], interrupted=measured.interrupted)


def _stopped_by(measured: Measurements) -> str:
    """What ended the load; of several reasons the one that says most."""
    reasons = {part.done.stopped_by for part in measured.parts if part.done}
    if measured.aborted:
        return "threshold"
    if measured.interrupted:
        return "signal"
    return next(
        (each for each in ("fault", "lease", "signal", "duration", "count") if each in reasons), "loss"
    )


def _by_address(measured: Measurements) -> tuple[AddressLine, ...]:
    found = sorted(measured.stats.addresses.items())
    if len(found) < 2:
        return ()
    return tuple(
        AddressLine(address, *(counts[name] for name in ADDRESS_COUNTER_NAMES)) for address, counts in found
    )


def _http(measured: Measurements) -> HttpUse:
    totals = measured.stats.totals
    spoken = tuple(dict.fromkeys(part.ready.protocol for part in measured.parts if part.ready.protocol))
    allowed = [
        part.done.streams_allowed for part in measured.parts if part.done and part.done.streams_allowed
    ]
    return HttpUse(
        spoken=spoken,
        streams=(measured.plan.streams or 1) if HTTP_2_NAME in spoken else 1,
        streams_allowed=min(allowed, default=None),
        goaways=totals["goaways"],
        retries=totals["retries"],
    )


def _tls(measured: Measurements) -> TlsUse | None:
    totals = measured.stats.totals
    if measured.plan.target.scheme != "https" and not totals["handshakes_full"]:
        return None  # redirects may lead to https, too
    return TlsUse(
        spoken=tuple(dict.fromkeys(part.done.tls for part in measured.parts if part.done and part.done.tls)),
        full=totals["handshakes_full"],
        resumed=totals["handshakes_resumed"],
    )


def _generator(measured: Measurements, asked: int | None) -> Generator:
    stats, parts = measured.stats, measured.parts
    workers = [worker for part in parts if part.done for worker in part.done.workers]
    backends = Counter(part.ready.io for part in parts if part.ready.io)
    notes = dict.fromkeys(part.ready.io_note for part in parts if part.ready.io_note)
    return Generator(
        io=next(iter(backends), "")
        if len(backends) < 2
        else ", ".join(f"{io} on {count} agents" for io, count in backends.most_common()),
        io_note="; ".join(notes),
        workers=sum(part.ready.workers for part in parts),
        connections_asked=max(asked or 0, measured.plan.connections),
        connections_used=measured.plan.connections,
        connections_opened=stats.totals["connections_opened"],
        busiest_cpu_share=max(
            (worker.cpu_ns / worker.wall_ns for worker in workers if worker.wall_ns), default=None
        ),
        loop_turn=distribution(stats.histogram("loop_turn")),
        lag=distribution(stats.histogram("lag")),
        generator_lag=distribution(stats.histogram("generator_lag")),
        bytes_sent=stats.totals["bytes_sent"],
        bytes_received=stats.totals["bytes_received"],
        peak_rss_bytes=sum(part.done.peak_rss_bytes for part in parts if part.done),
    )
