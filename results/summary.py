"""Every number that a report shows, computed once. Units stand in the names; reports only format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from heyfleet.plan.redact import echo
from heyfleet.proto.counters import ADDRESS_COUNTER_NAMES, COUNTER_NAMES
from heyfleet.proto.plan_pb2 import Plan
from heyfleet.results.breakdown import BreakdownLine, request_lines, stage_lines, verdicts, warmup_line
from heyfleet.results.distribution import Bar, Distribution, bars, distribution
from heyfleet.results.fleet_summary import Fleet, summarize_fleet
from heyfleet.results.ledger import Ledger, balance
from heyfleet.results.measurements import AgentMeasurements, Measurements
from heyfleet.results.thresholds import Verdict
from heyfleet.results.trust import Trust, judge_trust

PHASES = ("lookup", "connect", "handshake", "request_write", "wait", "read")
HTTP_2_NAME = "HTTP/2"
REDIRECT_STATUSES = (301, 302, 303, 307, 308)


@dataclass(frozen=True, slots=True)
class Generator:
    """What the generator knows about itself."""

    io: str
    io_note: str  # why a better backend was not used
    workers: int
    connections_requested: int
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
    """TLS versions and cipher suites, and the handshakes of all connections."""

    protocols: tuple[str, ...]  # "TLSv1.3, TLS_AES_256_GCM_SHA384"
    full_handshakes: int
    resumed_handshakes: int


@dataclass(frozen=True, slots=True)
class HttpUse:
    """HTTP versions, and what happened to the connections of HTTP/2."""

    versions: tuple[str, ...]  # "HTTP/1.1", "HTTP/2"; both if agents differ
    streams: int  # concurrent requests on each connection
    streams_allowed: int | None  # by the server's settings
    goaways: int  # connections on which the server accepted no more requests
    retries: int  # requests sent again because the server had not processed them


@dataclass(frozen=True, slots=True)
class AddressLine:
    """One address of the target: connections to it, and requests on them."""

    address: str
    connections: int
    failures: int  # connections that could not be opened
    responses: int
    errors: int


@dataclass(frozen=True, slots=True)
class Summary:
    """One run, over all agents, or one agent of it."""

    plan: dict[str, Any]  # as plan.redact.echo returns it
    total_ns: int
    requests_per_second: float
    stopped_by: str
    aborted_by: str  # the --abort-on threshold that ended the load
    latency: Distribution | None
    latency_bars: tuple[Bar, ...]
    service_time: Distribution | None
    kernel_latency: Distribution | None
    lookup_ns: int
    phases: dict[str, Distribution]
    statuses: dict[int, int]
    errors: dict[str, int]  # the most frequent first
    body_bytes: int
    decoded_bytes: int | None  # after decoding, if the plan decodes
    redirects: int  # followed
    unfollowed_redirects: int
    trace_dropped: int
    counters: dict[str, int]  # all of proto/counters.py, by name
    addresses: tuple[str, ...]
    addresses_unused: tuple[str, ...]  # each with the reason
    by_address: tuple[AddressLine, ...]  # empty if there is only one
    address_changes: int  # how often a repeated lookup returned other addresses
    lookups_failed: int  # how often a repeated lookup failed
    http: HttpUse
    tls: TlsUse | None
    ledger: Ledger
    generator: Generator
    trust: Trust
    thresholds: tuple[Verdict, ...]
    warmup: BreakdownLine | None
    stages: tuple[BreakdownLine, ...]  # empty if there is only one
    requests: tuple[BreakdownLine, ...]  # empty if there is only one
    fleet: Fleet | None  # None: this host alone
    agents: tuple[Summary, ...] = ()  # one by one, if requested
    agent: str = ""  # whose summary this is, if it is that of one agent


def summarize(
    measurements: Measurements,
    connections_requested: int | None = None,
    *,
    ignore_redirects: bool = False,
    per_agent: bool = False,
) -> Summary:
    """Compute all numbers of a run that has ended.

    `connections_requested` is the number before the plan limited it to the number of requests.
    """
    stats, plan, agents = measurements.stats, measurements.plan, measurements.agents
    ledger = balance(measurements)
    completed = ledger.responses + ledger.errors
    latency = stats.histogram("latency")
    phases = {name: distribution(stats.histogram(name)) for name in PHASES}
    totals = [agent.done for agent in agents if agent.done]
    total_ns = max((agent.elapsed_ns for agent in agents), default=0)
    unfollowed = 0 if ignore_redirects else sum(stats.responses[code] for code in REDIRECT_STATUSES)
    return Summary(
        plan=echo(plan),
        total_ns=total_ns,
        requests_per_second=completed * 1e9 / total_ns if total_ns > 0 else 0.0,
        stopped_by=_stopped_by(measurements),
        aborted_by=measurements.aborted_by,
        latency=distribution(latency),
        latency_bars=bars(latency) if latency else (),
        service_time=distribution(stats.histogram("service_time")),
        kernel_latency=distribution(stats.histogram("kernel_latency")),
        lookup_ns=max((agent.ready.lookup_ns for agent in agents), default=0),
        phases={name: phase for name, phase in phases.items() if phase},
        statuses=dict(sorted(stats.responses.items())),
        errors=dict(sorted(stats.errors.items(), key=lambda error: (-error[1], error[0]))),
        body_bytes=stats.counters["body_bytes"],
        decoded_bytes=stats.counters["decoded_bytes"] if plan.decode else None,
        redirects=stats.counters["redirects"],
        unfollowed_redirects=unfollowed,
        trace_dropped=sum(done.trace_dropped for done in totals),
        counters={name: stats.counters[name] for name in COUNTER_NAMES},
        addresses=_unique(address for agent in agents for address in agent.ready.addresses),
        addresses_unused=_unique(text for agent in agents for text in agent.ready.addresses_unused),
        by_address=_by_address(measurements),
        address_changes=max((done.address_changes for done in totals), default=0),
        lookups_failed=sum(done.lookups_failed for done in totals),
        http=_http_use(measurements),
        tls=_tls_use(measurements),
        ledger=ledger,
        generator=_generator(measurements, connections_requested),
        trust=judge_trust(measurements, ledger),
        thresholds=tuple(verdicts(measurements, ledger, total_ns)),
        warmup=warmup_line(measurements),
        stages=stage_lines(measurements, total_ns),
        requests=request_lines(measurements, total_ns),
        fleet=summarize_fleet(measurements, total_ns) if measurements.agents_requested else None,
        agents=tuple(summarize(_single_agent(measurements, agent)) for agent in agents) if per_agent else (),
        agent=agents[0].agent if len(agents) == 1 and not measurements.agents_requested else "",
    )


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


def _single_agent(measurements: Measurements, agent: AgentMeasurements) -> Measurements:
    """Return one agent's measurements as a run of its own."""
    plan = Plan()
    plan.CopyFrom(measurements.plan)
    plan.request_count, plan.connections = agent.share.request_count, agent.share.connections
    del plan.slo[:]
    return Measurements(plan=plan, stats=agent.stats, agents=[agent], interrupted=measurements.interrupted)


def _stopped_by(measurements: Measurements) -> str:
    """Return what ended the load; of several reasons the most telling."""
    reasons = {agent.done.stopped_by for agent in measurements.agents if agent.done}
    if measurements.aborted_by:
        return "threshold"
    if measurements.interrupted:
        return "signal"
    return next(
        (each for each in ("fault", "lease", "limit", "signal", "duration", "count") if each in reasons),
        "loss",
    )


def _by_address(measurements: Measurements) -> tuple[AddressLine, ...]:
    lines = sorted(measurements.stats.addresses.items())
    if len(lines) < 2:
        return ()
    return tuple(
        AddressLine(address=address, **{name: counts[name] for name in ADDRESS_COUNTER_NAMES})
        for address, counts in lines
    )


def _http_use(measurements: Measurements) -> HttpUse:
    counters, agents = measurements.stats.counters, measurements.agents
    versions = _unique(agent.ready.protocol for agent in agents if agent.ready.protocol)
    allowed = [agent.done.streams_allowed for agent in agents if agent.done and agent.done.streams_allowed]
    return HttpUse(
        versions=versions,
        streams=(measurements.plan.streams or 1) if HTTP_2_NAME in versions else 1,
        streams_allowed=min(allowed, default=None),
        goaways=counters["goaways"],
        retries=counters["retries"],
    )


def _tls_use(measurements: Measurements) -> TlsUse | None:
    counters = measurements.stats.counters
    if measurements.plan.target.scheme != "https" and not counters["handshakes_full"]:
        return None  # redirects may lead to https even if the target does not use it
    return TlsUse(
        protocols=_unique(agent.done.tls for agent in measurements.agents if agent.done and agent.done.tls),
        full_handshakes=counters["handshakes_full"],
        resumed_handshakes=counters["handshakes_resumed"],
    )


def _generator(measurements: Measurements, connections_requested: int | None) -> Generator:
    stats, agents = measurements.stats, measurements.agents
    workers = [worker for agent in agents if agent.done for worker in agent.done.workers]
    backends = Counter(agent.ready.io for agent in agents if agent.ready.io)
    return Generator(
        io=next(iter(backends), "")
        if len(backends) < 2
        else ", ".join(f"{io} on {count} agents" for io, count in backends.most_common()),
        io_note="; ".join(_unique(agent.ready.io_note for agent in agents if agent.ready.io_note)),
        workers=sum(agent.ready.workers for agent in agents),
        connections_requested=max(connections_requested or 0, measurements.plan.connections),
        connections_used=measurements.plan.connections,
        connections_opened=stats.counters["connections_opened"],
        busiest_cpu_share=max(
            (worker.cpu_ns / worker.wall_ns for worker in workers if worker.wall_ns), default=None
        ),
        loop_turn=distribution(stats.histogram("loop_turn")),
        lag=distribution(stats.histogram("lag")),
        generator_lag=distribution(stats.histogram("generator_lag")),
        bytes_sent=stats.counters["bytes_sent"],
        bytes_received=stats.counters["bytes_received"],
        peak_rss_bytes=sum(agent.done.peak_rss_bytes for agent in agents if agent.done),
    )
